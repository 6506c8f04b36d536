#include "activation.h"
#include "blas.h"
#include "stages.h"

static const int DEGREE[9] = {0, 1, 1, 1, 2, 2, 2, 2, 2};

/* y [count][9][N] = x [count][9][K] w [degree][N][K]^T + b on l = 0 + beta y */
static void so3_linear_forward(int count, int N, int K, const real *w, const real *b, const real *x,
                               real beta, real *y) {
    for (int k = 0; k < 9; k++)
        matmul_nt(count, N, K, 1, x + k * K, 9 * K, w + (size_t)DEGREE[k] * (size_t)N * (size_t)K,
                  beta, y + k * N, 9 * N);
    for (int n = 0; n < count; n++)
        for (int i = 0; i < N; i++) y[(size_t)n * 9 * (size_t)N + (size_t)i] += b[i];
}

static void so3_linear_backward(int count, int N, int K, const real *w, const real *g_y,
                                real *g_x) {
    for (int k = 0; k < 9; k++)
        matmul_nn(count, N, K, 1, g_y + k * N, 9 * N, w + (size_t)DEGREE[k] * (size_t)N * (size_t)K,
                  0, g_x + k * K, 9 * K);
}

void atomwise_activate(const umas_architecture *a, const block_weights *w, int count, const real *h,
                       atomwise_activations *act) {
    int C = a->sphere_channels, H = a->hidden_channels;
    matmul_nt(count, 2 * H, C, 1, h, 9 * C, w->scalar_w, 0, act->scalar, 2 * H);
    for (int n = 0; n < count; n++)
        for (int i = 0; i < 2 * H; i++) {
            size_t at = (size_t)n * 2 * (size_t)H + (size_t)i;
            act->scalar[at] += w->scalar_b[i];
            act->gates[at] = silu(act->scalar[at]);
        }
    so3_linear_forward(count, H, C, w->linear_1_w, w->linear_1_b, h, 0, act->pre);
    gate_forward(count, 9, H, DEGREE, act->pre, 9 * H, act->gates, 2 * H, act->post);
}

void atomwise_forward(const umas_architecture *a, const block_weights *w, int count, const real *h,
                      atomwise_activations *act, real *y) {
    atomwise_activate(a, w, count, h, act);
    so3_linear_forward(count, a->sphere_channels, a->hidden_channels, w->linear_2_w, w->linear_2_b,
                       act->post, 1, y);
}

void atomwise_backward(const umas_architecture *a, const block_weights *w, int count,
                       const real *g_y, atomwise_activations *act, real *g_h) {
    int C = a->sphere_channels, H = a->hidden_channels;
    real *g_post = act->post, *g_pre = act->pre, *g_gates = act->gates;
    so3_linear_backward(count, C, H, w->linear_2_w, g_y, g_post);
    gate_backward(count, 9, H, DEGREE, act->pre, 9 * H, act->gates, 2 * H, g_post, g_pre, g_gates);
    so3_linear_backward(count, H, C, w->linear_1_w, g_pre, g_h);
    for (int i = 0; i < count * 2 * H; i++) g_gates[i] *= silu_slope(act->scalar[i]);
    matmul_nn(count, 2 * H, C, 1, g_gates, 2 * H, w->scalar_w, 1, g_h, 9 * C);
}
