/* The atom-wise part of a layer, docs/model.md (22), (23), and its backward pass, (30).
 *
 * Every node on its own: from h = norm_2(x_mid), two linear maps per degree l with a gate between
 * them.
 *     gates = silu(W_scalar h_0 + b_scalar)      [2 H], H for each degree 1, 2
 *     pre   = linear_1(h)                        [9][H]
 *     post  = silu(pre_0) and pre_k sigmoid(gates_l)
 *     y    += linear_2(post)                     [9][C]
 * In: h [count][9][C], l-major.
 * Out: y [count][9][C].  Features have no unit. */
#include "activation.h"
#include "blas.h"
#include "row_order.h"
#include "stages.h"

/* y [count][9][N] = x [count][9][K] w [degree][N][K]^T + b [N] on l = 0 + beta y */
static void so3_linear_forward(int count, int N, int K, const real *w, const real *b, const real *x,
                               real beta, real *y) {
    const int64_t matrix = (int64_t)N * K;
    for (int k = 0; k < 9; k++)
        matmul_nt(count, N, K, 1, x + k * K, 9 * K, w + DEGREE_OF_L_MAJOR[k] * matrix, beta,
                  y + k * N, 9 * N);
    for (int64_t n = 0; n < count; n++)
        for (int i = 0; i < N; i++) y[n * 9 * N + i] += b[i];
}

static void so3_linear_backward(int count, int N, int K, const real *w, const real *g_y,
                                real *g_x) {
    const int64_t matrix = (int64_t)N * K;
    for (int k = 0; k < 9; k++)
        matmul_nn(count, N, K, 1, g_y + k * N, 9 * N, w + DEGREE_OF_L_MAJOR[k] * matrix, 0,
                  g_x + k * K, 9 * K);
}

void atomwise_activate(const umas_architecture *a, const block_weights *w, int count, const real *h,
                       atomwise_activations *act) {
    int C = a->sphere_channels, H = a->hidden_channels;
    matmul_nt(count, 2 * H, C, 1, h, 9 * C, w->scalar_w, 0, act->scalar, 2 * H);
    for (int64_t n = 0; n < count; n++) {
        real *scalar = act->scalar + n * 2 * H, *gates = act->gates + n * 2 * H;
        for (int i = 0; i < 2 * H; i++) {
            scalar[i] += w->scalar_b[i];
            gates[i] = silu(scalar[i]);
        }
    }
    so3_linear_forward(count, H, C, w->linear_1_w, w->linear_1_b, h, 0, act->pre);
    gate_forward(count, 9, H, DEGREE_OF_L_MAJOR, act->pre, 9 * H, act->gates, 2 * H, act->post);
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
    /* Gradients take the place of the activations they belong to. */
    real *g_post = act->post, *g_pre = act->pre, *g_gates = act->gates;
    so3_linear_backward(count, C, H, w->linear_2_w, g_y, g_post);
    gate_backward(count, 9, H, DEGREE_OF_L_MAJOR, act->pre, 9 * H, act->gates, 2 * H, g_post, g_pre,
                  g_gates);
    so3_linear_backward(count, H, C, w->linear_1_w, g_pre, g_h);
    for (int i = 0; i < count * 2 * H; i++) g_gates[i] *= silu_slope(act->scalar[i]);
    matmul_nn(count, 2 * H, C, 1, g_gates, 2 * H, w->scalar_w, 1, g_h, 9 * C);
}
