/* The stages of the network, forward and backward.  Numbers such as (16) are lines of
 * docs/model.md.
 *
 * Names are fairchem's.  Node features [node][9][C] have l-major rows, messages [edge][rows][C]
 * m-major ones (row_order.h); rows is 9, or 7 for mmax 1.  A name that starts with g_ is the
 * gradient of the network's energy by that array.  Features and gradients have no unit; gradients
 * by a distance are in 1/A.  Outputs are overwritten where the comment does not say "added".  A
 * stage runs on the thread that calls it. */
#ifndef UMAS_STAGES_H
#define UMAS_STAGES_H

#include "graph/edge_geometry.h"
#include "graph/edges.h"
#include "weights/dense_weights.h"

#define radial_activations PRECISE(umas_radial_activations)
#define atomwise_activations PRECISE(umas_atomwise_activations)
#define node_to_edge_wigner_permute_forward PRECISE(umas_node_to_edge_wigner_permute_forward)
#define node_to_edge_wigner_permute_backward PRECISE(umas_node_to_edge_wigner_permute_backward)
#define permute_wigner_inv_edge_to_node_forward \
    PRECISE(umas_permute_wigner_inv_edge_to_node_forward)
#define permute_wigner_inv_edge_to_node_backward \
    PRECISE(umas_permute_wigner_inv_edge_to_node_backward)
#define unified_radial_mlp_forward PRECISE(umas_unified_radial_mlp_forward)
#define unified_radial_mlp_backward PRECISE(umas_unified_radial_mlp_backward)
#define so2_conv_forward PRECISE(umas_so2_conv_forward)
#define so2_conv_backward PRECISE(umas_so2_conv_backward)
#define gate_forward PRECISE(umas_gate_forward)
#define gate_backward PRECISE(umas_gate_backward)
#define rms_norm_sh_forward PRECISE(umas_rms_norm_sh_forward)
#define rms_norm_sh_backward PRECISE(umas_rms_norm_sh_backward)
#define atomwise_activate PRECISE(umas_atomwise_activate)
#define atomwise_forward PRECISE(umas_atomwise_forward)
#define atomwise_backward PRECISE(umas_atomwise_backward)
#define edge_degree_embedding_forward PRECISE(umas_edge_degree_embedding_forward)
#define edge_degree_embedding_backward PRECISE(umas_edge_degree_embedding_backward)
#define balance_channels PRECISE(umas_balance_channels)
#define energy_head_forward PRECISE(umas_energy_head_forward)
#define energy_head_backward PRECISE(umas_energy_head_backward)

/* (16): gather, rotate into the edge's frame, l-major to m-major, times the radial functions.  h
 * [nodes][9][C], radial [edges][5 or 6][2 C] -> message [edges][rows][2 C], sources' half first. */
void node_to_edge_wigner_permute_forward(const edge_chunk *chunk, int rows, int C, const real *h,
                                         const real *radial, real *message);
/* (34).  g_source [edges][9][C]: the part of g_h that goes to each edge's source.
 * g_target [nodes][9][C]: added.  gradient [edges]: torques added. */
void node_to_edge_wigner_permute_backward(const edge_chunk *chunk, int rows, int C, const real *h,
                                          const real *radial, const real *g_message, real *g_radial,
                                          real *g_source, real *g_target,
                                          umas_edge_gradient *gradient);

/* (21), (14): m-major to l-major, rotate back, times envelope and scale, sum over the edges into a
 * node.  message [edges][rows][C] (rows 3, 7 or 9) -> x [nodes][9][C], added. */
void permute_wigner_inv_edge_to_node_forward(const edge_chunk *chunk, int rows, int C, real scale,
                                             const real *message, real *x);
/* (32).  gradient [edges]: all three added. */
void permute_wigner_inv_edge_to_node_backward(const edge_chunk *chunk, int rows, int C, real scale,
                                              const real *message, const real *g_x, real *g_message,
                                              umas_edge_gradient *gradient);

/* What the radial MLP's backward pass reads of its forward pass. */
typedef struct radial_activations {
    real *linear[2]; /* [edges][B] what enters the two layer norms */
    real *hidden;    /* [edges][B] scratch */
    real *g_basis;   /* [edges][G] scratch of the backward pass */
} radial_activations;

/* (11), (12): distance basis and elements -> out [edges][outputs]. */
void unified_radial_mlp_forward(const umas_architecture *a, const radial_weights *w,
                                const edge_chunk *chunk, radial_activations *act, real *out);
/* (36).  gradient [edges]: distance added.  Overwrites act. */
void unified_radial_mlp_backward(const umas_architecture *a, const radial_weights *w,
                                 const edge_chunk *chunk, radial_activations *act,
                                 const real *g_out, umas_edge_gradient *gradient);

/* (17), (18), and (33) for the gradients: x [edges][rows][K] -> y [edges][extra + rows N], the
 * extra scalars, then the rows. */
void so2_conv_forward(int edges, int rows, const so2_weights *w, const real *x, real *y);
void so2_conv_backward(int edges, int rows, const so2_weights *w, const real *g_y, real *g_x);

/* (20): row 0 through silu, every other row times the sigmoid of its degree's gate.
 * y [count][ldy]: rows of H; gates [count][ldg]: degree 1's H, degree 2's H; degree [rows];
 * out [count][rows][H]. */
void gate_forward(int count, int rows, int H, const int *degree, const real *y, int ldy,
                  const real *gates, int ldg, real *out);
/* (27).  g_y and g_gates have the strides of y and gates, and may be those arrays. */
void gate_backward(int count, int rows, int H, const int *degree, const real *y, int ldy,
                   const real *gates, int ldg, const real *g_out, real *g_y, real *g_gates);

/* (15): x [count][9][C] -> y [count][9][C]; w [3][C] by degree, b [C], plus shift [C] (or NULL) on
 * l = 0 */
void rms_norm_sh_forward(int count, int C, const real *w, const real *b, const real *shift,
                         const real *x, real *y);
/* (31).  g_x: added */
void rms_norm_sh_backward(int count, int C, const real *w, const real *x, const real *g_y,
                          real *g_x);

typedef struct atomwise_activations {
    real *scalar; /* [count][2 H] before its silu */
    real *gates;  /* [count][2 H] */
    real *pre;    /* [count][9][H] before the gate */
    real *post;   /* [count][9][H] */
} atomwise_activations;

/* (22): the activations of h [count][9][C], all of the forward pass but its last product. */
void atomwise_activate(const umas_architecture *a, const block_weights *w, int count, const real *h,
                       atomwise_activations *act);
/* (22), (23): h [count][9][C] -> y [count][9][C], added. */
void atomwise_forward(const umas_architecture *a, const block_weights *w, int count, const real *h,
                      atomwise_activations *act, real *y);
/* (30).  Overwrites act. */
void atomwise_backward(const umas_architecture *a, const block_weights *w, int count,
                       const real *g_y, atomwise_activations *act, real *g_h);

/* (14): radial MLP -> m = 0 rows of a message, rotated back and summed into x [nodes][9][C], added.
 * radial [edges][3 C]: scratch. */
void edge_degree_embedding_forward(const dense_weights *w, const edge_chunk *chunk,
                                   radial_activations *act, real *radial, real *x);
/* Its gradient.  radial, g_radial [edges][3 C]: scratch.  gradient [edges]: all three added. */
void edge_degree_embedding_backward(const dense_weights *w, const edge_chunk *chunk,
                                    radial_activations *act, real *radial, const real *g_x,
                                    real *g_radial, umas_edge_gradient *gradient);

/* (24), (29): shift scalar channels [first, end) of the atoms with element != 0 so that their sum
 * over the whole system becomes `target`; with target 0 it is its own backward pass.  x
 * [owned][9][C]; atoms: of the whole system; exchange: NULL for one rank.  Status: EXCHANGE. */
umas_status balance_channels(int owned, int C, const int *element, int first, int end,
                             double target, int64_t atoms, const umas_exchange *exchange, real *x,
                             umas_error *error);

/* (25): x [count][9][C] -> energy [count] of the network; linear [2]: [count][H], hidden [count][H]
 */
void energy_head_forward(const dense_weights *w, int count, const real *x, real *linear[2],
                         real *hidden, real *energy);
/* (28): g_x [count][9][C], where every energy has the gradient 1. */
void energy_head_backward(const dense_weights *w, int count, real *linear[2], real *hidden,
                          real *g_x);

#endif
