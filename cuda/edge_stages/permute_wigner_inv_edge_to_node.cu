/* From edges to nodes, docs/model.md (21), and its gradient, (32).
 *
 *     x_t += sum_{s -> t} f(d) D^T (message + bias)
 *
 * In: message [edges][rows][C] of type S, m-major, the second convolution's result without its bias
 * [3][C], which is added here to the m = 0 rows.
 * Out: x [owned][9][C] fp32, added.
 * Backward: g_message, and of each edge its torque and its derivative by the distance through the
 * envelope, 1/A.
 *
 * A block has one target node at a time: 4 groups of 64 threads (8 forward where nodes are few),
 * two channels a thread.  The groups take turns with the edges into the node.  Forward, each sums
 * in registers, and the groups' sums are added in shared memory in a fixed order.  Backward, the
 * node's gradient is in registers; where nodes are few, four blocks share a node.
 *
 * Shared memory holds, for each warp, two buffers with what it reads of an edge, message and
 * record, which cp.async fills one edge ahead (edge_walk.cuh). */
#include "edge_stages/edge_stages.cuh"
#include "edge_stages/rotation.cuh"

namespace {

/* Groups of ROW_THREADS threads that share a node's edges; backward, blocks that do: few nodes need
 * many to fill the GPU. */
constexpr int GROUPS = 4, GROUPS_FEW = 8, MOST_SPLITS = 4;
constexpr int FEW_NODES = 600;

/* What a warp reads of an edge, forward. */
template <typename S, int ROWS> struct alignas(16) forward_inputs {
    S message[ROWS * WARP_CHANNELS];
    float record[EDGE_RECORD];
};
/* ... backward; gradient: its sum of the edge's gradients so far */
template <typename S, int ROWS> struct alignas(16) backward_inputs {
    S message[ROWS * WARP_CHANNELS];
    float record[EDGE_RECORD];
    float4 gradient;
};

/* A message's rows in l-major order, the bias added to the m = 0 rows; rows it lacks are 0. */
template <typename S, int ROWS>
__device__ __forceinline__ void load_message(const S *message, const float2 (&bias)[3],
                                             float2 (&y)[9]) {
#pragma unroll
    for (int k = 0; k < 9; k++) y[k] = make_float2(0, 0);
#pragma unroll
    for (int k = 0; k < ROWS; k++) {
        float2 v = load_pair(message + k * WARP_CHANNELS);
        if (k < 3) v = make_float2(v.x + bias[k].x, v.y + bias[k].y);
        y[l_major_of_row(k)] = v;
    }
}

__device__ __forceinline__ void load_bias(const float *__restrict__ from, int channel,
                                          float2 (&bias)[3]) {
#pragma unroll
    for (int k = 0; k < 3; k++) bias[k] = load_pair(from + k * CHANNELS + channel);
}

template <typename S, int ROWS, int GROUPS>
__global__ void __launch_bounds__(GROUPS *ROW_THREADS, 16 / GROUPS)
    forward(edge_list edges, edge_span span, const float *__restrict__ bias_from,
            const S *__restrict__ message, float *__restrict__ x) {
    extern __shared__ __align__(16) char shared[];
    using inputs = forward_inputs<S, ROWS>;
    row_thread t;
    float2 bias[3];
    load_bias(bias_from, t.channel, bias);
    const int targets = target_count(edges);
    for (int i = blockIdx.x; i < targets; i += gridDim.x) {
        const node_visit visit = target_of(edges, span, i);
        float2 sum[9];
#pragma unroll
        for (int k = 0; k < 9; k++) sum[k] = make_float2(0, 0);
        walk_edges(
            edge_walk(edges, visit, t.group, GROUPS), ring_of_warp<inputs>(shared),
            [&](visited_edge v, inputs &to) {
                const size_t at = (size_t)(v.edge - span.begin) * conv_2_width(ROWS);
                copy_rows_ahead<ROWS>(to.message, message + at + t.warp_channel(), CHANNELS);
                copy_ahead<sizeof to.record>(to.record,
                                             edges.record + (size_t)v.edge * EDGE_RECORD);
            },
            [&](visited_edge, const inputs &from) {
                float2 y[9];
                edge_record r(from.record);
                load_message<S, ROWS>(from.message + t.channel_in_warp(), bias, y);
                float factor = r.envelope();
#pragma unroll
                for (int k = 0; k < 9; k++) y[k] = make_float2(y[k].x * factor, y[k].y * factor);
                rotate_back_add(r, y, sum);
            });
        __syncthreads();
        sum_groups<GROUPS>(reinterpret_cast<float2 *>(shared), sum);
        if (t.group == 0) {
            const size_t at = (size_t)visit.node * NODE_WIDTH + t.channel;
#pragma unroll
            for (int k = 0; k < 9; k++) {
                float2 before = load_pair(x + at + k * CHANNELS);
                store_pair(x + at + k * CHANNELS,
                           make_float2(before.x + sum[k].x, before.y + sum[k].y));
            }
        }
        __syncthreads(); /* before the next node's copies */
    }
}

template <typename S, int ROWS>
__global__ void __launch_bounds__(GROUPS *ROW_THREADS, 3)
    backward(edge_list edges, edge_span span, const float *__restrict__ bias_from,
             const S *__restrict__ message, const float *__restrict__ g_x,
             S *__restrict__ g_message, edge_gradient gradient) {
    extern __shared__ __align__(16) char shared[];
    using inputs = backward_inputs<S, ROWS>;
    row_thread t;
    float2 bias[3];
    load_bias(bias_from, t.channel, bias);
    /* where this warp's gradients are summed */
    auto sum_of = [&](int edge) {
        return gradient.target + 2 * (size_t)edge + t.channel / WARP_CHANNELS;
    };
    const int targets = target_count(edges);
    for (int i = blockIdx.x; i < targets; i += gridDim.x) {
        const node_visit visit = target_of(edges, span, i);
        float2 g[9];
        load_node(g_x, visit.node, t.channel, g);
        walk_edges(
            edge_walk(edges, visit, GROUPS * blockIdx.y + t.group, GROUPS * gridDim.y),
            ring_of_warp<inputs>(shared),
            [&](visited_edge v, inputs &to) {
                const size_t at = (size_t)(v.edge - span.begin) * conv_2_width(ROWS);
                copy_rows_ahead<ROWS>(to.message, message + at + t.warp_channel(), CHANNELS);
                copy_ahead<sizeof to.record>(to.record, edges.record + (size_t)v.edge * EDGE_RECORD,
                                             sum_of(v.edge));
            },
            [&](visited_edge v, const inputs &from) {
                edge_record r(from.record);
                float2 q[9], y[9];
                rotate(r, g, q);
                load_message<S, ROWS>(from.message + t.channel_in_warp(), bias, y);
                float factor = r.envelope(), by_factor = 0;
                S *to = g_message + (size_t)(v.edge - span.begin) * conv_2_width(ROWS) + t.channel;
#pragma unroll
                for (int k = 0; k < ROWS; k++) {
                    float2 row = q[l_major_of_row(k)];
                    by_factor += dot(row, y[l_major_of_row(k)]);
                    store_pair(to + k * CHANNELS, make_float2(factor * row.x, factor * row.y));
                }
                const float2 turn = torque(y, q);
                add_to_gradient(
                    sum_of(v.edge), from.gradient,
                    make_float3(factor * turn.x, factor * turn.y, r.envelope_slope() * by_factor));
            });
        __syncwarp(); /* before the next node's copies */
    }
}

template <typename S, int ROWS, int GROUPS>
void launch_forward(cudaStream_t stream, const edge_list &edges, edge_span span, const float *bias,
                    const S *message, float *x) {
    launch_with_memory(forward<S, ROWS, GROUPS>, dim3(target_blocks(edges, span)),
                       GROUPS * ROW_THREADS, walk_and_sum_memory<forward_inputs<S, ROWS>, GROUPS>(),
                       stream, edges, span, bias, message, x);
}

template <typename S, int ROWS>
void launch_backward(cudaStream_t stream, const edge_list &edges, edge_span span, const float *bias,
                     const S *message, const float *g_x, S *g_message, edge_gradient gradient) {
    const unsigned splits = edges.owned < FEW_NODES ? MOST_SPLITS : 1;
    launch_with_memory(backward<S, ROWS>, dim3(target_blocks(edges, span), splits),
                       GROUPS * ROW_THREADS, ring_memory<backward_inputs<S, ROWS>, GROUPS>(),
                       stream, edges, span, bias, message, g_x, g_message, gradient);
}

} // namespace

template <typename S>
void permute_wigner_inv_edge_to_node_forward(cudaStream_t stream, int rows, const edge_list &edges,
                                             edge_span span, const float *bias, const S *message,
                                             float *x) {
    if (edges.owned == 0) return;
    auto launch = rows == 9 ? launch_forward<S, 9, GROUPS> : launch_forward<S, 7, GROUPS>;
    if (edges.owned < FEW_NODES)
        launch = rows == 9 ? launch_forward<S, 9, GROUPS_FEW> : launch_forward<S, 7, GROUPS_FEW>;
    launch(stream, edges, span, bias, message, x);
}

template <typename S>
void permute_wigner_inv_edge_to_node_backward(cudaStream_t stream, int rows, const edge_list &edges,
                                              edge_span span, const float *bias, const S *message,
                                              const float *g_x, S *g_message,
                                              edge_gradient gradient) {
    if (edges.owned == 0) return;
    auto launch = rows == 9 ? launch_backward<S, 9> : launch_backward<S, 7>;
    launch(stream, edges, span, bias, message, g_x, g_message, gradient);
}

#define INSTANTIATE(S)                                                                            \
    template void permute_wigner_inv_edge_to_node_forward<S>(                                     \
        cudaStream_t, int, const edge_list &, edge_span, const float *, const S *, float *);      \
    template void permute_wigner_inv_edge_to_node_backward<S>(                                    \
        cudaStream_t, int, const edge_list &, edge_span, const float *, const S *, const float *, \
        S *, edge_gradient);
INSTANTIATE(__half)
INSTANTIATE(float)
