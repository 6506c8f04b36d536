/* The energy head, docs/model.md (25), and its backward pass, (28).
 *
 *     e = w_4 . silu(W_2 silu(W_0 v + b_0) + b_2) + b_4,      v = row 0 of x
 *
 * In: x [count][9][C], after the last norm.
 * Out: energy [count] of the network, without the task's rmsd and references, no unit; backward:
 * g_x [count][9][C], rows 1 to 8 zero. */
#include "activation.h"
#include "blas.h"
#include "stages.h"

/* linear = x w^T + b; hidden = silu(linear), [count][n] */
static void layer_forward(int count, int n, int k, const real *w, const real *b, const real *x,
                          int ldx, real *linear, real *hidden) {
    matmul_nt(count, n, k, 1, x, ldx, w, 0, linear, n);
    for (int64_t r = 0; r < count; r++)
        for (int i = 0; i < n; i++) {
            linear[r * n + i] += b[i];
            hidden[r * n + i] = silu(linear[r * n + i]);
        }
}

void energy_head_forward(const dense_weights *w, int count, const real *x, real *linear[2],
                         real *hidden, real *energy) {
    int C = w->architecture.sphere_channels, H = w->architecture.hidden_channels;
    layer_forward(count, H, C, w->head_w[0], w->head_b[0], x, 9 * C, linear[0], hidden);
    layer_forward(count, H, H, w->head_w[1], w->head_b[1], hidden, H, linear[1], hidden);
    matmul_nt(count, 1, H, 1, hidden, H, w->head_w[2], 0, energy, 1);
    for (int n = 0; n < count; n++) energy[n] += w->head_b[2][0];
}

void energy_head_backward(const dense_weights *w, int count, real *linear[2], real *hidden,
                          real *g_x) {
    int C = w->architecture.sphere_channels, H = w->architecture.hidden_channels;
    for (int64_t n = 0; n < count; n++)
        for (int i = 0; i < H; i++)
            linear[1][n * H + i] = w->head_w[2][i] * silu_slope(linear[1][n * H + i]);
    matmul_nn(count, H, H, 1, linear[1], H, w->head_w[1], 0, hidden, H);
    for (int i = 0; i < count * H; i++) hidden[i] *= silu_slope(linear[0][i]);
    for (int64_t i = 0; i < (int64_t)count * 9 * C; i++) g_x[i] = 0;
    matmul_nn(count, H, C, 1, hidden, H, w->head_w[0], 0, g_x, 9 * C);
}
