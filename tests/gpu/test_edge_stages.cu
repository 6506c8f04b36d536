/* The stages that work on edges on the GPU against the CPU's double ones on random inputs, over the
 * whole list at once and in chunks. */
#include "edge_case.cuh"
#include "edge_stages/edge_stages.cuh"
#include "gate_case.cuh"
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

/* ---- gradients of edges ------------------------------------------------------------------- */

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

/* Radial functions and slopes of every edge, random, each stored for itself. */
template <typename S> class radials_of_edges {
    stored<S> radial, radial_slope;
    device_array<S> radial_, radial_slope_;
    const size_t width;

  public:
    explicit radials_of_edges(const edge_case &c)
        : radial(store<S>(random_floats(c.room_of(radial_width(c.rows)), 0, 1, 2))),
          radial_slope(store<S>(random_floats(c.room_of(radial_width(c.rows)), 0, 1, 3))),
          radial_(radial), radial_slope_(radial_slope), width((size_t)radial_width(c.rows)) {}
    doubles value() const { return load<S>(radial); }
    doubles slope() const { return load<S>(radial_slope); }
    stored_radials<S> on_device(edge_span s) const {
        return {radial_ + (size_t)s.begin * width, radial_slope_ + (size_t)s.begin * width};
    }
};

/* ... or all in random tables, of which the edges have their parabolas. */
class radials_in_tables {
    static constexpr double STEP = CUTOFF / (RADIAL_KNOTS - 1);
    const edge_case &c;
    const size_t width;
    stored<__half> table;
    device_array<__half> table_;

  public:
    explicit radials_in_tables(const edge_case &edges)
        : c(edges), width((size_t)radial_width(c.rows)), table(make(edges)), table_(table) {}
    doubles value() const {
        return evaluate([](double u, const double(&cell)[3]) {
            return cell[0] + u * STEP * (cell[1] + 0.5 * (u - 1) * cell[2]);
        });
    }
    doubles slope() const {
        return evaluate(
            [](double u, const double(&cell)[3]) { return cell[1] + (u - 0.5) * cell[2]; });
    }
    tabulated_radials on_device(edge_span) const { return {table_, (float)STEP}; }

  private:
    static stored<__half> make(const edge_case &c) {
        const size_t cell = PARABOLA_ROWS * (size_t)radial_width(c.rows);
        /* the cells that edges lie in; the others must not matter */
        stored<__half> t(PRESENT * PRESENT * RADIAL_KNOTS * cell,
                         __half(std::numeric_limits<float>::quiet_NaN()));
        const floats numbers = random_floats(64 * cell, 0, 1, 2);
        for (const radial_index &p : table_indices(c.host.edges, c.atoms))
            for (size_t i = 0; p.knot >= 0 && i < cell; i++)
                t[(size_t)p.knot * cell + i] = __half(numbers[(size_t)p.knot % 64 * cell + i]);
        return t;
    }
    template <typename Parabola> doubles evaluate(Parabola parabola) const {
        doubles all;
        for (const radial_index &p : table_indices(c.host.edges, c.atoms))
            for (size_t i = 0; p.knot >= 0 && i < width; i++) {
                double cell[PARABOLA_ROWS];
                for (size_t k = 0; k < PARABOLA_ROWS; k++)
                    cell[k] =
                        (double)(float)table[((size_t)p.knot * PARABOLA_ROWS + k) * width + i];
                all.push_back(parabola(p.fraction, cell));
            }
        return all;
    }
};

template <typename S, typename Radials>
void test_node_to_edge_forward(const edge_case &c, const Radials &radials, int chunks) {
    const int rows = c.rows, width = message_width(rows);
    floats h = random_floats(c.nodes * NODE_WIDTH, 0, 1, 1);
    doubles want(c.of(width));
    umas_node_to_edge_wigner_permute_forward_f64(&c.chunk, rows, CHANNELS, widen(h).data(),
                                                 radials.value().data(), want.data());
    device_array<float> h_(h);
    check_stored("node_to_edge_wigner_permute_forward",
                 output_of(stored_poison<S>(c.room_of(width)),
                           [&](S *message) {
                               in_chunks(c.room, chunks, [&](edge_span s) {
                                   node_to_edge_wigner_permute_forward(
                                       0, rows, c.device.list(s), s, h_, radials.on_device(s),
                                       message + (size_t)s.begin * (size_t)width);
                               });
                           }),
                 want);
}

template <typename S> struct node_to_edge_gradients {
    doubles g_h;
    std::vector<umas_edge_gradient> gradient;

    node_to_edge_gradients(const edge_case &c, const floats &h, const doubles &radial,
                           const doubles &slope, const stored<S> &g_message, const doubles &before)
        : g_h(c.nodes * NODE_WIDTH, 0.0), gradient(gradients(before)) {
        const size_t width = (size_t)radial_width(c.rows);
        doubles g_radial(c.edges * width), g_source(c.edges * NODE_WIDTH);
        umas_node_to_edge_wigner_permute_backward_f64(
            &c.chunk, c.rows, CHANNELS, widen(h).data(), radial.data(), load<S>(g_message).data(),
            g_radial.data(), g_source.data(), g_h.data(), gradient.data());
        for (size_t i = 0; i < g_source.size(); i++)
            g_h[(size_t)c.chunk.source[i / NODE_WIDTH] * NODE_WIDTH + i % NODE_WIDTH] +=
                g_source[i];
        for (size_t i = 0; i < g_radial.size(); i++)
            gradient[i / width].distance += g_radial[i] * slope[i];
    }
};

template <typename S, typename Radials>
void test_node_to_edge_backward(const edge_case &c, const Radials &radials, int chunks) {
    const int rows = c.rows, width = message_width(rows);
    floats h = random_floats(c.nodes * NODE_WIDTH, 0, 1, 1);
    stored<S> g_message = store<S>(random_floats(c.room_of(width), 0, 1, 4));
    floats target = earlier_gradient(c, 5), source = earlier_gradient(c, 6);
    node_to_edge_gradients<S> want(c, h, radials.value(), radials.slope(), g_message,
                                   totals(target, source, c.edges));

    device_array<float> h_(h);
    device_array<S> g_message_(g_message);
    auto stage = [&](float *g_h, float *to_target, float *to_source) {
        in_chunks(c.room, chunks, [&](edge_span s) {
            const S *gradients = g_message_ + (size_t)s.begin * (size_t)width;
            node_to_edge_wigner_permute_backward(0, rows, c.device.list(s), s, h_,
                                                 radials.on_device(s), gradients, g_h, chunks > 1,
                                                 {slots(to_target), slots(to_source)});
        });
    };
    /* the whole list overwrites g_h, chunks add to it */
    const size_t numbers = c.nodes * NODE_WIDTH;
    const floats no_g_h = chunks > 1 ? floats(numbers) : poison<float>(numbers);
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
    device_array<float> bias_(bias);
    check_stage("permute_wigner_inv_edge_to_node_forward",
                output_of(x,
                          [&](float *y) {
                              in_chunks(c.room, chunks, [&](edge_span s) {
                                  permute_wigner_inv_edge_to_node_forward<S>(
                                      0, rows, c.device.list(s), s, bias_,
                                      message_ + (size_t)s.begin * (size_t)width, y);
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
        in_chunks(c.room, chunks, [&](edge_span s) {
            const size_t at = (size_t)s.begin * (size_t)width;
            permute_wigner_inv_edge_to_node_backward<S>(0, rows, c.device.list(s), s, bias_,
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
    const int rows = c.rows, width_1 = conv_1_width(rows), width = gated_width(rows);
    stored<S> conv_1 = store<S>(random_floats(c.of(width_1), 0, spread, 1));
    conv_1.resize(c.room_of(width_1), S(std::numeric_limits<float>::quiet_NaN()));
    floats bias = random_floats(5 * C, 0, 1, 3);
    doubles in = load<S>(conv_1), row(c.of(conv_2_width(rows)));
    in.resize(c.of(width_1));
    in = biased(in, bias, rows);
    umas_gate_forward_f64((int)c.edges, rows, CHANNELS, DEGREE, in.data() + 2 * C, width_1,
                          in.data(), width_1, row.data());
    const doubles want = gated_of(in, row, rows);

    device_array<S> conv_1_(conv_1);
    device_array<float> bias_(bias);
    check_stored("gate_forward",
                 output_of(stored_poison<S>(c.room_of(width)),
                           [&](S *gated) {
                               in_chunks(c.room, chunks, [&](edge_span s) {
                                   gate_forward<S>(0, rows, c.device.list(s), s, bias_,
                                                   conv_1_ + (size_t)s.begin * (size_t)width_1,
                                                   gated + (size_t)s.begin * (size_t)width);
                               });
                           }),
                 want);

    /* backwards what the gate left is rounded: it stands for the rows it would have come from */
    stored<S> gated = store<S>(floats(want.begin(), want.end()));
    const doubles g_row = load<S>(store<S>(random_floats(row.size(), 0, 1, 2)));
    in = conv_1_of(load<S>(gated), c.edges, rows);
    doubles g_want(c.of(width_1));
    umas_gate_backward_f64((int)c.edges, rows, CHANNELS, DEGREE, in.data() + 2 * C, width_1,
                           in.data(), width_1, g_row.data(), g_want.data() + 2 * C, g_want.data());
    const doubles unread(in.size(), std::numeric_limits<double>::quiet_NaN());
    const doubles g_gated_wide = gated_of(unread, g_row, rows);
    stored<S> g_gated = store<S>(floats(g_gated_wide.begin(), g_gated_wide.end()));
    for (stored<S> *array : {&gated, &g_gated})
        array->resize(c.room_of(width), S(std::numeric_limits<float>::quiet_NaN()));
    device_array<S> gated_(gated), g_gated_(g_gated);
    check_stored("gate_backward",
                 output_of(stored_poison<S>(c.room_of(width_1)),
                           [&](S *g) {
                               in_chunks(c.room, chunks, [&](edge_span s) {
                                   const size_t at = (size_t)s.begin * (size_t)width;
                                   gate_backward<S>(0, rows, c.device.list(s), s, gated_ + at,
                                                    g_gated_ + at,
                                                    g + (size_t)s.begin * (size_t)width_1);
                               });
                           }),
                 g_want);
}

template <typename S, typename Radials>
void test_node_to_edge(const edge_case &c, const Radials &radials) {
    for (int chunks : {1, 3}) {
        test_node_to_edge_forward<S>(c, radials, chunks);
        test_node_to_edge_backward<S>(c, radials, chunks);
    }
}

template <typename S> void test_stages(const edge_case &c) {
    test_node_to_edge<S>(c, radials_of_edges<S>(c));
    for (int chunks : {1, 3}) {
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
    const atom_counts cases[] = {{0, 0, 0, 3}, {0, 5, 0, 3},  {1, 0, 0, 3},      {9, 0, 0, 30},
                                 {9, 5, 4, 3}, {30, 9, 8, 3}, {650, 40, 30, 5.5}};
    for (const atom_counts &counts : cases)
        for (int rows : {9, 7}) {
            edge_case c(counts, rows);
            test_stages<float>(c);
            test_stages<__half>(c);
            test_node_to_edge<__half>(c, radials_in_tables(c));
        }
    return check_report();
}
