/* The gate, docs/model.md (20) and (22), and its backward pass, (27).
 *
 *     out_0 = silu(y_0),      out_k = y_k sigmoid(gates_l)      for rows k > 0, of degree l = 1, 2
 *
 * In: y [count][rows][H] and gates [count][2][H], with strides of ldy and ldg numbers.
 * Out: out [count][rows][H].  count: edges (m-major rows) or nodes (l-major rows); `degree` says
 * which row has which l.  No units. */
#include "activation.h"
#include "stages.h"

/* Channels worked on at a time: their sigmoids stay in the first-level cache while all rows pass.
 */
enum { BLOCK = 64 };

static void sigmoid_of_gates(int H, int channels, const real *gates, real sigma[2][BLOCK]) {
    for (int l = 0; l < 2; l++)
        for (int c = 0; c < channels; c++) sigma[l][c] = sigmoid(gates[l * H + c]);
}

void gate_forward(int count, int rows, int H, const int *degree, const real *y, int ldy,
                  const real *gates, int ldg, real *out) {
    real sigma[2][BLOCK];
    for (int64_t n = 0; n < count; n++)
        for (int from = 0; from < H; from += BLOCK) {
            int channels = H - from < BLOCK ? H - from : BLOCK;
            const real *in = y + n * ldy + from;
            real *o = out + n * rows * H + from;
            sigmoid_of_gates(H, channels, gates + n * ldg + from, sigma);
            for (int c = 0; c < channels; c++) o[c] = silu(in[c]);
            for (int k = 1; k < rows; k++)
                for (int c = 0; c < channels; c++)
                    o[k * H + c] = in[k * H + c] * sigma[degree[k] - 1][c];
        }
}

void gate_backward(int count, int rows, int H, const int *degree, const real *y, int ldy,
                   const real *gates, int ldg, const real *g_out, real *g_y, real *g_gates) {
    real sigma[2][BLOCK], g_sigma[2][BLOCK];
    for (int64_t n = 0; n < count; n++)
        for (int from = 0; from < H; from += BLOCK) {
            int channels = H - from < BLOCK ? H - from : BLOCK;
            const real *in = y + n * ldy + from;
            const real *g_o = g_out + n * rows * H + from;
            real *g_in = g_y + n * ldy + from;
            real *g_g = g_gates + n * ldg + from;
            sigmoid_of_gates(H, channels, gates + n * ldg + from, sigma);
            memset(g_sigma, 0, sizeof g_sigma);
#pragma omp simd
            for (int c = 0; c < channels; c++) g_in[c] = g_o[c] * silu_slope(in[c]);
            for (int k = 1; k < rows; k++) {
                int l = degree[k] - 1;
#pragma omp simd
                for (int c = 0; c < channels; c++) {
                    g_sigma[l][c] += g_o[k * H + c] * in[k * H + c];
                    g_in[k * H + c] = g_o[k * H + c] * sigma[l][c];
                }
            }
            for (int l = 0; l < 2; l++)
                for (int c = 0; c < channels; c++)
                    g_g[l * H + c] = g_sigma[l][c] * sigma[l][c] * (1 - sigma[l][c]);
        }
}
