/* The convolutions' products as one kernel each, with the gate and without, against the CPU's
 * double stages. */
#include "gate_case.cuh"
#include "products/wgmma_products.cuh"
#include "stored.cuh"

extern "C" {
#include "stages.h"
}
/* Here these are the CUDA stages; the CPU's go by their full names. */
#undef gate_forward
#undef gate_backward

static const size_t C = CHANNELS;
/* Room in arrays behind the last edge, where anything may be. */
static const int SPARE = 5;

/* A product rounded to 16 bits, in units of the largest number. */
#define TOLERANCE_SUM TOLERANCE_PRODUCT

typedef stored<__half> halves;

static floats rounded(floats v) {
    for (float &x : v) x = (float)__half(x);
    return v;
}

/* Tiles on the device. */
struct device_tiles {
    device_array<__half> image;
    tiled_weights w;

    device_tiles(tiled_weights packed, const halves &tiles) : image(tiles), w(packed) {
        w.tiles = reinterpret_cast<const char *>((__half *)image);
    }
};

/* Weights of 16 bits, those of the CPU in double. */
struct convolution {
    const int rows, inputs, extra, before;
    floats m0, m1, m2;
    doubles wide_m0, wide_m1, wide_m2, no_bias;
    so2_weights wide{};

    convolution(int message_rows, int K, int scalars, unsigned seed)
        : rows(message_rows), inputs(K), extra(scalars), before(scalars ? 0 : GATE_INPUTS) {
        const size_t N = C, k = (size_t)K, first = (size_t)scalars + 3 * N;
        m0 = rounded(random_floats(first * 3 * k, 0, 1 / sqrt(3.0 * K), seed));
        m1 = rounded(random_floats(2 * 2 * N * 2 * k, 0, 1 / sqrt(4.0 * K), seed + 1));
        m2 = rounded(random_floats(2 * N * k, 0, 1 / sqrt(2.0 * K), seed + 2));
        wide_m0 = widen(m0), wide_m1 = widen(m1), wide_m2 = widen(m2);
        no_bias.resize(first);
        wide = {
            K, (int)N, scalars, wide_m0.data(), no_bias.data(), {wide_m1.data(), wide_m2.data()}};
    }
    convolution(const convolution &) = delete;
    convolution &operator=(const convolution &) = delete;

    int width_in() const { return before + rows * inputs; }
    int width_out() const { return extra + rows * (int)C; }
    device_tiles tiles(bool transposed, bool gated) const {
        halves image;
        const tiled_weights packed =
            pack_tiles({inputs, (int)C, extra, before, m0.data(), {m1.data(), m2.data()}}, rows,
                       transposed, gated, image);
        return {packed, image};
    }
    doubles forward(size_t edges, const halves &x) const {
        doubles y(edges * (size_t)width_out()), wide_x = load(x), in;
        for (size_t e = 0; e < edges; e++) {
            const double *row = wide_x.data() + e * (size_t)width_in();
            in.insert(in.end(), row + before, row + width_in());
        }
        umas_so2_conv_forward_f64((int)edges, rows, &wide, in.data(), y.data());
        return y;
    }
    doubles backward(size_t edges, const halves &g_y) const {
        doubles g_x(edges * (size_t)(rows * inputs));
        umas_so2_conv_backward_f64((int)edges, rows, &wide, load(g_y).data(), g_x.data());
        return g_x;
    }
};

/* So many edges of a list, worked on in chunks. */
struct edge_case {
    const size_t edges, room;
    const int chunks;
    device_array<int> count;
    edge_list list{};

    edge_case(int n, int chunk_count)
        : edges((size_t)n), room(edges + SPARE), chunks(chunk_count), count({n}) {
        list.end = count;
        list.capacity = (int)room;
    }
    /* stage(span): whether the kernel could be queued */
    template <typename Stage> void queue(Stage stage) const {
        in_chunks(room, chunks, [&](edge_span s) { CHECK(stage(s)); });
    }
    /* of edges, and what must not matter behind them */
    halves numbers(int width, unsigned seed) const {
        halves x = store<__half>(random_floats(edges * (size_t)width, 0, 1, seed));
        x.resize(room * (size_t)width, __half(std::numeric_limits<float>::quiet_NaN()));
        return x;
    }
    halves poison(int width) const { return stored_poison<__half>(room * (size_t)width); }
};

static size_t at(edge_span s, int width) { return (size_t)s.begin * (size_t)width; }

static void check_product(const char *name, const halves &got, const doubles &want) {
    const doubles all = load(got);
    for (size_t i = want.size(); i < all.size(); i++) CHECK(std::isnan(all[i]));
    check_close(name, all.data(), want.data(), (long)want.size(), TOLERANCE_SUM * largest_of(want),
                TOLERANCE_HALF);
}

static void test_products(const char *name, const edge_case &c, const device_tiles &tiles,
                          const halves &x, int width_x, int width_y, const doubles &want) {
    device_array<__half> x_(x);
    check_product(name,
                  output_of(c.poison(width_y),
                            [&](__half *y) {
                                c.queue([&](edge_span s) {
                                    return tiled_products(0, c.list, s, tiles.w,
                                                          x_ + at(s, width_x), width_x,
                                                          y + at(s, width_y), width_y);
                                });
                            }),
                  want);
}

static void test_plain(const edge_case &c, const convolution &conv) {
    const int in = conv.width_in(), out = conv.width_out();
    const halves x = c.numbers(in, 1), g_y = c.numbers(out, 2);
    if (conv.extra == 0)
        test_products("conv_2 forward", c, conv.tiles(false, false), x, in, out,
                      conv.forward(c.edges, x));
    else
        test_products("conv_1 backward", c, conv.tiles(true, false), g_y, out, in,
                      conv.backward(c.edges, g_y));
}

static void test_gate_forward(const edge_case &c, const convolution &conv) {
    const int in = conv.width_in(), out = conv.width_out(), rows = conv.rows;
    const int width = gated_width(rows);
    const halves message = c.numbers(in, 3);
    const floats bias = random_floats(5 * C, 0, 1, 4);
    const doubles y = biased(conv.forward(c.edges, message), bias, rows);
    doubles row(c.edges * (size_t)conv_2_width(rows));
    umas_gate_forward_f64((int)c.edges, rows, CHANNELS, DEGREE, y.data() + 2 * C, out, y.data(),
                          out, row.data());
    const device_tiles tiles = conv.tiles(false, true);
    device_array<__half> message_(message);
    device_array<float> bias_(bias);
    check_product("so2_gate_forward",
                  output_of(c.poison(width),
                            [&](__half *to) {
                                c.queue([&](edge_span s) {
                                    return so2_gate_forward(0, rows, c.list, s, tiles.w, bias_,
                                                            message_ + at(s, in),
                                                            to + at(s, width));
                                });
                            }),
                  gated_of(y, row, rows));
}

static void test_gate_backward(const edge_case &c, const convolution &conv) {
    const int rows = conv.rows, width = gated_width(rows), out = conv_1_width(rows);
    const int width_2 = conv_2_width(rows);
    const halves g_conv_2 = c.numbers(width_2, 5), gated = c.numbers(width, 6);
    const doubles y = conv_1_of(load(gated), c.edges, rows);
    doubles want(y.size());
    umas_gate_backward_f64((int)c.edges, rows, CHANNELS, DEGREE, y.data() + 2 * C, out, y.data(),
                           out, conv.backward(c.edges, g_conv_2).data(), want.data() + 2 * C,
                           want.data());
    const device_tiles tiles = conv.tiles(true, true);
    device_array<__half> g_conv_2_(g_conv_2), gated_(gated);
    check_product("so2_gate_backward",
                  output_of(c.poison(out),
                            [&](__half *to) {
                                c.queue([&](edge_span s) {
                                    return so2_gate_backward(
                                        0, rows, c.list, s, tiles.w, g_conv_2_ + at(s, width_2),
                                        gated_ + at(s, width), to + at(s, out));
                                });
                            }),
                  want);
}

static void test_radial(const edge_case &c, int rows) {
    const int n = radial_width(rows), k = HIDDEN_WIDTH;
    const floats w = rounded(random_floats((size_t)(n * k), 0, 1 / sqrt(1.0 * k), 8));
    const halves x = c.numbers(k, 9);
    const doubles wide = load(x);
    doubles want(c.edges * (size_t)n, 0.0);
    for (size_t e = 0; e < c.edges; e++)
        for (size_t i = 0; i < (size_t)n; i++)
            for (size_t j = 0; j < (size_t)k; j++)
                want[e * (size_t)n + i] += wide[e * (size_t)k + j] * w[i * (size_t)k + j];
    halves image;
    const tiled_weights packed = pack_tiles(w.data(), n, k, image);
    test_products("radial product", c, {packed, image}, x, k, n, want);
}

/* ---- many times more edges than the chip takes at once ------------------------------------- */

/* Every row is one of the first PERIOD, each in all places of a tile, and must come out with the
 * same bits wherever it stands and whatever its blocks did before: what blocks hand on too early
 * or too late shows in a few rows of tens of thousands only. */
static const size_t PERIOD = 1500, MANY = 60000;

static halves repeated(int width, unsigned seed) {
    const halves rows = store<__half>(random_floats(PERIOD * (size_t)width, 0, 1, seed));
    halves x;
    while (x.size() < MANY * (size_t)width) x.insert(x.end(), rows.begin(), rows.end());
    x.resize((MANY + SPARE) * (size_t)width, __half(std::numeric_limits<float>::quiet_NaN()));
    return x;
}

template <typename Stage>
static void check_repeated(const char *name, const edge_case &c, int width, Stage stage) {
    const halves y = output_of(c.poison(width), [&](__half *to) {
        CHECK(stage(edge_span{0, (int)c.room}, to));
    });
    const size_t bytes = (size_t)width * sizeof y[0];
    size_t wrong = 0;
    for (size_t e = PERIOD; e < MANY; e++)
        wrong += memcmp(&y[e * (size_t)width], &y[e % PERIOD * (size_t)width], bytes) != 0;
    if (!CHECK(wrong == 0)) fprintf(stderr, "%s: %zu of %zu rows differ\n", name, wrong, MANY);
    /* many edges have tiles of 128, few have tiles of 64 */
    CHECK(!small_tiles_pay({0, (int)c.room}, 2) && small_tiles_pay({0, (int)PERIOD}, 2));
    const halves few = output_of(c.poison(width), [&](__half *to) {
        CHECK(stage(edge_span{0, (int)PERIOD}, to));
    });
    const doubles got = load(few), want = load(y);
    const long numbers = (long)(PERIOD * (size_t)width);
    const doubles first(want.begin(), want.begin() + numbers);
    check_close(name, got.data(), first.data(), numbers, TOLERANCE_SUM * largest_of(first),
                2 * TOLERANCE_HALF);
}

static void test_many_edges(const convolution &conv_1, const convolution &conv_2) {
    const int rows = conv_1.rows, wide = conv_1.width_in(), narrow = conv_2_width(rows);
    const int gated_columns = gated_width(rows), conv_1_columns = conv_1_width(rows);
    const edge_case c((int)MANY, 1);
    const device_tiles forward_1 = conv_1.tiles(false, true),
                       forward_2 = conv_2.tiles(false, false);
    const device_tiles back_2 = conv_2.tiles(true, true), back_1 = conv_1.tiles(true, false);
    device_array<float> bias(random_floats(5 * C, 0, 1, 21));
    device_array<__half> message(repeated(wide, 22)), gated(repeated(gated_columns, 23));
    device_array<__half> g_conv_2(repeated(narrow, 24)), g_conv_1(repeated(conv_1_columns, 25));
    check_repeated("so2_gate_forward", c, gated_columns, [&](edge_span s, __half *to) {
        return so2_gate_forward(0, rows, c.list, s, forward_1.w, bias, message, to);
    });
    check_repeated("conv_2 forward", c, narrow, [&](edge_span s, __half *to) {
        return tiled_products(0, c.list, s, forward_2.w, gated, gated_columns, to, narrow);
    });
    check_repeated("so2_gate_backward", c, conv_1_columns, [&](edge_span s, __half *to) {
        return so2_gate_backward(0, rows, c.list, s, back_2.w, g_conv_2, gated, to);
    });
    check_repeated("conv_1 backward", c, wide, [&](edge_span s, __half *to) {
        return tiled_products(0, c.list, s, back_1.w, g_conv_1, conv_1_columns, to, wide);
    });
}

int main(void) {
    if (!gpu_is_there()) return CHECK_SKIPPED;
    if (!tiles_supported(0)) {
        printf("skipped: these kernels are for compute capability 9.0\n");
        return CHECK_SKIPPED;
    }
    for (int rows : {9, 7}) {
        const convolution conv_1(rows, 2 * CHANNELS, 2 * CHANNELS, 11);
        const convolution conv_2(rows, CHANNELS, 0, 12);
        /* nothing; parts of a block, of a cluster; chunks; more than the chip takes at once */
        const int cases[][2] = {{0, 1}, {1, 1}, {127, 1}, {129, 1}, {129, 3}, {600, 3}, {1500, 1}};
        for (const auto &[edges, chunks] : cases) {
            const edge_case c(edges, chunks);
            test_gate_forward(c, conv_1);
            test_plain(c, conv_2);
            test_gate_backward(c, conv_2);
            test_plain(c, conv_1);
            if (edges < 1000) test_radial(c, rows);
        }
        test_many_edges(conv_1, conv_2);
    }
    return check_report();
}
