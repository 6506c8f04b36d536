#include "edge_stages/rotation.h"
#include "stages.h"

UNROLLED void edge_forward(const real *restrict d, int rows, int C, real factor,
                           const real *restrict message, real *restrict x) {
#pragma omp simd
    for (int c = 0; c < C; c++) {
        real y[9] = {0}, out[9];
        for (int k = 0; k < rows; k++) y[L_MAJOR_OF_ROW[k]] = factor * message[k * C + c];
        rotate_back(d, y, out);
        for (int k = 0; k < 9; k++) x[k * C + c] += out[k];
    }
}

UNROLLED void chunk_forward(const edge_chunk *chunk, int rows, int C, real scale,
                            const real *message, real *x) {
    for (int e = 0; e < chunk->edges; e++)
        edge_forward(chunk->wigner + (size_t)e * WIGNER_ENTRIES, rows, C,
                     scale * chunk->envelope[e], message + (size_t)e * (size_t)(rows * C),
                     x + (size_t)chunk->target[e] * (size_t)(9 * C));
}

void permute_wigner_inv_edge_to_node_forward(const edge_chunk *chunk, int rows, int C, real scale,
                                             const real *message, real *x) {
    switch (rows) {
    case 3: chunk_forward(chunk, 3, C, scale, message, x); break;
    case 7: chunk_forward(chunk, 7, C, scale, message, x); break;
    default: chunk_forward(chunk, 9, C, scale, message, x);
    }
}

/* Returns the gradient by the factor; turns are added up for a factor of one. */
UNROLLED real edge_backward(const real *restrict d, int rows, int C, real factor,
                            const real *restrict message, const real *restrict g_x,
                            real *restrict g_message, real turn[2]) {
    real by_factor = 0, about_x = 0, about_z = 0;
#pragma omp simd reduction(+ : by_factor, about_x, about_z)
    for (int c = 0; c < C; c++) {
        real g_in[9], q[9], y[9] = {0}, turn_x, turn_z;
        for (int k = 0; k < 9; k++) g_in[k] = g_x[k * C + c];
        rotate(d, g_in, q);
        for (int k = 0; k < rows; k++) {
            int l = L_MAJOR_OF_ROW[k];
            y[l] = message[k * C + c];
            by_factor += q[l] * y[l];
            g_message[k * C + c] = factor * q[l];
        }
        torque(y, q, &turn_x, &turn_z);
        about_x += turn_x;
        about_z += turn_z;
    }
    turn[0] = about_x;
    turn[1] = about_z;
    return by_factor;
}

UNROLLED void chunk_backward(const edge_chunk *chunk, int rows, int C, real scale,
                             const real *message, const real *g_x, real *g_message,
                             umas_edge_gradient *gradient) {
    for (int e = 0; e < chunk->edges; e++) {
        real turn[2], factor = scale * chunk->envelope[e];
        size_t at = (size_t)e * (size_t)(rows * C);
        real by_factor =
            edge_backward(chunk->wigner + (size_t)e * WIGNER_ENTRIES, rows, C, factor, message + at,
                          g_x + (size_t)chunk->target[e] * (size_t)(9 * C), g_message + at, turn);
        gradient[e].distance += (double)(scale * chunk->envelope_slope[e] * by_factor);
        gradient[e].torque_x += (double)(factor * turn[0]);
        gradient[e].torque_z += (double)(factor * turn[1]);
    }
}

void permute_wigner_inv_edge_to_node_backward(const edge_chunk *chunk, int rows, int C, real scale,
                                              const real *message, const real *g_x, real *g_message,
                                              umas_edge_gradient *gradient) {
    switch (rows) {
    case 3: chunk_backward(chunk, 3, C, scale, message, g_x, g_message, gradient); break;
    case 7: chunk_backward(chunk, 7, C, scale, message, g_x, g_message, gradient); break;
    default: chunk_backward(chunk, 9, C, scale, message, g_x, g_message, gradient);
    }
}
