/* An SO(2) convolution, docs/model.md (17) to (19), and its backward pass, (33).
 *
 *     y_{m=0} = W_m0 [x_0, x_1, x_2] + b_m0
 *     y_{+m} = W_1 r - W_2 i,      y_{-m} = W_2 r + W_1 i      r, i: all rows of +m and of -m
 *
 * It maps K channels of a message to N and mixes rows of the same |m| only; the m = 0 part has
 * `extra` scalars in front, the gates.  All of it are matrix products with one row an edge.
 * In: x [edges][rows][K], m-major.
 * Out: y [edges][extra + rows N].  No units. */
#include "blas.h"
#include "stages.h"

/* (r, i) -> (W1 r - W2 i, W2 r + W1 i) for one m.  w: W1 and W2 [N][K], one behind the other.  In
 * each edge's row, i stands K numbers behind r, and the result's -m part N numbers behind its +m
 * part.  Source: docs/uma_energy_reference.py, complex_linear. */
static void complex_linear_forward(int edges, int N, int K, const real *w, const real *x, int ldx,
                                   real *y, int ldy) {
    const real *w1 = w, *w2 = w + (int64_t)N * K, *r = x, *i = x + K;
    matmul_nt(edges, N, K, 1, r, ldx, w1, 0, y, ldy);
    matmul_nt(edges, N, K, -1, i, ldx, w2, 1, y, ldy);
    matmul_nt(edges, N, K, 1, r, ldx, w2, 0, y + N, ldy);
    matmul_nt(edges, N, K, 1, i, ldx, w1, 1, y + N, ldy);
}

static void complex_linear_backward(int edges, int N, int K, const real *w, const real *g_y,
                                    int ldy, real *g_x, int ldx) {
    const real *w1 = w, *w2 = w + (int64_t)N * K, *r = g_y, *i = g_y + N;
    matmul_nn(edges, N, K, 1, r, ldy, w1, 0, g_x, ldx);
    matmul_nn(edges, N, K, 1, i, ldy, w2, 1, g_x, ldx);
    matmul_nn(edges, N, K, -1, r, ldy, w2, 0, g_x + K, ldx);
    matmul_nn(edges, N, K, 1, i, ldy, w1, 1, g_x + K, ldx);
}

void so2_conv_forward(int edges, int rows, const so2_weights *w, const real *x, real *y) {
    int K = w->inputs, N = w->outputs, first = w->extra + 3 * N;
    int ldx = rows * K, ldy = w->extra + rows * N;
    for (int64_t e = 0; e < edges; e++)
        for (int n = 0; n < first; n++) y[e * ldy + n] = w->m0_b[n];
    matmul_nt(edges, first, 3 * K, 1, x, ldx, w->m0_w, 1, y, ldy);
    complex_linear_forward(edges, 2 * N, 2 * K, w->m_w[0], x + 3 * K, ldx, y + first, ldy);
    if (rows == 9)
        complex_linear_forward(edges, N, K, w->m_w[1], x + 7 * K, ldx, y + first + 4 * N, ldy);
}

void so2_conv_backward(int edges, int rows, const so2_weights *w, const real *g_y, real *g_x) {
    int K = w->inputs, N = w->outputs, first = w->extra + 3 * N;
    int ldx = rows * K, ldy = w->extra + rows * N;
    matmul_nn(edges, first, 3 * K, 1, g_y, ldy, w->m0_w, 0, g_x, ldx);
    complex_linear_backward(edges, 2 * N, 2 * K, w->m_w[0], g_y + first, ldy, g_x + 3 * K, ldx);
    if (rows == 9)
        complex_linear_backward(edges, N, K, w->m_w[1], g_y + first + 4 * N, ldy, g_x + 7 * K, ldx);
}
