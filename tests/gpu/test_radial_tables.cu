/* The tabulated radial functions, and the edge-degree embedding that reads them, against the CPU's
 * radial MLP in double. */
#include "edge_graph.cuh"
#include "stored.cuh"
#include "weights/radial_table.cuh"

extern "C" {
#include "stages.h"
}
/* Here these are the CUDA stages; the CPU's go by their full names. */
#undef edge_degree_embedding_forward
#undef edge_degree_embedding_backward

static const size_t C = CHANNELS;
static const int DISTANCES = 32, OUTPUTS = 3 * CHANNELS;

static umas_architecture make_architecture(void) {
    umas_architecture a = {};
    a.sphere_channels = a.hidden_channels = a.edge_channels = CHANNELS;
    a.distance_functions = DISTANCES;
    a.elements = PRESENT + 1;
    a.cutoff = CUTOFF;
    return a;
}
static const umas_architecture ARCHITECTURE = make_architecture();

/* A random radial MLP, on the host and on the device. */
struct radial_case {
    const double product = 1 / sqrt((double)C);
    weight_vector basis{C * DISTANCES, 0, 0.3, 1}, source{C * (PRESENT + 1), 0, 1, 2},
        target{C * (PRESENT + 1), 0, 1, 3}, norm_0_w{C, 1, 0.2, 4}, norm_0_b{C, 0, 0.3, 5},
        linear_1_w{C * C, 0, product, 6}, linear_1_b{C, 0, 0.3, 7}, norm_1_w{C, 1, 0.2, 8},
        norm_1_b{C, 0, 0.3, 9}, linear_2_w{OUTPUTS * C, 0, product, 10},
        linear_2_b{OUTPUTS, 0, 0.3, 11};

    radial_weights on_host() {
        return {OUTPUTS,
                basis.wide.data(),
                source.wide.data(),
                target.wide.data(),
                norm_0_w.wide.data(),
                norm_0_b.wide.data(),
                linear_1_w.wide.data(),
                linear_1_b.wide.data(),
                norm_1_w.wide.data(),
                norm_1_b.wide.data(),
                linear_2_w.wide.data(),
                linear_2_b.wide.data()};
    }
    radial_mlp on_device() const {
        return {DISTANCES,         OUTPUTS,           (float)CUTOFF,   basis.narrow,
                source.narrow,     target.narrow,     norm_0_w.narrow, norm_0_b.narrow,
                linear_1_w.narrow, linear_1_b.narrow, norm_1_w.narrow, norm_1_b.narrow,
                linear_2_w.narrow, linear_2_b.narrow};
    }
};

/* Edges of these vectors and elements, with room for what the radial MLP remembers. */
struct host_chunk {
    ints source, target, source_element, target_element;
    doubles wigner, envelope, envelope_slope, basis, basis_slope;
    doubles linear_0, linear_1, hidden, g_basis;
    edge_chunk chunk{};
    radial_activations act{};

    host_chunk(const ints &sources, const ints &targets, const ints &source_elements,
               const ints &target_elements, const double (*vector)[3])
        : source(sources), target(targets), source_element(source_elements),
          target_element(target_elements) {
        const size_t n = source_element.size(), g = (size_t)DISTANCES;
        wigner.resize(n * WIGNER_ENTRIES);
        for (doubles *array : {&envelope, &envelope_slope}) array->resize(n);
        for (doubles *array : {&basis, &basis_slope, &g_basis}) array->resize(n * g);
        for (doubles *array : {&linear_0, &linear_1, &hidden}) array->resize(n * C);
        chunk = {(int)n,
                 source.data(),
                 target.data(),
                 source_element.data(),
                 target_element.data(),
                 wigner.data(),
                 envelope.data(),
                 envelope_slope.data(),
                 basis.data(),
                 basis_slope.data()};
        act = {{linear_0.data(), linear_1.data()}, hidden.data(), g_basis.data()};
        edge_geometry_forward(&ARCHITECTURE, vector, &chunk);
    }
    host_chunk(const host_chunk &) = delete;
    host_chunk &operator=(const host_chunk &) = delete;
    /* The MLP's outputs [edges][OUTPUTS]; its second hidden layer is then in `hidden`. */
    doubles outputs(const radial_weights &w) {
        doubles out(source_element.size() * (size_t)OUTPUTS);
        unified_radial_mlp_forward(&ARCHITECTURE, &w, &chunk, &act, out.data());
        return out;
    }
};

/* Slopes by central differences of fourth order between values at -2, -1, 1 and 2 steps. */
static doubles slopes(const doubles (&at)[4], double step) {
    doubles slope(at[0].size());
    for (size_t i = 0; i < slope.size(); i++)
        slope[i] = (at[0][i] - 8 * at[1][i] + 8 * at[2][i] - at[3][i]) / (12 * step);
    return slope;
}
static const double PLACES[4] = {-2, -1, 1, 2};

/* ---- tables ------------------------------------------------------------------------------- */

/* All knots of all pairs but those at distance 0, as edges along y at `offset` from their knots. */
struct knot_edges {
    ints source, target;
    std::vector<double> vector;

    explicit knot_edges(double offset) {
        for (int pair = 0; pair < PRESENT * PRESENT; pair++)
            for (int knot = 1; knot < RADIAL_KNOTS; knot++) {
                source.push_back(1 + pair / PRESENT);
                target.push_back(1 + pair % PRESENT);
                vector.insert(vector.end(), {0, knot * CUTOFF / (RADIAL_KNOTS - 1) + offset, 0});
            }
    }
    /* The MLP's outputs, or its second hidden layer. */
    doubles evaluate(const radial_weights &w, bool with_output) const {
        host_chunk c(source, target, source, target, (const double(*)[3])vector.data());
        doubles outputs = c.outputs(w);
        return with_output ? outputs : c.hidden;
    }
};

/* What a table holds at the knots of knot_edges: values (row 0), or slopes times a step (1). */
static floats at_knots(const floats &table, size_t width, size_t row) {
    floats numbers;
    for (size_t i = 0; i < table.size(); i++)
        if (i / (RADIAL_ROWS * width) % RADIAL_KNOTS != 0 && i / width % RADIAL_ROWS == row)
            numbers.push_back(table[i]);
    return numbers;
}

/* The parabolas of all cells: values at knots, mean slopes and changes of slopes up to the next. */
static void test_parabolas(radial_case &w, const device_array<int> &present) {
    const size_t width = OUTPUTS;
    const double step = CUTOFF / (RADIAL_KNOTS - 1), difference = DIFFERENCE_STEP / 2;
    const stored<__half> table = output_of(
        stored_poison<__half>(PRESENT * PRESENT * RADIAL_KNOTS * PARABOLA_ROWS * width),
        [&](__half *values) { radial_parabolas_fill(0, w.on_device(), present, PRESENT, values); });
    const auto outputs = [&](double offset) {
        return knot_edges(offset).evaluate(w.on_host(), true);
    };
    doubles want[PARABOLA_ROWS] = {outputs(0), outputs(step)}, at[2][4], slope[2];
    for (int end = 0; end < 2; end++) {
        for (int i = 0; i < 4; i++) at[end][i] = outputs(end * step + PLACES[i] * difference);
        slope[end] = slopes(at[end], difference);
    }
    for (size_t i = 0; i < want[0].size(); i++) {
        want[1][i] = (want[1][i] - want[0][i]) / step;
        want[2].push_back(slope[1][i] - slope[0][i]);
    }
    const char *const names[PARABOLA_ROWS] = {"radial_parabolas_fill, value",
                                              "radial_parabolas_fill, mean slope",
                                              "radial_parabolas_fill, change of slope"};
    for (size_t row = 0; row < PARABOLA_ROWS; row++) {
        doubles got;
        for (size_t i = 0; i < table.size(); i++)
            if (i / (PARABOLA_ROWS * width) % RADIAL_KNOTS != 0 && i / width % PARABOLA_ROWS == row)
                got.push_back((double)(float)table[i]);
        check_close(names[row], got.data(), want[row].data(), (long)want[row].size(),
                    TOLERANCE_TABLE * largest_of(want[row]), TOLERANCE_HALF);
    }
}

static void test_table(radial_case &w, const device_array<int> &present, bool with_output) {
    const size_t width = with_output ? OUTPUTS : C;
    const double step = CUTOFF / (RADIAL_KNOTS - 1), difference = DIFFERENCE_STEP / 2;
    floats table = output_of(
        poison<float>(PRESENT * PRESENT * RADIAL_KNOTS * RADIAL_ROWS * width), [&](float *values) {
            radial_table_fill(0, w.on_device(), present, PRESENT, with_output, values);
        });
    for (float v : table) CHECK(std::isfinite(v));
    check_stage("radial_table_fill, value", at_knots(table, width, 0),
                knot_edges(0).evaluate(w.on_host(), with_output));
    doubles at[4];
    for (int i = 0; i < 4; i++)
        at[i] = knot_edges(PLACES[i] * difference).evaluate(w.on_host(), with_output);
    doubles slope = slopes(at, difference);
    for (double &s : slope) s *= step;
    check_stage("radial_table_fill, slope", at_knots(table, width, 1), slope);
}

/* ---- edges that read them ----------------------------------------------------------------- */

/* A graph, its edges as the radial MLP sees them, and tables on the device. */
struct table_case {
    scattered_atoms atoms;
    host_edges host;
    const size_t edges, room;
    host_chunk on_host;
    device_edges device;

    explicit table_case(const atom_counts &counts)
        : atoms(counts), host(atoms), edges((size_t)host.edges.count), room(edges + SPARE_EDGES),
          on_host(ints(host.edges.source_node, host.edges.source_node + edges),
                  ints(host.edges.target, host.edges.target + edges), elements(host.edges.source),
                  elements(host.edges.target), host.edges.vector),
          device(
              atoms, host.edges,
              edge_records(host.edges, on_host.wigner, on_host.envelope, on_host.envelope_slope)) {}

    /* The same edges, longer by this. */
    doubles hidden_at(const radial_weights &w, double stretch) const {
        doubles vector;
        for (size_t e = 0; e < edges; e++) {
            const double *v = host.edges.vector[e];
            const double length = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
            for (int d = 0; d < 3; d++) vector.push_back(v[d] * (1 + stretch / length));
        }
        host_chunk c(on_host.source, on_host.target, on_host.source_element, on_host.target_element,
                     (const double(*)[3])vector.data());
        (void)c.outputs(w);
        return c.hidden;
    }

  private:
    ints elements(const int *atom) const {
        ints z;
        for (size_t e = 0; e < edges; e++) z.push_back(atoms.element[(size_t)atom[e]]);
        return z;
    }
};

static radial_table make_table(const device_array<float> &values) {
    return {values, (float)((RADIAL_KNOTS - 1) / CUTOFF)};
}

/* want [edges][C], the bias column and zeros behind them as the product needs them. */
template <typename S>
void check_hidden(const char *name, const stored<S> &got, const doubles &want, bool slope) {
    const size_t edges = want.size() / C;
    stored<S> channels;
    for (size_t i = 0; i < got.size(); i++) {
        const size_t edge = i / HIDDEN_WIDTH, column = i % HIDDEN_WIDTH;
        if (column < C)
            channels.push_back(got[i]);
        else if (edge < edges)
            CHECK((float)got[i] == (column == C && !slope ? 1.0f : 0.0f));
        else
            CHECK(std::isnan((float)got[i]));
    }
    doubles numbers = load(channels);
    CHECK(numbers.size() >= want.size());
    for (size_t i = want.size(); i < numbers.size(); i++) CHECK(std::isnan(numbers[i]));
    check_close(name, numbers.data(), want.data(), (long)want.size(),
                (slope ? TOLERANCE_TABLE_SLOPE : TOLERANCE_TABLE) * largest_of(want),
                sizeof(S) == 2 ? TOLERANCE_HALF : 0);
}

template <typename S>
void test_hidden(const table_case &c, radial_case &w, const radial_table &table, int chunks) {
    const int all = (int)c.room, size = (all + chunks - 1) / chunks;
    for (bool slope : {false, true}) {
        stored<S> got = output_of(stored_poison<S>(c.room * HIDDEN_WIDTH), [&](S *hidden) {
            for (int begin = 0; begin < all; begin += size)
                radial_hidden<S>(0, c.device.list(), {begin, std::min(size, all - begin)}, table,
                                 slope, hidden + (size_t)begin * HIDDEN_WIDTH);
        });
        if (slope) {
            const double step = DIFFERENCE_STEP / 2;
            doubles at[4];
            for (int i = 0; i < 4; i++) at[i] = c.hidden_at(w.on_host(), PLACES[i] * step);
            check_hidden<S>("radial_hidden, slope", got, slopes(at, step), true);
        } else {
            check_hidden<S>("radial_hidden, value", got, c.hidden_at(w.on_host(), 0), false);
        }
    }
}

/* The slopes, through the product with the last weights, against the MLP's own backward pass. */
static void test_hidden_slope(table_case &c, radial_case &w, const radial_table &table) {
    device_array<float> hidden(poison<float>(c.room * HIDDEN_WIDTH));
    radial_hidden<float>(0, c.device.list(), {0, (int)c.room}, table, true, hidden);
    MUST(cudaDeviceSynchronize());
    floats slope = hidden.read();
    doubles g_out = widen(random_floats(c.edges * OUTPUTS, 0, 1, 1));
    std::vector<umas_edge_gradient> gradient(c.edges);
    radial_weights host = w.on_host();
    (void)c.on_host.outputs(host);
    unified_radial_mlp_backward(&ARCHITECTURE, &host, &c.on_host.chunk, &c.on_host.act,
                                g_out.data(), gradient.data());
    doubles got(c.edges), want;
    for (size_t e = 0; e < c.edges; e++) {
        want.push_back(gradient[e].distance);
        for (size_t i = 0; i < (size_t)OUTPUTS; i++)
            for (size_t j = 0; j < C; j++)
                got[e] += g_out[e * OUTPUTS + i] * host.linear_2_w[i * C + j] *
                          slope[e * HIDDEN_WIDTH + j];
    }
    check_close("radial_hidden, gradient", got.data(), want.data(), (long)c.edges,
                TOLERANCE_TABLE_SLOPE * largest_of(want), 0);
}

/* ---- edge degree -------------------------------------------------------------------------- */

static dense_weights degree_weights(radial_case &w) {
    dense_weights d = {};
    d.architecture = ARCHITECTURE;
    d.edge_degree = w.on_host();
    return d;
}

static void test_degree_forward(table_case &c, radial_case &w, const radial_table &table) {
    floats x = random_floats((size_t)c.atoms.atoms.owned * NODE_WIDTH, 0, 1, 1);
    dense_weights host = degree_weights(w);
    doubles want = widen(x), radial(c.edges * OUTPUTS);
    umas_edge_degree_embedding_forward_f64(&host, &c.on_host.chunk, &c.on_host.act, radial.data(),
                                           want.data());
    floats got = output_of(
        x, [&](float *out) { edge_degree_embedding_forward(0, c.device.list(), table, out); });
    check_close("edge_degree_embedding_forward", widen(got).data(), want.data(), (long)want.size(),
                TOLERANCE_TABLE * largest_of(want), 0);
}

static void test_degree_backward(table_case &c, radial_case &w, const radial_table &table) {
    const size_t slots = 8; /* numbers of an edge: two times torque x, torque z, distance, none */
    floats g_x = random_floats((size_t)c.atoms.atoms.owned * NODE_WIDTH, 0, 1, 1);
    floats before = random_floats(c.edges * slots, 0, 1, 2);
    before.resize(c.room * slots, std::numeric_limits<float>::quiet_NaN());
    std::vector<umas_edge_gradient> gradient(c.edges);
    dense_weights host = degree_weights(w);
    doubles radial(c.edges * OUTPUTS), g_radial(c.edges * OUTPUTS);
    umas_edge_degree_embedding_backward_f64(&host, &c.on_host.chunk, &c.on_host.act, radial.data(),
                                            widen(g_x).data(), g_radial.data(), gradient.data());
    device_array<float> g_x_(g_x);
    floats after = output_of(before, [&](float *target) {
        edge_degree_embedding_backward(0, c.device.list(), table, g_x_,
                                       {reinterpret_cast<float4 *>(target), NULL});
    });
    doubles got, want;
    for (size_t e = 0; e < c.edges; e++) {
        want.insert(want.end(), {gradient[e].torque_x, gradient[e].torque_z, gradient[e].distance});
        for (size_t k = e * slots; k < e * slots + 3; k++)
            got.push_back((double)after[k] - before[k] + after[k + 4] - before[k + 4]);
    }
    check_close("edge_degree_embedding_backward", got.data(), want.data(), (long)want.size(),
                TOLERANCE_TABLE_SLOPE * largest_of(want), 0);
}

int main(void) {
    if (!gpu_is_there()) return CHECK_SKIPPED;
    radial_case w;
    device_array<int> present({1, 2, 3, 4});
    test_table(w, present, true);
    test_table(w, present, false);
    test_parabolas(w, present);
    const size_t knots = PRESENT * PRESENT * RADIAL_KNOTS * RADIAL_ROWS;
    device_array<float> hidden_values(poison<float>(knots * C));
    device_array<float> output_values(poison<float>(knots * OUTPUTS));
    radial_table_fill(0, w.on_device(), present, PRESENT, false, hidden_values);
    radial_table_fill(0, w.on_device(), present, PRESENT, true, output_values);
    MUST(cudaDeviceSynchronize());
    /* nothing; ghosts alone; atoms without neighbours; more */
    const atom_counts cases[] = {{0, 0, 0, 3}, {0, 5, 0, 3},    {1, 0, 0, 3},    {9, 0, 0, 30},
                                 {9, 5, 4, 3}, {40, 12, 10, 3}, {650, 40, 30, 6}};
    for (const atom_counts &counts : cases) {
        table_case c(counts);
        for (int chunks : {1, 3}) {
            test_hidden<float>(c, w, make_table(hidden_values), chunks);
            test_hidden<__half>(c, w, make_table(hidden_values), chunks);
        }
        test_hidden_slope(c, w, make_table(hidden_values));
        test_degree_forward(c, w, make_table(output_values));
        test_degree_backward(c, w, make_table(output_values));
    }
    return check_report();
}
