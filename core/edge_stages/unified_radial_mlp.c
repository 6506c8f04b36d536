/* A radial MLP, docs/model.md (11), (12), and its backward pass, (36).
 *
 *     rad = W_2 silu(LN_1(W_1 silu(LN_0(a_0)) + b_1)) + b_2
 *     a_0 = W_basis b(d) + source[Z_s] + target[Z_t]
 *
 * In: of a chunk of edges, the distance basis b [edges][G] and the elements of both ends.
 * Out: rad [edges][outputs], no unit; backward: the derivative of the energy by each distance, 1/A.
 */
#include <tgmath.h>

#include "activation.h"
#include "blas.h"
#include "stages.h"

static const real NORM_EPSILON = (real)1e-5;

/* Mean and 1 / standard deviation of x [B]. */
static void moments(int B, const real *x, real *mean, real *inverse) {
    real sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < B; i++) sum += x[i];
    *mean = sum / (real)B;
#pragma omp simd reduction(+ : squares)
    for (int i = 0; i < B; i++) squares += (x[i] - *mean) * (x[i] - *mean);
    *inverse = 1 / sqrt(squares / (real)B + NORM_EPSILON);
}

/* out = silu(layer_norm(x)), [edges][B] */
static void norm_silu_forward(int edges, int B, const real *w, const real *b, const real *x,
                              real *out) {
    for (int e = 0; e < edges; e++, x += B, out += B) {
        real mean, inverse;
        moments(B, x, &mean, &inverse);
        for (int i = 0; i < B; i++) out[i] = silu((x[i] - mean) * inverse * w[i] + b[i]);
    }
}

/* From the gradient of silu(layer_norm(x)) to that of x, in place in g [edges][B]. */
static void norm_silu_backward(int edges, int B, const real *w, const real *b, const real *x,
                               real *g) {
    for (int e = 0; e < edges; e++, x += B, g += B) {
        real mean, inverse, sum = 0, along = 0;
        moments(B, x, &mean, &inverse);
        for (int i = 0; i < B; i++)
            g[i] *= silu_slope((x[i] - mean) * inverse * w[i] + b[i]) * w[i];
#pragma omp simd reduction(+ : sum, along)
        for (int i = 0; i < B; i++) {
            sum += g[i];
            along += g[i] * (x[i] - mean);
        }
        along *= inverse * inverse / (real)B;
        sum /= (real)B;
        for (int i = 0; i < B; i++) g[i] = inverse * (g[i] - sum - (x[i] - mean) * along);
    }
}

void unified_radial_mlp_forward(const umas_architecture *a, const radial_weights *w,
                                const edge_chunk *chunk, radial_activations *act, real *out) {
    int B = a->edge_channels, G = a->distance_functions, edges = chunk->edges;
    real *x0 = act->linear[0], *x1 = act->linear[1], *hidden = act->hidden;
    for (int64_t e = 0; e < edges; e++) {
        const real *source = w->source + chunk->source_element[e] * B;
        const real *target = w->target + chunk->target_element[e] * B;
        for (int i = 0; i < B; i++) x0[e * B + i] = source[i] + target[i];
    }
    matmul_nt(edges, B, G, 1, chunk->basis, G, w->basis, 1, x0, B);
    norm_silu_forward(edges, B, w->norm_0_w, w->norm_0_b, x0, hidden);
    for (int64_t e = 0; e < edges; e++)
        for (int i = 0; i < B; i++) x1[e * B + i] = w->linear_1_b[i];
    matmul_nt(edges, B, B, 1, hidden, B, w->linear_1_w, 1, x1, B);
    norm_silu_forward(edges, B, w->norm_1_w, w->norm_1_b, x1, hidden);
    int n = w->outputs;
    for (int64_t e = 0; e < edges; e++)
        for (int i = 0; i < n; i++) out[e * n + i] = w->linear_2_b[i];
    matmul_nt(edges, n, B, 1, hidden, B, w->linear_2_w, 1, out, n);
}

void unified_radial_mlp_backward(const umas_architecture *a, const radial_weights *w,
                                 const edge_chunk *chunk, radial_activations *act,
                                 const real *g_out, umas_edge_gradient *gradient) {
    int B = a->edge_channels, G = a->distance_functions, edges = chunk->edges;
    real *x0 = act->linear[0], *x1 = act->linear[1], *g = act->hidden;
    matmul_nn(edges, w->outputs, B, 1, g_out, w->outputs, w->linear_2_w, 0, g, B);
    norm_silu_backward(edges, B, w->norm_1_w, w->norm_1_b, x1, g);
    real *g_hidden = x1; /* its values are no longer needed */
    matmul_nn(edges, B, B, 1, g, B, w->linear_1_w, 0, g_hidden, B);
    norm_silu_backward(edges, B, w->norm_0_w, w->norm_0_b, x0, g_hidden);
    matmul_nn(edges, B, G, 1, g_hidden, B, w->basis, 0, act->g_basis, G);
    for (int64_t e = 0; e < edges; e++) {
        const real *slope = chunk->basis_slope + e * G;
        const real *g_basis = act->g_basis + e * G;
        double sum = 0;
        for (int i = 0; i < G; i++) sum += (double)(g_basis[i] * slope[i]);
        gradient[e].distance += sum;
    }
}
