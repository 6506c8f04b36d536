/* The stages over edges, forward and backward: docs/model.md (12), (14), (16), (20), (21), and
 * their gradients, (27), (32), (34), (36).  Launchers queue kernels on a stream.
 *
 * S is how arrays over edges are stored: __half (mixed) or float (single); sums are fp32.  ROWS of
 * a message are 9 (mmax 2) or 7 (mmax 1), m-major as in core/row_order.h.  Features have no unit.
 *
 * Kernels that rotate features are node-centric: a block has one node at a time, keeps its nine
 * rows in registers and walks over the edges into the node and out of it.  So each node is read
 * once, nothing is gathered, and sums over edges have a fixed order without atomics.  Arrays over
 * edges hold one chunk: edge e of the list is row e - begin.  Blocks visit all nodes, or those that
 * have edges in the chunk where edges.visit says which. */
#ifndef UMAS_EDGE_STAGES_CUH
#define UMAS_EDGE_STAGES_CUH

#include "device.cuh"
#include "graph/edge_list.cuh"

/* Numbers an edge in each array, for ROWS rows. */
__host__ __device__ constexpr int message_width(int rows) { return rows * 2 * CHANNELS; }
__host__ __device__ constexpr int conv_1_width(int rows) { return (rows + 2) * CHANNELS; }
__host__ __device__ constexpr int conv_2_width(int rows) { return rows * CHANNELS; }
/* What the gate leaves for the next product and for its own gradient: 2 C gates and C scalars as
 * they enter its functions, with conv1's bias, then the rows that come out of it. */
constexpr int GATE_INPUTS = 3 * CHANNELS;
__host__ __device__ constexpr int gated_width(int rows) { return GATE_INPUTS + rows * CHANNELS; }
/* Radial functions of a channel: the rows share some (rotation.cuh, radial_of_row). */
__host__ __device__ constexpr int radials_of(int rows) { return rows == 9 ? 6 : 5; }
__host__ __device__ constexpr int radial_width(int rows) { return radials_of(rows) * 2 * CHANNELS; }
/* The hidden layer that the radial product reads: its channels, a one for the bias, and zeros that
 * round the row up to whole 16-byte words. */
constexpr int HIDDEN_WIDTH = CHANNELS + 8;

/* What an edge's gradients are summed in: torque x, torque z, dE/d(distance), -; a slot for each of
 * the two warps that write them, in the block of the target and in that of the source. */
struct edge_gradient {
    float4 *target, *source; /* [edges][2] */
};

/* A radial function as cubic Hermite pieces: [pair][knot][value, slope * step, step to the next
 * value][width]. */
constexpr int RADIAL_ROWS = 3;
struct radial_table {
    const float *values;
    float knots_per_length; /* 1/A */
};

/* What gather and rotation have of a layer's radial functions: those of a chunk's edges, and
 * their slopes (1/A), [edges][radial_width] ... */
template <typename S> struct stored_radials {
    const S *radial, *radial_slope; /* forward: no slopes */
};
/* ... or tables as parabolas: [pair][knot][value, mean slope up to the next knot (1/A), change
 * of the slope][radial_width]. */
constexpr int PARABOLA_ROWS = 3;
struct tabulated_radials {
    const __half *values;
    float step; /* A */
};

/* The hidden layer at every edge's distance, or its slope there (1/A); the radial product makes the
 * radial functions, or their slopes, of it: the bias column is 1, or 0. */
template <typename S>
void radial_hidden(cudaStream_t stream, const edge_list &edges, edge_span span, radial_table table,
                   bool slope, S *hidden);

/* Radials: one of the two above */
template <typename S, typename Radials>
void node_to_edge_wigner_permute_forward(cudaStream_t stream, int rows, const edge_list &edges,
                                         edge_span span, const float *h, const Radials &radials,
                                         S *message);
/* g_h [nodes][9][C]: added when `add`, else overwritten; gradient: all added */
template <typename S, typename Radials>
void node_to_edge_wigner_permute_backward(cudaStream_t stream, int rows, const edge_list &edges,
                                          edge_span span, const float *h, const Radials &radials,
                                          const S *g_message, float *g_h, bool add,
                                          edge_gradient gradient);

/* x [owned][9][C]: the sum over edges is added; bias [3][C] of the m = 0 rows */
template <typename S>
void permute_wigner_inv_edge_to_node_forward(cudaStream_t stream, int rows, const edge_list &edges,
                                             edge_span span, const float *bias, const S *message,
                                             float *x);
/* gradient.target: added */
template <typename S>
void permute_wigner_inv_edge_to_node_backward(cudaStream_t stream, int rows, const edge_list &edges,
                                              edge_span span, const float *bias, const S *message,
                                              const float *g_x, S *g_message,
                                              edge_gradient gradient);

/* conv_1 [edges][2 C gates, rows C] without its bias [5 C] -> gated */
template <typename S>
void gate_forward(cudaStream_t stream, int rows, const edge_list &edges, edge_span span,
                  const float *bias, const S *conv_1, S *gated);
/* of g_gated, which has the layout of gated, only the rows are read */
template <typename S>
void gate_backward(cudaStream_t stream, int rows, const edge_list &edges, edge_span span,
                   const S *gated, const S *g_gated, S *g_conv_1);

/* table: width 3 C; x [owned][9][C]: added */
void edge_degree_embedding_forward(cudaStream_t stream, const edge_list &edges, radial_table table,
                                   float *x);
/* gradient.target: added */
void edge_degree_embedding_backward(cudaStream_t stream, const edge_list &edges, radial_table table,
                                    const float *g_x, edge_gradient gradient);

#endif
