/* The edge-degree embedding, docs/model.md (14), and its backward pass, (32) and (36).
 *
 *     x_t += 1/5 sum_{s -> t} f(d) D^T [rad_deg]_{m = 0}
 *
 * A radial MLP of the edge gives the three m = 0 rows of a message.  They are rotated back, times
 * the envelope, and summed into the target's features.
 * In: the geometry of a chunk of edges.
 * Out: x [nodes][9][C], added; backward: gradient [edges] of the network's energy, by the distance
 * in 1/A and by turns. */
#include "stages.h"

/* fairchem's rescale factor of the sum over neighbours */
static const real SCALE = (real)(1.0 / 5.0);

void edge_degree_embedding_forward(const dense_weights *w, const edge_chunk *chunk,
                                   radial_activations *act, real *radial, real *x) {
    const umas_architecture *a = &w->architecture;
    unified_radial_mlp_forward(a, &w->edge_degree, chunk, act, radial);
    permute_wigner_inv_edge_to_node_forward(chunk, 3, a->sphere_channels, SCALE, radial, x);
}

void edge_degree_embedding_backward(const dense_weights *w, const edge_chunk *chunk,
                                    radial_activations *act, real *radial, const real *g_x,
                                    real *g_radial, umas_edge_gradient *gradient) {
    const umas_architecture *a = &w->architecture;
    unified_radial_mlp_forward(a, &w->edge_degree, chunk, act, radial);
    permute_wigner_inv_edge_to_node_backward(chunk, 3, a->sphere_channels, SCALE, radial, g_x,
                                             g_radial, gradient);
    unified_radial_mlp_backward(a, &w->edge_degree, chunk, act, g_radial, gradient);
}
