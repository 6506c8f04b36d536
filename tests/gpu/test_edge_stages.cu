/* The stages that work on edges on the GPU against the CPU's double ones on random inputs, over the
 * whole list at once and in chunks. */
#include "edge_stages.cuh"
#include "edge_forces.cuh"
#include "edge_graph.cuh"
#include "stored.cuh"

extern "C" {
#include "stages.h"
}
/* Here these are the CUDA stages; the CPU's go by their full names. */
#undef node_to_edge_wigner_permute_forward
#undef node_to_edge_wigner_permute_backward
#undef permute_wigner_inv_edge_to_node_forward
#undef permute_wigner_inv_edge_to_node_backward
#undef gate_forward
#undef gate_backward

static const size_t C = CHANNELS;
static const int DEGREE[9] = {0, 1, 2, 1, 2, 1, 2, 2, 2};

/* One graph, the geometry of its edges rounded as the records round it, and random numbers. */
struct edge_case {
    const int rows;
    scattered_atoms atoms;
    host_edges host;
    const size_t edges, nodes, owned, room; /* room: edges an array has space for */
    doubles wigner, envelope, envelope_slope;
    edge_chunk chunk{};
    device_edges device;

    edge_case(const atom_counts &counts, int message_rows)
        : rows(message_rows), atoms(counts), host(atoms), edges((size_t)host.edges.count),
          nodes((size_t)atoms.atoms.nodes), owned((size_t)atoms.atoms.owned),
          room(edges + SPARE_EDGES), device(atoms, host.edges, make_geometry()) {}
    size_t of(int width) const { return edges * (size_t)width; }
    size_t room_of(int width) const { return room * (size_t)width; }

  private:
    floats make_geometry() {
        umas_architecture a = {};
        a.cutoff = CUTOFF;
        a.distance_functions = 1;
        wigner.resize(edges * RECORD_ENVELOPE);
        envelope.resize(edges), envelope_slope.resize(edges);
        doubles basis(edges), basis_slope(edges);
        chunk.edges = (int)edges;
        chunk.source = host.edges.source_node, chunk.target = host.edges.target;
        chunk.wigner = wigner.data();
        chunk.envelope = envelope.data(), chunk.envelope_slope = envelope_slope.data();
        chunk.basis = basis.data(), chunk.basis_slope = basis_slope.data();
        edge_geometry_forward(&a, host.edges.vector, &chunk);
        for (doubles *array : {&wigner, &envelope, &envelope_slope})
            for (double &v : *array) v = (float)v;
        return edge_records(host.edges, wigner, envelope, envelope_slope);
    }
};

/* Calls stage(span) for the whole list, spare edges included, in this many chunks, as a step does.
 */
template <typename Stage> void in_chunks(const edge_case &c, int chunks, Stage stage) {
    const int all = (int)c.room, size = (all + chunks - 1) / chunks;
    for (int begin = 0; begin < all; begin += size)
        stage(edge_span{begin, std::min(size, all - begin)});
}

/* ---- gradients of edges ------------------------------------------------------------------- */

/* Numbers of an edge in edge_gradient::target or ::source: two slots of torque x, torque z,
 * distance, and one that is not used. */
constexpr size_t SLOTS = 8;

static float4 *slots(float *array) { return reinterpret_cast<float4 *>(array); }

/* Both slots of the target's, and of the source's where there are any, added up. */
static doubles totals(const floats &target, const floats &source, size_t edges) {
    doubles sum(3 * edges);
    for (size_t i = 0; i < sum.size(); i++) {
        const size_t at = i / 3 * SLOTS + i % 3;
        sum[i] = (double)target[at] + target[at + 4];
        if (!source.empty()) sum[i] += (double)source[at] + source[at + 4];
    }
    return sum;
}

static std::vector<umas_edge_gradient> gradients(const doubles &totals) {
    std::vector<umas_edge_gradient> g(totals.size() / 3);
    for (size_t e = 0; e < g.size(); e++)
        g[e] = {totals[3 * e + 2], totals[3 * e], totals[3 * e + 1]};
    return g;
}

/* What a stage has added to gradients against the same of the CPU. */
static void check_gradient(const char *name, const edge_case &c, const floats &target,
                           const floats &source, const std::vector<umas_edge_gradient> &want) {
    doubles got = totals(target, source, c.edges), numbers;
    for (const umas_edge_gradient &g : want)
        numbers.insert(numbers.end(), {g.torque_x, g.torque_z, g.distance});
    check_stage(name, floats(got.begin(), got.end()), numbers);
    for (size_t i = c.edges * SLOTS; i < target.size(); i++) CHECK(std::isnan(target[i]));
    for (size_t i = c.edges * SLOTS; i < source.size(); i++) CHECK(std::isnan(source[i]));
}

/* Gradients that are there before a stage adds to them. */
static floats earlier_gradient(const edge_case &c, unsigned seed) {
    floats g = random_floats(c.edges * SLOTS, 0, 1, seed);
    g.resize(c.room * SLOTS, std::numeric_limits<float>::quiet_NaN());
    return g;
}

/* ---- gather and rotate -------------------------------------------------------------------- */

template <typename S> void test_node_to_edge_forward(const edge_case &c, int chunks) {
    const int rows = c.rows, width = message_width(rows), radials = radial_width(rows);
    floats h = random_floats(c.nodes * NODE_WIDTH, 0, 1, 1);
    stored<S> radial = store<S>(random_floats(c.room_of(radials), 0, 1, 2));
    doubles want(c.of(width));
    umas_node_to_edge_wigner_permute_forward_f64(&c.chunk, rows, CHANNELS, widen(h).data(),
                                                 load<S>(radial).data(), want.data());
    device_array<float> h_(h);
    device_array<S> radial_(radial);
    check_stored("node_to_edge_wigner_permute_forward",
                 output_of(stored_poison<S>(c.room_of(width)),
                           [&](S *message) {
                               in_chunks(c, chunks, [&](edge_span s) {
                                   node_to_edge_wigner_permute_forward<S>(
                                       0, rows, c.device.list(), s, h_,
                                       radial_ + (size_t)s.begin * (size_t)radials,
                                       message + (size_t)s.begin * (size_t)width);
                               });
                           }),
                 want);
}

template <typename S> struct node_to_edge_gradients {
    doubles g_h;
    std::vector<umas_edge_gradient> gradient;

    node_to_edge_gradients(const edge_case &c, const floats &h, const stored<S> &radial,
                           const stored<S> &radial_slope, const stored<S> &g_message,
                           const doubles &before)
        : g_h(c.nodes * NODE_WIDTH, 0.0), gradient(gradients(before)) {
        const size_t width = (size_t)radial_width(c.rows);
        doubles slope = load<S>(radial_slope), g_radial(c.edges * width);
        doubles g_source(c.edges * NODE_WIDTH);
        umas_node_to_edge_wigner_permute_backward_f64(
            &c.chunk, c.rows, CHANNELS, widen(h).data(), load<S>(radial).data(),
            load<S>(g_message).data(), g_radial.data(), g_source.data(), g_h.data(),
            gradient.data());
        for (size_t i = 0; i < g_source.size(); i++)
            g_h[(size_t)c.chunk.source[i / NODE_WIDTH] * NODE_WIDTH + i % NODE_WIDTH] +=
                g_source[i];
        for (size_t i = 0; i < g_radial.size(); i++)
            gradient[i / width].distance += g_radial[i] * slope[i];
    }
};

template <typename S> void test_node_to_edge_backward(const edge_case &c, int chunks) {
    const int rows = c.rows, width = message_width(rows), radials = radial_width(rows);
    floats h = random_floats(c.nodes * NODE_WIDTH, 0, 1, 1);
    stored<S> radial = store<S>(random_floats(c.room_of(radials), 0, 1, 2));
    stored<S> slope = store<S>(random_floats(c.room_of(radials), 0, 1, 3));
    stored<S> g_message = store<S>(random_floats(c.room_of(width), 0, 1, 4));
    floats target = earlier_gradient(c, 5), source = earlier_gradient(c, 6);
    node_to_edge_gradients<S> want(c, h, radial, slope, g_message,
                                   totals(target, source, c.edges));

    device_array<float> h_(h);
    device_array<S> radial_(radial), slope_(slope), g_message_(g_message);
    auto stage = [&](float *g_h, float *to_target, float *to_source) {
        in_chunks(c, chunks, [&](edge_span s) {
            const size_t at = (size_t)s.begin * (size_t)radials;
            node_to_edge_wigner_permute_backward<S>(
                0, rows, c.device.list(), s, h_, radial_ + at, slope_ + at,
                g_message_ + (size_t)s.begin * (size_t)width, g_h, s.begin > 0,
                {slots(to_target), slots(to_source)});
        });
    };
    const floats no_g_h = poison<float>(c.nodes * NODE_WIDTH);
    floats g_h = output_of(no_g_h, [&](float *out) {
        device_array<float> target_(target), source_(source);
        stage(out, target_, source_);
    });
    floats to_target = output_of(target, [&](float *out) {
        device_array<float> g_h_(no_g_h), source_(source);
        stage(g_h_, out, source_);
    });
    floats to_source = output_of(source, [&](float *out) {
        device_array<float> g_h_(no_g_h), target_(target);
        stage(g_h_, target_, out);
    });
    check_stage("node_to_edge_wigner_permute_backward, g_h", g_h, want.g_h);
    check_gradient("node_to_edge_wigner_permute_backward, edges", c, to_target, to_source,
                   want.gradient);
}

/* ---- rotate back and sum ------------------------------------------------------------------ */

/* The message [edges][rows][C] with the bias [3][C] of its m = 0 rows. */
template <typename S>
doubles with_bias(const edge_case &c, const stored<S> &message, const floats &bias) {
    const size_t width = (size_t)conv_2_width(c.rows);
    doubles m = load<S>(message);
    m.resize(c.edges * width);
    for (size_t i = 0; i < m.size(); i++)
        if (i % width < bias.size()) m[i] += bias[i % width];
    return m;
}

template <typename S> void test_edge_to_node_forward(const edge_case &c, int chunks) {
    const int rows = c.rows, width = conv_2_width(rows);
    stored<S> message = store<S>(random_floats(c.room_of(width), 0, 1, 1));
    floats bias = random_floats(3 * C, 0, 1, 2), x = random_floats(c.owned * NODE_WIDTH, 0, 1, 3);
    doubles want = widen(x);
    umas_permute_wigner_inv_edge_to_node_forward_f64(
        &c.chunk, rows, CHANNELS, 1, with_bias<S>(c, message, bias).data(), want.data());
    device_array<S> message_(message);
    device_array<float> bias_(bias), x_(x);
    check_stage("permute_wigner_inv_edge_to_node_forward",
                output_of(poison<float>(x.size()),
                          [&](float *y) {
                              in_chunks(c, chunks, [&](edge_span s) {
                                  permute_wigner_inv_edge_to_node_forward<S>(
                                      0, rows, c.device.list(), s, bias_,
                                      message_ + (size_t)s.begin * (size_t)width,
                                      s.begin > 0 ? y : (float *)x_, y);
                              });
                          }),
                want);
}

template <typename S> void test_edge_to_node_backward(const edge_case &c, int chunks) {
    const int rows = c.rows, width = conv_2_width(rows);
    stored<S> message = store<S>(random_floats(c.room_of(width), 0, 1, 1));
    floats bias = random_floats(3 * C, 0, 1, 2), g_x = random_floats(c.owned * NODE_WIDTH, 0, 1, 3);
    floats target = earlier_gradient(c, 4);
    doubles want(c.of(width));
    std::vector<umas_edge_gradient> gradient = gradients(totals(target, {}, c.edges));
    umas_permute_wigner_inv_edge_to_node_backward_f64(
        &c.chunk, rows, CHANNELS, 1, with_bias<S>(c, message, bias).data(), widen(g_x).data(),
        want.data(), gradient.data());

    device_array<S> message_(message);
    device_array<float> bias_(bias), g_x_(g_x);
    auto stage = [&](S *g_message, float *to_target) {
        in_chunks(c, chunks, [&](edge_span s) {
            const size_t at = (size_t)s.begin * (size_t)width;
            permute_wigner_inv_edge_to_node_backward<S>(0, rows, c.device.list(), s, bias_,
                                                        message_ + at, g_x_, g_message + at,
                                                        {slots(to_target), NULL});
        });
    };
    const stored<S> no_message = stored_poison<S>(c.room_of(width));
    check_stored("permute_wigner_inv_edge_to_node_backward, message",
                 output_of(no_message,
                           [&](S *out) {
                               device_array<float> target_(target);
                               stage(out, target_);
                           }),
                 want);
    check_gradient("permute_wigner_inv_edge_to_node_backward, edges", c,
                   output_of(target,
                             [&](float *out) {
                                 device_array<S> g_message_(no_message);
                                 stage(g_message_, out);
                             }),
                   {}, gradient);
}

/* ---- gate --------------------------------------------------------------------------------- */

/* spread: of the numbers that enter it */
template <typename S> void test_gate(const edge_case &c, int chunks, double spread) {
    const int rows = c.rows, width_1 = conv_1_width(rows), width_2 = conv_2_width(rows);
    stored<S> conv_1 = store<S>(random_floats(c.of(width_1), 0, spread, 1));
    stored<S> g_gated = store<S>(random_floats(c.of(width_2), 0, 1, 2));
    conv_1.resize(c.room_of(width_1), S(std::numeric_limits<float>::quiet_NaN()));
    g_gated.resize(c.room_of(width_2), S(1.0f));
    floats bias = random_floats(5 * C, 0, 1, 3);
    doubles in = load<S>(conv_1), want(c.of(width_2)), g_want(c.of(width_1));
    for (size_t i = 0; i < in.size(); i++)
        if (i % (size_t)width_1 < bias.size()) in[i] += bias[i % (size_t)width_1];
    umas_gate_forward_f64((int)c.edges, rows, CHANNELS, DEGREE, in.data() + 2 * C, width_1,
                          in.data(), width_1, want.data());
    umas_gate_backward_f64((int)c.edges, rows, CHANNELS, DEGREE, in.data() + 2 * C, width_1,
                           in.data(), width_1, load<S>(g_gated).data(), g_want.data() + 2 * C,
                           g_want.data());

    device_array<S> conv_1_(conv_1), g_gated_(g_gated);
    device_array<float> bias_(bias);
    auto backward = [&](const S *from, S *to) {
        in_chunks(c, chunks, [&](edge_span s) {
            const size_t at_1 = (size_t)s.begin * (size_t)width_1;
            const size_t at_2 = (size_t)s.begin * (size_t)width_2;
            gate_backward<S>(0, rows, c.device.list(), s, bias_, from + at_1, g_gated_ + at_2,
                             to + at_1);
        });
    };
    check_stored("gate_forward",
                 output_of(stored_poison<S>(c.room_of(width_2)),
                           [&](S *gated) {
                               in_chunks(c, chunks, [&](edge_span s) {
                                   gate_forward<S>(0, rows, c.device.list(), s, bias_,
                                                   conv_1_ + (size_t)s.begin * (size_t)width_1,
                                                   gated + (size_t)s.begin * (size_t)width_2);
                               });
                           }),
                 want);
    check_stored("gate_backward",
                 output_of(stored_poison<S>(conv_1.size()), [&](S *g) { backward(conv_1_, g); }),
                 g_want);
    check_stored("gate_backward in place", output_of(conv_1, [&](S *g) { backward(g, g); }),
                 g_want);
}

/* ---- forces ------------------------------------------------------------------------------- */

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
        edges_to_forces(0, c.device.list(), {slots(target_), slots(source_)}, scale,
                        slots((float *)vector), f, v, partial, report);
    };
    check_forces("edges_to_forces, force", output_of(no_force,
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
    edges_to_forces(0, c.device.list(), {slots(target_), slots(source_)}, 1,
                    slots((float *)vector), force, NULL, partial, report);
    MUST(cudaDeviceSynchronize());
    CHECK(report.read()[0].not_finite != 0);
}

template <typename S> void test_stages(const edge_case &c) {
    for (int chunks : {1, 3}) {
        test_node_to_edge_forward<S>(c, chunks);
        test_node_to_edge_backward<S>(c, chunks);
        test_edge_to_node_forward<S>(c, chunks);
        test_edge_to_node_backward<S>(c, chunks);
        test_gate<S>(c, chunks, 1);
    }
    test_gate<S>(c, 1, 60); /* exp(-x) overflows where x < -88 */
}

int main(void) {
    if (!gpu_is_there()) return CHECK_SKIPPED;
    /* nothing; ghosts alone; atoms without neighbours; ghosts, which have edges out of them only;
     * many neighbours; as many nodes as make the stages choose their other shape */
    const atom_counts cases[] = {{0, 0, 0, 3}, {0, 5, 0, 3},  {1, 0, 0, 3},     {9, 0, 0, 30},
                                 {9, 5, 4, 3}, {30, 9, 8, 3}, {650, 40, 30, 5.5}};
    for (const atom_counts &counts : cases)
        for (int rows : {9, 7}) {
            edge_case c(counts, rows);
            test_stages<float>(c);
            test_stages<__half>(c);
            test_forces(c);
            test_not_finite(c, INFINITY);
            test_not_finite(c, -NAN);
        }
    return check_report();
}
