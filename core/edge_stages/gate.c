#include "activation.h"
#include "stages.h"

/* Channels whose open gates stay in the first-level cache while all rows pass. */
enum { BLOCK = 64 };

static void open_gates(int H, int channels, const real *gates, real open[2][BLOCK]) {
    for (int l = 0; l < 2; l++)
        for (int c = 0; c < channels; c++) open[l][c] = sigmoid(gates[l * H + c]);
}

void gate_forward(int count, int rows, int H, const int *degree, const real *y, int ldy,
                  const real *gates, int ldg, real *out) {
    real open[2][BLOCK];
    for (int n = 0; n < count; n++)
        for (int from = 0; from < H; from += BLOCK) {
            int channels = H - from < BLOCK ? H - from : BLOCK;
            const real *in = y + (size_t)n * (size_t)ldy + from;
            real *o = out + (size_t)n * (size_t)(rows * H) + from;
            open_gates(H, channels, gates + (size_t)n * (size_t)ldg + from, open);
            for (int c = 0; c < channels; c++) o[c] = silu(in[c]);
            for (int k = 1; k < rows; k++)
                for (int c = 0; c < channels; c++)
                    o[k * H + c] = in[k * H + c] * open[degree[k] - 1][c];
        }
}

void gate_backward(int count, int rows, int H, const int *degree, const real *y, int ldy,
                   const real *gates, int ldg, const real *g_out, real *g_y, real *g_gates) {
    real open[2][BLOCK], g_open[2][BLOCK];
    for (int n = 0; n < count; n++)
        for (int from = 0; from < H; from += BLOCK) {
            int channels = H - from < BLOCK ? H - from : BLOCK;
            const real *in = y + (size_t)n * (size_t)ldy + from;
            const real *g_o = g_out + (size_t)n * (size_t)(rows * H) + from;
            real *g_in = g_y + (size_t)n * (size_t)ldy + from;
            real *g_g = g_gates + (size_t)n * (size_t)ldg + from;
            open_gates(H, channels, gates + (size_t)n * (size_t)ldg + from, open);
            memset(g_open, 0, sizeof g_open);
#pragma omp simd
            for (int c = 0; c < channels; c++) g_in[c] = g_o[c] * silu_slope(in[c]);
            for (int k = 1; k < rows; k++) {
                int l = degree[k] - 1;
#pragma omp simd
                for (int c = 0; c < channels; c++) {
                    g_open[l][c] += g_o[k * H + c] * in[k * H + c];
                    g_in[k * H + c] = g_o[k * H + c] * open[l][c];
                }
            }
            for (int l = 0; l < 2; l++)
                for (int c = 0; c < channels; c++)
                    g_g[l * H + c] = g_open[l][c] * open[l][c] * (1 - open[l][c]);
        }
}
