/* The node stages on the GPU against the CPU's double ones on random inputs. */
#include "device.cuh"
#include "device_array.cuh"
#include "node_stages.cuh"

extern "C" {
#include "stages.h"
}
/* Here these are the CUDA stages; the CPU's go by their full names. */
#undef rms_norm_sh_forward
#undef rms_norm_sh_backward

static const size_t C = CHANNELS;

static size_t node_numbers(int count) { return (size_t)count * NODE_WIDTH; }

/* A mean far from zero shows whether it is subtracted before squares are taken. */
static void test_norm(int count, double mean, bool with_shift) {
    floats w = random_floats(3 * C, 1, 0.2, 1), b = random_floats(C, 0, 1, 2);
    floats shift = random_floats(C, 0, 1, 3), x = random_floats(node_numbers(count), 0, 1, 4);
    floats g_y = random_floats(x.size(), 0, 1, 5), g_x = random_floats(x.size(), 0, 1, 6);
    for (int n = 0; n < count; n++)
        for (size_t c = 0; c < C; c++) x[(size_t)n * NODE_WIDTH + c] += (float)mean;
    device_array<float> w_(w), b_(b), shift_(shift), x_(x), g_y_(g_y);

    doubles wide_w = widen(w), wide_shift = widen(shift), wide_x = widen(x), want(x.size());
    umas_rms_norm_sh_forward_f64(count, CHANNELS, wide_w.data(), widen(b).data(),
                                 with_shift ? wide_shift.data() : NULL, wide_x.data(), want.data());
    check_stage("rms_norm_sh_forward",
                output_of(poison<float>(x.size()),
                          [&](float *y) {
                              rms_norm_sh_forward(0, count, w_, b_,
                                                  with_shift ? (float *)shift_ : NULL, x_, y);
                          }),
                want);

    want = widen(g_x);
    umas_rms_norm_sh_backward_f64(count, CHANNELS, wide_w.data(), wide_x.data(), widen(g_y).data(),
                                  want.data());
    check_stage("rms_norm_sh_backward",
                output_of(g_x, [&](float *g) { rms_norm_sh_backward(0, count, w_, x_, g_y_, g); }),
                want);
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

/* [matrices][C][C] ones on the diagonals: with them a CPU stage is what lies between its products,
 * and exactly so. */
static doubles identities(size_t matrices) {
    doubles w(matrices * C * C, 0.0);
    for (size_t row = 0; row < matrices * C; row++) w[row * C + row % C] = 1;
    return w;
}

/* The channel of h that becomes scalar i: not its own, or a swapped index would not show. */
static size_t scalar_source(size_t i) { return (37 * i + 11) % C; }

static void test_atomwise(int count, double spread) {
    size_t n9 = node_numbers(count), n2 = (size_t)count * 2 * C;
    floats h = random_floats(n9, 0, spread, 1), b = random_floats(C, 0, 1, 2);
    floats sb = random_floats(2 * C, 0, 1, 3), b_2 = random_floats(C, 0, 1, 4);
    floats x = random_floats(n9, 0, 1, 5), g_y = random_floats(n9, 0, 1, 6), scalar(n2);
    for (size_t i = 0; i < n2; i++)
        scalar[i] = h[i / (2 * C) * NODE_WIDTH + scalar_source(i % (2 * C))];

    umas_architecture a = {};
    a.sphere_channels = a.hidden_channels = CHANNELS;
    doubles one = identities(3), scalar_w(2 * C * C, 0.0), wide_b = widen(b), wide_sb = widen(sb);
    doubles wide_b_2 = widen(b_2), wide_h = widen(h), wide_g_y = widen(g_y);
    for (size_t i = 0; i < 2 * C; i++) scalar_w[i * C + scalar_source(i)] = 1;
    block_weights w = {};
    w.scalar_w = scalar_w.data(), w.scalar_b = wide_sb.data();
    w.linear_1_w = w.linear_2_w = one.data();
    w.linear_1_b = wide_b.data(), w.linear_2_b = wide_b_2.data();
    doubles scalars(n2), gates(n2), pre(n9), post(n9), want = widen(x), g_h(n9);
    atomwise_activations act = {scalars.data(), gates.data(), pre.data(), post.data()};
    atomwise_forward(&a, &w, count, wide_h.data(), &act, want.data());

    device_array<float> b_(b), sb_(sb), b_2_(b_2), h_(h), scalar_(scalar), x_(x), g_y_(g_y);
    floats gated = output_of(poison<float>(n9), [&](float *out) {
        atomwise_gate_forward(0, count, b_, sb_, h_, scalar_, out);
    });
    check_stage("atomwise_gate_forward", gated, post);
    device_array<float> gated_(gated);
    check_stage("add_residual",
                output_of(poison<float>(n9),
                          [&](float *y) { add_residual(0, count, b_2_, x_, gated_, y); }),
                want);

    atomwise_backward(&a, &w, count, wide_g_y.data(), &act, g_h.data());
    floats g_scalar = output_of(poison<float>(n2), [&](float *g) {
        device_array<float> g_linear(poison<float>(n9));
        atomwise_gate_backward(0, count, b_, sb_, h_, scalar_, g_y_, g_linear, g);
    });
    floats in_place = output_of(g_y, [&](float *g) {
        device_array<float> other(poison<float>(n2));
        atomwise_gate_backward(0, count, b_, sb_, h_, scalar_, g, g, other);
    });
    floats g_linear = output_of(poison<float>(n9), [&](float *g) {
        device_array<float> other(poison<float>(n2));
        atomwise_gate_backward(0, count, b_, sb_, h_, scalar_, g_y_, g, other);
    });
    CHECK(in_place == g_linear);
    for (size_t i = 0; i < n2; i++)
        g_linear[i / (2 * C) * NODE_WIDTH + scalar_source(i % (2 * C))] += g_scalar[i];
    check_stage("atomwise_gate_backward", g_linear, g_h);
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
}

/* Two layers of ones on the diagonal: the second one's bias meets what the first one gave. */
static void test_head(int count) {
    const float scale = 8;
    size_t n1 = (size_t)count * C, n9 = node_numbers(count);
    ints element = some_elements(count);
    floats row = random_floats(n1, 0, 2, 1), b_0 = random_floats(C, 0, 1, 2);
    floats b_1 = random_floats(C, 0, 1, 3), w_2 = random_floats(C, 0, 0.3, 4), b_2 = {0.5f};
    doubles one = identities(1), x(n9, 0.0), linear_0(n1), linear_1(n1), hidden(n1), g_x(n9);
    doubles energy((size_t)count), wide_b_0 = widen(b_0), wide_b_1 = widen(b_1);
    doubles wide_w_2 = widen(w_2), wide_b_2 = widen(b_2);
    for (size_t i = 0; i < n1; i++) x[i / C * NODE_WIDTH + i % C] = row[i];
    dense_weights w = {};
    w.architecture.sphere_channels = w.architecture.hidden_channels = CHANNELS;
    w.head_w[0] = w.head_w[1] = one.data(), w.head_w[2] = wide_w_2.data();
    w.head_b[0] = wide_b_0.data(), w.head_b[1] = wide_b_1.data(), w.head_b[2] = wide_b_2.data();
    double *linear[2] = {linear_0.data(), linear_1.data()};
    energy_head_forward(&w, count, x.data(), linear, hidden.data(), energy.data());

    device_array<int> element_(element);
    device_array<float> row_(row), b_0_(b_0), b_1_(b_1), w_2_(w_2), b_2_(b_2);
    device_array<float> hidden_0(output_of(
        poison<float>(n1), [&](float *out) { head_activate(0, count, b_0_, row_, out); }));
    floats hidden_1 = output_of(poison<float>(n1),
                                [&](float *out) { head_activate(0, count, b_1_, hidden_0, out); });
    check_stage("head_activate", hidden_1, hidden);
    device_array<float> hidden_1_(hidden_1);
    check_stage("head_energy",
                output_of(poison<float>((size_t)count),
                          [&](float *out) { head_energy(0, count, w_2_, b_2_, hidden_1_, out); }),
                energy);

    energy_head_backward(&w, count, linear, hidden.data(), g_x.data());
    for (size_t i = 0; i < n9; i++) g_x[i] *= element[i / NODE_WIDTH] ? scale : 0;
    floats g = output_of(poison<float>(n1), [&](float *out) {
        head_seed(0, count, element_, w_2_, b_1_, hidden_0, scale, out);
    });
    device_array<float> g_(
        output_of(g, [&](float *out) { head_activate_backward(0, count, b_0_, row_, out); }));
    check_stage(
        "head_seed, head_activate_backward, spread_scalars",
        output_of(poison<float>(n9), [&](float *out) { spread_scalars(0, count, g_, out); }), g_x);
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

/* Arrays of more than 2^31 numbers, all nodes alike: the last node must come out as the first. */
static void test_long_arrays(void) {
    const int count = 2000000;
    const size_t last = (size_t)count - 1, n9 = node_numbers(count), n2 = (size_t)count * 2 * C;
    size_t room, all;
    MUST(cudaMemGetInfo(&room, &all));
    if (room < (2 * n9 + n2 + (size_t)count) * sizeof(float) + (1 << 30)) {
        printf("left out: arrays of 2^31 numbers need 22 GB\n");
        return;
    }
    ints element((size_t)count, 1);
    device_array<int> element_(element);
    device_array<float> w(random_floats(3 * C, 1, 0.2, 1)), b(random_floats(2 * C, 0, 1, 2));
    float *x, *y, *scalar;
    MUST(cudaMalloc(&x, n9 * sizeof(float)));
    MUST(cudaMalloc(&y, n9 * sizeof(float)));
    MUST(cudaMalloc(&scalar, n2 * sizeof(float)));
    MUST(cudaMemset(scalar, 0, n2 * sizeof(float)));
    embed_nodes(0, count, element_, w, x);
    rms_norm_sh_forward(0, count, w, b, NULL, x, y);
    atomwise_gate_forward(0, count, b, b, y, scalar, x);
    add_residual(0, count, b, x, y, y);
    atomwise_gate_backward(0, count, b, b, x, scalar, y, y, scalar);
    rms_norm_sh_backward(0, count, w, y, y, x);
    MUST(cudaGetLastError());
    for (const float *array : {x, y, scalar}) {
        size_t width = array == scalar ? 2 * C : (size_t)NODE_WIDTH;
        floats ends[2] = {floats(width), floats(width)};
        MUST(cudaMemcpy(ends[0].data(), array, width * sizeof(float), cudaMemcpyDeviceToHost));
        MUST(cudaMemcpy(ends[1].data(), array + last * width, width * sizeof(float),
                        cudaMemcpyDeviceToHost));
        CHECK(ends[0] == ends[1]); /* not so for NaN */
        CHECK(ends[0] != floats(width, 0.0f));
    }
    MUST(cudaFree(x));
    MUST(cudaFree(y));
    MUST(cudaFree(scalar));
}

int main(void) {
    if (!gpu_is_there()) return CHECK_SKIPPED;
    for (int count : {0, 1, 5, 33, 1000}) {
        test_norm(count, 0, true);
        test_norm(count, 3, false);
        test_embed(count);
        test_atomwise(count, 1);
        test_atomwise(count, 50); /* exp(-x) overflows where x < -88 */
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
