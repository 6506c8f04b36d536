/* From nodes to edges, docs/model.md (16), and its backward pass, (34).
 *
 *     message_k = (D [h_s, h_t])_k rad_rho(k)
 *
 * The features of both ends of an edge are gathered and rotated into the edge's frame; their rows
 * are put into m-major order, cut at mmax, and scaled by the layer's radial functions, channel by
 * channel.
 * In: h [nodes][9][C], l-major; radial [edges][5 or 6][2 C].
 * Out: message [edges][rows][2 C], m-major, the source's C channels first.
 * Backward: g_radial, the gradients by h of both ends, and the torque of every edge, (35).  No
 * units. */
#include "edge_stages/rotation.h"
#include "stages.h"

/* One half of a message: row k of `message` is radial * (D x)[k]; C channels, row stride 2 C. */
UNROLLED void half_forward(const real *restrict d, int rows, int C, const real *restrict x,
                           const real *restrict radial, real *restrict message) {
#pragma omp simd
    for (int c = 0; c < C; c++) {
        real in[9], out[9];
        for (int k = 0; k < 9; k++) in[k] = x[k * C + c];
        rotate(d, in, out);
        for (int k = 0; k < rows; k++)
            message[2 * k * C + c] = out[L_MAJOR_OF_ROW[k]] * radial[2 * RADIAL_OF_ROW[k] * C + c];
    }
}

UNROLLED void chunk_forward(const edge_chunk *chunk, int rows, int C, const real *h,
                            const real *radial, real *message) {
    int64_t node = 9 * C;
    int width = 2 * C, radials = message_radials(rows);
    for (int64_t e = 0; e < chunk->edges; e++) {
        const real *d = chunk->wigner + e * WIGNER_ENTRIES;
        const real *r = radial + e * radials * width;
        real *m = message + e * rows * width;
        half_forward(d, rows, C, h + chunk->source[e] * node, r, m);
        half_forward(d, rows, C, h + chunk->target[e] * node, r + C, m + C);
    }
}

void node_to_edge_wigner_permute_forward(const edge_chunk *chunk, int rows, int C, const real *h,
                                         const real *radial, real *message) {
    if (rows == 9)
        chunk_forward(chunk, 9, C, h, radial, message);
    else
        chunk_forward(chunk, 7, C, h, radial, message);
}

/* g_x of this half is written, or added when `add`. */
UNROLLED void half_backward(const real *restrict d, int rows, int C, const real *restrict x,
                            const real *restrict radial, const real *restrict g_message,
                            real *restrict g_radial, int add, real *restrict g_x,
                            umas_edge_gradient *gradient) {
    real about_x = 0, about_z = 0;
#pragma omp simd reduction(+ : about_x, about_z)
    for (int c = 0; c < C; c++) {
        real in[9], y[9], g_y[9] = {0}, g_in[9], g_r[6] = {0}, turn_x, turn_z;
        for (int k = 0; k < 9; k++) in[k] = x[k * C + c];
        rotate(d, in, y);
        for (int k = 0; k < rows; k++) {
            int l = L_MAJOR_OF_ROW[k], r = RADIAL_OF_ROW[k];
            real g = g_message[2 * k * C + c];
            g_r[r] += g * y[l];
            g_y[l] = g * radial[2 * r * C + c];
        }
        for (int r = 0; r < message_radials(rows); r++) g_radial[2 * r * C + c] = g_r[r];
        torque(g_y, y, &turn_x, &turn_z);
        about_x += turn_x;
        about_z += turn_z;
        rotate_back(d, g_y, g_in);
        for (int k = 0; k < 9; k++) g_x[k * C + c] = g_in[k] + (add ? g_x[k * C + c] : 0);
    }
    gradient->torque_x += (double)about_x;
    gradient->torque_z += (double)about_z;
}

UNROLLED void chunk_backward(const edge_chunk *chunk, int rows, int C, const real *h,
                             const real *radial, const real *g_message, real *g_radial,
                             real *g_source, real *g_target, umas_edge_gradient *gradient) {
    int64_t node = 9 * C;
    int width = 2 * C, radials = message_radials(rows);
    for (int64_t e = 0; e < chunk->edges; e++) {
        const real *d = chunk->wigner + e * WIGNER_ENTRIES;
        const real *r = radial + e * radials * width;
        const real *g = g_message + e * rows * width;
        real *g_r = g_radial + e * radials * width;
        int64_t source = chunk->source[e] * node, target = chunk->target[e] * node;
        half_backward(d, rows, C, h + source, r, g, g_r, 0, g_source + e * node, &gradient[e]);
        half_backward(d, rows, C, h + target, r + C, g + C, g_r + C, 1, g_target + target,
                      &gradient[e]);
    }
}

void node_to_edge_wigner_permute_backward(const edge_chunk *chunk, int rows, int C, const real *h,
                                          const real *radial, const real *g_message, real *g_radial,
                                          real *g_source, real *g_target,
                                          umas_edge_gradient *gradient) {
    if (rows == 9)
        chunk_backward(chunk, 9, C, h, radial, g_message, g_radial, g_source, g_target, gradient);
    else
        chunk_backward(chunk, 7, C, h, radial, g_message, g_radial, g_source, g_target, gradient);
}
