/* Forces and virials from the gradients of edges on the GPU against core/graph/edges.c. */
#include "edge_case.cuh"
#include "graph/edge_forces.cuh"

/* Results of atoms [total][width], those of images added to their owners': [nodes][width]. */
static doubles by_node(const edge_case &c, const doubles &of_atoms, size_t width) {
    doubles sum(c.nodes * width, 0.0);
    for (size_t i = 0; i < of_atoms.size(); i++)
        sum[(size_t)c.atoms.node[i / width] * width + i % width] += of_atoms[i];
    return sum;
}

static void check_forces(const char *name, const doubles &got, const doubles &want) {
    check_stage(name, floats(got.begin(), got.end()), want);
}

static void test_forces(const edge_case &c) {
    const double scale = 1.423 / 4096;
    const size_t total = (size_t)c.atoms.atoms.total;
    floats target = random_floats(c.room * SLOTS, 0, 4096, 1);
    floats source = random_floats(c.room * SLOTS, 0, 4096, 2);
    std::vector<umas_edge_gradient> gradient = gradients(totals(target, source, c.edges));
    doubles force(3 * total), atom_virial(6 * total);
    umas_result result = {};
    result.force = force.data(), result.atom_virial = atom_virial.data();
    umas_edges_to_forces(&c.host.edges, &c.atoms.atoms, gradient.data(), scale, &result);

    device_array<float> target_(target), source_(source), vector(poison<float>(4 * c.room));
    device_array<double> partial(poison<double>((size_t)force_partials((int)c.nodes) * 6));
    const doubles no_force = poison<double>(3 * c.nodes), no_virial = poison<double>(6 * c.nodes);
    const std::vector<step_report> no_report(1);
    auto stage = [&](double *f, double *v, step_report *report) {
        edges_to_forces(0, c.device.list(), c.device.none(), {slots(target_), slots(source_)},
                        scale, slots((float *)vector), f, v, partial, report);
    };
    check_forces("edges_to_forces, force",
                 output_of(no_force,
                           [&](double *out) {
                               device_array<step_report> r(no_report);
                               stage(out, NULL, r);
                           }),
                 by_node(c, force, 3));
    check_forces("edges_to_forces, atom virial",
                 output_of(no_virial,
                           [&](double *out) {
                               device_array<double> f(no_force);
                               device_array<step_report> r(no_report);
                               stage(f, out, r);
                           }),
                 by_node(c, atom_virial, 6));
    std::vector<step_report> report = output_of(no_report, [&](step_report *out) {
        device_array<double> f(no_force);
        stage(f, NULL, out);
    });
    check_forces("edges_to_forces, virial", doubles(report[0].virial, report[0].virial + 6),
                 doubles(result.virial, result.virial + 6));
    CHECK(report[0].not_finite == 0);
}

/* One number that is not finite in the gradient of one edge is noticed. */
static void test_not_finite(const edge_case &c, float bad) {
    if (c.edges == 0) return;
    floats target(c.room * SLOTS, 1.0f);
    target[c.edges / 2 * SLOTS + 5] = bad;
    device_array<float> target_(target), source_(floats(c.room * SLOTS, 0.0f));
    device_array<float> vector(poison<float>(4 * c.room));
    device_array<double> partial(poison<double>((size_t)force_partials((int)c.nodes) * 6));
    device_array<double> force(poison<double>(3 * c.nodes));
    device_array<step_report> report(std::vector<step_report>(1));
    edges_to_forces(0, c.device.list(), c.device.none(), {slots(target_), slots(source_)}, 1,
                    slots((float *)vector), force, NULL, partial, report);
    MUST(cudaDeviceSynchronize());
    CHECK(report.read()[0].not_finite != 0);
}

int main(void) {
    if (!gpu_is_there()) return CHECK_SKIPPED;
    /* nothing; ghosts alone; atoms without neighbours; ghosts and images; several blocks */
    const atom_counts cases[] = {{0, 0, 0, 3}, {0, 5, 0, 3},    {1, 0, 0, 3},     {9, 0, 0, 30},
                                 {9, 5, 4, 3}, {40, 12, 10, 3}, {650, 40, 30, 5}, {2500, 0, 0, 6}};
    for (const atom_counts &counts : cases) {
        edge_case c(counts, 9);
        test_forces(c);
        test_not_finite(c, INFINITY);
        test_not_finite(c, -NAN);
    }
    return check_report();
}
