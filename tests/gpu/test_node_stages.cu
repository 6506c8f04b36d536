/* The node stages on the GPU against the CPU's double ones on random inputs. */
#include <algorithm>

#include "device.cuh"
#include "device_array.cuh"
#include "node_stages/node_stages.cuh"
#include "stored.cuh"
#include "weights/weight_fragments.cuh"

extern "C" {
#include "stages.h"
}
/* Here these are the CUDA stages; the CPU's go by their full names. */
#undef rms_norm_sh_forward
#undef rms_norm_sh_backward
#undef atomwise_forward
#undef atomwise_backward

static const size_t C = CHANNELS;

static size_t node_numbers(int count) { return (size_t)count * NODE_WIDTH; }

/* What a norm keeps, on the device. */
template <typename N> struct kept_rows {
    device_array<N> rows;
    device_array<float> inverse;
    explicit kept_rows(int count)
        : rows(stored_poison<N>(node_numbers(count))), inverse(poison<float>((size_t)count)) {}
    kept_norm<N> norm() const { return {rows, inverse}; }
};

/* A gradient that was computed from what is kept: stored in 16 bits, that is rounded. */
template <typename N>
static void check_from_kept(const char *name, const floats &got, const doubles &want) {
    const double tolerance = sizeof(N) == 2 ? TOLERANCE_HALF : TOLERANCE_STAGE;
    check_close(name, widen(got).data(), want.data(), (long)want.size(),
                tolerance * largest_of(want), 0);
}

/* A mean far from zero shows whether it is subtracted before squares are taken. */
template <typename N> static void test_norm(int count, double mean, bool with_shift) {
    floats w = random_floats(3 * C, 1, 0.2, 1), b = random_floats(C, 0, 1, 2);
    floats shift = random_floats(C, 0, 1, 3), x = random_floats(node_numbers(count), 0, 1, 4);
    floats g_y = random_floats(x.size(), 0, 1, 5), g_x = random_floats(x.size(), 0, 1, 6);
    for (int n = 0; n < count; n++)
        for (size_t c = 0; c < C; c++) x[(size_t)n * NODE_WIDTH + c] += (float)mean;
    device_array<float> w_(w), b_(b), shift_(shift), x_(x), g_y_(g_y);
    const norm_weights weights = {w_, b_, with_shift ? (float *)shift_ : NULL};
    const kept_rows<N> kept(count);

    doubles wide_w = widen(w), wide_shift = widen(shift), wide_x = widen(x), want(x.size());
    umas_rms_norm_sh_forward_f64(count, CHANNELS, wide_w.data(), widen(b).data(),
                                 with_shift ? wide_shift.data() : NULL, wide_x.data(), want.data());
    check_stage(
        "rms_norm_sh_forward",
        output_of(poison<float>(x.size()),
                  [&](float *y) { rms_norm_sh_forward(0, count, weights, x_, y, kept.norm()); }),
        want);
    check_from_kept<N>(
        "rms_norm_sh_restore",
        output_of(poison<float>(x.size()),
                  [&](float *y) { rms_norm_sh_restore(0, count, count, weights, kept.norm(), y); }),
        want);

    want = widen(g_x);
    umas_rms_norm_sh_backward_f64(count, CHANNELS, wide_w.data(), wide_x.data(), widen(g_y).data(),
                                  want.data());
    check_from_kept<N>(
        "rms_norm_sh_backward",
        output_of(g_x,
                  [&](float *g) { rms_norm_sh_backward(0, count, weights, kept.norm(), g_y_, g); }),
        want);
}

/* Rows of other ranks are kept as they came, and the others as they were. */
template <typename N> static void test_keep(int count) {
    const int owned = count / 2;
    const size_t first = node_numbers(owned);
    const stored<N> rows = store<N>(random_floats(node_numbers(count), 0, 1, 1));
    const floats y(rows.begin(), rows.end());
    device_array<float> y_(y), w_(floats(3 * C, 1.0f)), b_(floats(C, 0.0f));
    const kept_rows<N> kept(count);
    rms_norm_sh_keep(0, owned, count, y_, kept.norm());
    const floats got = output_of(poison<float>(y.size()), [&](float *to) {
        rms_norm_sh_restore(0, owned, count, {w_, b_, NULL}, kept.norm(), to);
    });
    for (size_t i = 0; i < got.size(); i++) CHECK(i < first ? std::isnan(got[i]) : got[i] == y[i]);
}

static void test_embed(int count) {
    ints element = some_elements(count);
    floats sphere = random_floats(UMAS_ELEMENTS * C, 0, 1, 1), want(node_numbers(count), 0.0f);
    for (size_t n = 0; n < element.size(); n++)
        for (size_t c = 0; c < C && element[n]; c++)
            want[n * NODE_WIDTH + c] = sphere[(size_t)element[n] * C + c];
    device_array<int> element_(element);
    device_array<float> sphere_(sphere);
    floats got = output_of(poison<float>(want.size()),
                           [&](float *x) { embed_nodes(0, count, element_, sphere_, x); });
    CHECK(got == want);
}

/* Matrices [C][C] on the host, and on the device as the kernels read them. */
struct matrices {
    doubles wide;
    device_array<float> plain, transposed;

    /* gain: of a product's numbers over those that enter it */
    matrices(int n, double gain, unsigned seed) : matrices(n, random_matrices(n, gain, seed)) {}
    const float4 *forward() const { return reinterpret_cast<float4 *>((float *)plain); }
    const float4 *backward() const { return reinterpret_cast<float4 *>((float *)transposed); }

  private:
    matrices(int n, const floats &w)
        : wide(widen(w)), plain(in_fragments(n, false, w)), transposed(in_fragments(n, true, w)) {}
    static floats random_matrices(int n, double gain, unsigned seed) {
        return random_floats((size_t)n * C * C, 0, gain / sqrt((double)C), seed);
    }
    static floats in_fragments(int n, bool transposed, const floats &w) {
        floats f = poison<float>(w.size());
        weight_fragments(n, transposed, w.data(), f.data());
        return f;
    }
};

struct atomwise_case {
    matrices scalar{2, 1, 16}, linear_1{3, 1, 17}, linear_2{3, 1, 18};
    weight_vector norm_w{3 * C, 1, 0.2, 11}, norm_b{C, 0, 1, 12}, scalar_b, linear_1_b,
        linear_2_b{C, 0, 1, 15};

    /* bias: spread of the biases that enter the gate */
    explicit atomwise_case(double bias)
        : scalar_b(2 * C, 0, bias, 13), linear_1_b(C, 0, bias, 14) {}
    atomwise_weights on_device() const {
        return {norm_w.narrow,     norm_b.narrow,       scalar_b.narrow,    linear_1_b.narrow,
                linear_2_b.narrow, scalar.forward(),    linear_1.forward(), linear_2.forward(),
                scalar.backward(), linear_1.backward(), linear_2.backward()};
    }
    block_weights on_host() {
        block_weights w = {};
        w.norm_2_w = norm_w.wide.data(), w.norm_2_b = norm_b.wide.data();
        w.scalar_w = scalar.wide.data(), w.scalar_b = scalar_b.wide.data();
        w.linear_1_w = linear_1.wide.data(), w.linear_1_b = linear_1_b.wide.data();
        w.linear_2_w = linear_2.wide.data(), w.linear_2_b = linear_2_b.wide.data();
        return w;
    }
};

/* gradient: size of what comes back */
template <typename N> static void test_atomwise(int count, double bias, double gradient) {
    const size_t n9 = node_numbers(count), n2 = (size_t)count * 2 * C;
    atomwise_case weights(bias);
    floats x = random_floats(n9, 0.5, 2, 1), g_x = random_floats(n9, 0, gradient, 2);

    umas_architecture a = {};
    a.sphere_channels = a.hidden_channels = CHANNELS;
    block_weights w = weights.on_host();
    doubles wide_x = widen(x), h(n9), g_h(n9), want = wide_x;
    doubles scalar(n2), gates(n2), pre(n9), post(n9);
    atomwise_activations act = {scalar.data(), gates.data(), pre.data(), post.data()};
    umas_rms_norm_sh_forward_f64(count, CHANNELS, w.norm_2_w, w.norm_2_b, NULL, wide_x.data(),
                                 h.data());
    umas_atomwise_forward_f64(&a, &w, count, h.data(), &act, want.data());

    device_array<float> x_(x);
    const kept_rows<N> kept(count);
    check_stage("atomwise_forward",
                output_of(poison<float>(n9),
                          [&](float *y) {
                              atomwise_forward(0, count, weights.on_device(), x_, y, kept.norm());
                          }),
                want);

    want = widen(g_x);
    umas_atomwise_backward_f64(&a, &w, count, want.data(), &act, g_h.data());
    umas_rms_norm_sh_backward_f64(count, CHANNELS, w.norm_2_w, wide_x.data(), g_h.data(),
                                  want.data());
    check_from_kept<N>("atomwise_backward",
                       output_of(g_x,
                                 [&](float *g) {
                                     atomwise_backward(0, count, weights.on_device(), kept.norm(),
                                                       g);
                                 }),
                       want);
}

static void test_balance(int count, int first, int end) {
    const double target = -3, atoms = 1234;
    ints element = some_elements(count);
    floats x = random_floats(node_numbers(count), 1, 1, 1);
    doubles want_sum((size_t)(end - first), 0.0), want = widen(x);
    for (int n = 0; n < count; n++)
        for (int c = first; c < end && element[(size_t)n]; c++)
            want_sum[(size_t)(c - first)] += want[(size_t)n * NODE_WIDTH + (size_t)c];
    umas_error error;
    CHECK(balance_channels(count, CHANNELS, element.data(), first, end, target, (int64_t)atoms,
                           NULL, want.data(), &error) == UMAS_OK);

    device_array<int> element_(element);
    device_array<float> x_(x);
    device_array<double> partial(poison<double>((size_t)balance_partials(count) * 64));
    doubles sum = output_of(poison<double>(want_sum.size()), [&](double *s) {
        balance_channels_sum(0, count, element_, first, end, x_, partial, s);
    });
    check_close("balance_channels_sum", sum.data(), want_sum.data(), end - first,
                TOLERANCE_DOUBLE_SUM * count, 0);
    device_array<double> sum_(sum);
    check_stage("balance_channels_shift",
                output_of(x,
                          [&](float *shifted) {
                              balance_channels_shift(0, count, element_, first, end, sum_, target,
                                                     atoms, shifted);
                          }),
                want);
    /* two sets at once, the second the first half of the channels */
    const channel_set sets[] = {{(first + end) / 2, end, target}, {first, (first + end) / 2, 7}};
    want = widen(x);
    for (const channel_set &s : sets)
        CHECK(balance_channels(count, CHANNELS, element.data(), s.begin, s.end, s.target,
                               (int64_t)atoms, NULL, want.data(), &error) == UMAS_OK);
    check_stage("balance_channels_alone",
                output_of(x,
                          [&](float *shifted) {
                              balance_channels_alone(0, count, element_, sets[0], sets[1], atoms,
                                                     shifted);
                          }),
                want);
}

struct head_case {
    matrices first{1, 2, 21}, second{1, 2, 22};
    weight_vector norm_w{3 * C, 1, 0.2, 23}, norm_b{C, 0, 1, 24}, b_0{C, 0, 1, 25},
        b_1{C, 0, 1, 26}, b_2{1, 0.5, 0, 27}, last{C, 0, 0.3, 28};

    head_weights on_device() const {
        return {norm_w.narrow,
                norm_b.narrow,
                {first.forward(), second.forward()},
                {first.backward(), second.backward()},
                {b_0.narrow, b_1.narrow, b_2.narrow},
                last.narrow};
    }
    dense_weights on_host() {
        dense_weights w = {};
        w.architecture.sphere_channels = w.architecture.hidden_channels = CHANNELS;
        w.norm_w = norm_w.wide.data(), w.norm_b = norm_b.wide.data();
        w.head_w[0] = first.wide.data(), w.head_w[1] = second.wide.data();
        w.head_w[2] = last.wide.data();
        w.head_b[0] = b_0.wide.data(), w.head_b[1] = b_1.wide.data(), w.head_b[2] = b_2.wide.data();
        return w;
    }
};

static void test_head(int count) {
    const float scale = 8;
    const size_t n1 = (size_t)count * C, n9 = node_numbers(count);
    head_case weights;
    ints element = some_elements(count);
    floats x = random_floats(n9, 0.5, 2, 1);

    dense_weights w = weights.on_host();
    doubles wide_x = widen(x), h(n9), linear_0(n1), linear_1(n1), hidden(n1), g_h(n9), g_x(n9, 0.0);
    doubles energy((size_t)count);
    double *linear[2] = {linear_0.data(), linear_1.data()};
    umas_rms_norm_sh_forward_f64(count, CHANNELS, w.norm_w, w.norm_b, NULL, wide_x.data(),
                                 h.data());
    energy_head_forward(&w, count, h.data(), linear, hidden.data(), energy.data());
    energy_head_backward(&w, count, linear, hidden.data(), g_h.data());
    for (size_t i = 0; i < n9; i++) g_h[i] *= element[i / NODE_WIDTH] ? scale : 0;
    umas_rms_norm_sh_backward_f64(count, CHANNELS, w.norm_w, wide_x.data(), g_h.data(), g_x.data());

    device_array<int> element_(element);
    device_array<float> x_(x);
    check_stage("energy_head, energy",
                output_of(poison<float>((size_t)count),
                          [&](float *out) {
                              device_array<float> g(poison<float>(n9));
                              energy_head(0, count, element_, weights.on_device(), scale, x_, out,
                                          g);
                          }),
                energy);
    check_stage("energy_head, gradient",
                output_of(poison<float>(n9),
                          [&](float *out) {
                              device_array<float> other(poison<float>((size_t)count));
                              energy_head(0, count, element_, weights.on_device(), scale, x_, other,
                                          out);
                          }),
                g_x);
}

static void test_energies(int count) {
    const double rmsd = 1.423;
    ints element = some_elements(count);
    floats network = random_floats((size_t)count, 0, 3, 1);
    doubles reference(UMAS_ELEMENTS), want((size_t)count, 0.0), want_total = {0};
    for (size_t z = 0; z < reference.size(); z++) reference[z] = -100.25 * (double)z;
    for (size_t n = 0; n < want.size(); n++) {
        if (element[n]) want[n] = rmsd * (double)network[n] + reference[(size_t)element[n]];
        want_total[0] += want[n];
    }
    device_array<int> element_(element);
    device_array<float> network_(network);
    device_array<double> reference_(reference), energy_(poison<double>(want.size()));
    device_array<double> partial(poison<double>((size_t)energy_partials(count)));
    doubles total = output_of(poison<double>(1), [&](double *out) {
        sum_energies(0, count, element_, network_, rmsd, reference_, energy_, partial, out);
    });
    check_close("sum_energies, atoms", energy_.read().data(), want.data(), count, 0,
                TOLERANCE_DOUBLE_SUM);
    check_close("sum_energies, total", total.data(), want_total.data(), 1,
                TOLERANCE_DOUBLE_SUM * count, TOLERANCE_DOUBLE_SUM);
}

/* The last row of an array comes out as the first, neither of them all zeros. */
static void check_ends(const float *array, size_t rows, size_t width) {
    floats ends[2] = {floats(width), floats(width)};
    MUST(cudaMemcpy(ends[0].data(), array, width * sizeof(float), cudaMemcpyDeviceToHost));
    MUST(cudaMemcpy(ends[1].data(), array + (rows - 1) * width, width * sizeof(float),
                    cudaMemcpyDeviceToHost));
    CHECK(ends[0] == ends[1]); /* not so for NaN */
    CHECK(ends[0] != floats(width, 0.0f));
}

/* Arrays of more than 2^31 numbers, all nodes alike. */
static void test_long_arrays(void) {
    const int count = 2000000;
    const size_t n = (size_t)count, n9 = node_numbers(count);
    size_t room, all;
    MUST(cudaMemGetInfo(&room, &all));
    if (room < (2 * n9 + 2 * n) * sizeof(float) + n9 * sizeof(__half) + (1 << 30)) {
        printf("left out: arrays of 2^31 numbers need 25 GB\n");
        return;
    }
    const atomwise_case atomwise(1);
    const head_case head;
    device_array<int> element(ints(n, 1));
    device_array<float> w(random_floats(3 * C, 1, 0.2, 1)), b(random_floats(C, 0, 1, 2));
    floats node = random_floats(NODE_WIDTH, 0, 1, 3);
    device_array<float> energy(poison<float>(n));
    float *x, *y;
    kept_norm<__half> kept;
    MUST(cudaMalloc(&kept.rows, n9 * sizeof(__half)));
    MUST(cudaMalloc(&kept.inverse, n * sizeof(float)));
    MUST(cudaMalloc(&x, n9 * sizeof(float)));
    MUST(cudaMalloc(&y, n9 * sizeof(float)));
    embed_nodes(0, count, element, w, x);
    check_ends(x, n, NODE_WIDTH);
    MUST(cudaMemcpy(x, node.data(), node.size() * sizeof(float), cudaMemcpyHostToDevice));
    for (size_t done = NODE_WIDTH; done < n9; done *= 2)
        MUST(cudaMemcpy(x + done, x, std::min(done, n9 - done) * sizeof(float),
                        cudaMemcpyDeviceToDevice));
    const norm_weights norm = {w, b, NULL};
    rms_norm_sh_forward(0, count, norm, x, y, kept);
    check_ends(y, n, NODE_WIDTH);
    rms_norm_sh_backward(0, count, norm, kept, x, y);
    check_ends(y, n, NODE_WIDTH);
    rms_norm_sh_restore(0, count, count, norm, kept, y);
    check_ends(y, n, NODE_WIDTH);
    atomwise_forward(0, count, atomwise.on_device(), y, x, kept);
    check_ends(x, n, NODE_WIDTH);
    atomwise_backward(0, count, atomwise.on_device(), kept, y);
    check_ends(y, n, NODE_WIDTH);
    energy_head(0, count, element, head.on_device(), 1, x, energy, y);
    check_ends(y, n, NODE_WIDTH);
    check_ends(energy, n, 1);
    MUST(cudaGetLastError());
    for (void *array : {(void *)x, (void *)y, (void *)kept.rows, (void *)kept.inverse})
        MUST(cudaFree(array));
}

int main(void) {
    if (!gpu_is_there()) return CHECK_SKIPPED;
    for (int count : {0, 1, 5, 33, 1000}) {
        for (bool with_shift : {true, false}) {
            test_norm<float>(count, with_shift ? 0 : 3, with_shift);
            test_norm<__half>(count, with_shift ? 3 : 0, with_shift);
        }
        test_keep<float>(count);
        test_keep<__half>(count);
        test_embed(count);
        test_atomwise<float>(count, 1, 1);
        test_atomwise<__half>(count, 1, 1);
        test_atomwise<float>(count, 1, 1e6);
        test_atomwise<__half>(count, 1, 1e6);
        test_atomwise<float>(count, 60, 1); /* exp(-x) overflows where x < -88 */
        test_atomwise<__half>(count, 60, 1);
        test_head(count);
    }
    /* one block, a full one, one row more, and several */
    for (int count : {0, 1, 5, 33, 1000, 2048, 2049, 5000}) {
        test_balance(count, 0, 3);
        test_balance(count, 7, 8);
        test_balance(count, 5, 69);
        test_balance(count, 4, 4);
        test_energies(count);
    }
    test_long_arrays();
    return check_report();
}
