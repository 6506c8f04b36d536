/* From edges to nodes, docs/model.md (21), and its backward pass, (32).
 *
 *     x_t += scale sum_{s -> t} f(d) D^T message
 *
 * The rows of a message are put back into l-major order, rotated into the frame of the nodes, times
 * the envelope, and summed over the edges into each target, in the order of the edges.
 * In: message [edges][rows][C], m-major; rows 3 (m = 0 only), 7 or 9.
 * Out: x [nodes][9][C], l-major, added.
 * Backward: g_message, and of every edge the torque, (35), and the derivative by the distance that
 * goes through the envelope, in 1/A. */
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
    const int64_t node = 9 * C;
    for (int64_t e = 0; e < chunk->edges; e++)
        edge_forward(chunk->wigner + e * WIGNER_ENTRIES, rows, C, scale * chunk->envelope[e],
                     message + e * rows * C, x + chunk->target[e] * node);
}

void permute_wigner_inv_edge_to_node_forward(const edge_chunk *chunk, int rows, int C, real scale,
                                             const real *message, real *x) {
    switch (rows) {
    case 3: chunk_forward(chunk, 3, C, scale, message, x); break;
    case 7: chunk_forward(chunk, 7, C, scale, message, x); break;
    default: chunk_forward(chunk, 9, C, scale, message, x);
    }
}

/* Returns q . y, the gradient by the factor; turn[]: the torque y . J q, without the factor. */
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
    const int64_t node = 9 * C;
    for (int64_t e = 0; e < chunk->edges; e++) {
        real turn[2], factor = scale * chunk->envelope[e];
        int64_t row = e * rows * C;
        real by_factor =
            edge_backward(chunk->wigner + e * WIGNER_ENTRIES, rows, C, factor, message + row,
                          g_x + chunk->target[e] * node, g_message + row, turn);
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
