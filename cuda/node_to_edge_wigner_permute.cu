#include "edge_stages.cuh"
#include "rotation.cuh"

namespace {

/* Groups of ROW_THREADS threads that share a node's edges, and blocks that do, forward: few nodes
 * need many to fill the GPU. */
constexpr int FORWARD_LANES = 4, MOST_SPLITS = 4;
constexpr int BACKWARD_LANES = 4;
/* the shared memory that every GPU of these has does not suffice for eight in fp32 */
template <typename S> constexpr int BACKWARD_LANES_FEW = sizeof(S) == 2 ? 8 : 4;
constexpr int FEW_NODES = 600;

/* What a warp reads of an edge, forward. */
template <typename S, int ROWS> struct alignas(16) forward_inputs {
    S radial[radials_of(ROWS) * WARP_CHANNELS];
    float record[EDGE_RECORD];
};
/* ... backward; gradient: its sum of the edge's gradients so far */
template <typename S, int ROWS> struct alignas(16) backward_inputs {
    S g_message[ROWS * WARP_CHANNELS];
    S radial[radials_of(ROWS) * WARP_CHANNELS], radial_slope[radials_of(ROWS) * WARP_CHANNELS];
    float record[EDGE_RECORD];
    float4 gradient;
};

template <typename S, int ROWS>
__global__ void __launch_bounds__(FORWARD_LANES *ROW_THREADS)
    forward(edge_list edges, edge_span span, const float *__restrict__ h,
            const S *__restrict__ radial, S *__restrict__ message) {
    extern __shared__ __align__(16) char shared[];
    using inputs = forward_inputs<S, ROWS>;
    int node = blockIdx.x, end = min(span.begin + span.size, *edges.count);
    row_thread t;
    int2 in = edges_into(edges, node, span.begin, end);
    int2 out = edges_out_of(edges, node, span.begin, end);
    if (in.x >= in.y && out.x >= out.y) return;
    float2 x[9];
    load_node(h, node, t.channel, x);
    walk_edges(
        edge_walk(edges, in, out, FORWARD_LANES * blockIdx.y + t.lane, FORWARD_LANES * gridDim.y),
        ring_of_warp<inputs>(shared),
        [&](visited_edge v, inputs &to) {
            size_t at = (size_t)(v.edge - span.begin) * radial_width(ROWS) + v.side * CHANNELS;
            copy_rows_ahead<radials_of(ROWS)>(to.radial, radial + at + t.warp_channel(),
                                              2 * CHANNELS);
            copy_ahead<sizeof to.record>(to.record, edges.record + (size_t)v.edge * EDGE_RECORD);
        },
        [&](visited_edge v, const inputs &from) {
            float2 y[9];
            rotate(edge_record(from.record), x, y);
            const S *scale = from.radial + t.channel_in_warp();
            S *to = message + (size_t)(v.edge - span.begin) * message_width(ROWS) +
                    v.side * CHANNELS + t.channel;
#pragma unroll
            for (int k = 0; k < ROWS; k++) {
                float2 s = load_pair(scale + radial_of_row(k) * WARP_CHANNELS);
                float2 row = y[l_major_of_row(k)];
                store_pair(to + k * 2 * CHANNELS, make_float2(row.x * s.x, row.y * s.y));
            }
        });
}

/* One half of one edge's message: adds to g_x; returns the torque and, in z, the gradient by the
 * distance that the radial functions depend on.  channel: in the warp's */
template <typename S, int ROWS>
__device__ __forceinline__ float3 absorb(const backward_inputs<S, ROWS> &from, int channel,
                                         const float2 (&x)[9], float2 (&g_x)[9]) {
    constexpr int RADIALS = radials_of(ROWS);
    edge_record r(from.record);
    float2 y[9], g_y[9], g_scale[RADIALS];
    rotate(r, x, y);
#pragma unroll
    for (int i = 0; i < RADIALS; i++) g_scale[i] = make_float2(0, 0);
#pragma unroll
    for (int k = 0; k < 9; k++) g_y[k] = make_float2(0, 0);
#pragma unroll
    for (int k = 0; k < ROWS; k++) {
        float2 g = load_pair(from.g_message + k * WARP_CHANNELS + channel);
        float2 s = load_pair(from.radial + radial_of_row(k) * WARP_CHANNELS + channel);
        float2 v = y[l_major_of_row(k)], &sum = g_scale[radial_of_row(k)];
        sum.x = fmaf(g.x, v.x, sum.x);
        sum.y = fmaf(g.y, v.y, sum.y);
        g_y[l_major_of_row(k)] = make_float2(g.x * s.x, g.y * s.y);
    }
    float by_distance = 0;
#pragma unroll
    for (int i = 0; i < RADIALS; i++)
        by_distance += dot(g_scale[i], load_pair(from.radial_slope + i * WARP_CHANNELS + channel));
    float2 turn = torque(g_y, y);
    rotate_back_add(r, g_y, g_x);
    return make_float3(turn.x, turn.y, by_distance);
}

template <typename S, int ROWS, int LANES>
__global__ void __launch_bounds__(LANES *ROW_THREADS, LANES == 4 ? 2 : 1)
    backward(edge_list edges, edge_span span, const float *__restrict__ h,
             const S *__restrict__ radial, const S *__restrict__ radial_slope,
             const S *__restrict__ g_message, float *__restrict__ g_h, bool add,
             edge_gradient gradient) {
    extern __shared__ __align__(16) char shared[];
    using inputs = backward_inputs<S, ROWS>;
    int node = blockIdx.x, end = min(span.begin + span.size, *edges.count);
    row_thread t;
    int2 in = edges_into(edges, node, span.begin, end);
    int2 out = edges_out_of(edges, node, span.begin, end);
    if (in.x >= in.y && out.x >= out.y && add) return;
    float2 x[9], g_x[9];
    load_node(h, node, t.channel, x);
#pragma unroll
    for (int k = 0; k < 9; k++) g_x[k] = make_float2(0, 0);
    /* where this warp's gradients are summed */
    auto sum_of = [&](visited_edge v) {
        float4 *all = v.side ? gradient.target : gradient.source;
        return all + 2 * (size_t)v.edge + t.channel / WARP_CHANNELS;
    };
    walk_edges(
        edge_walk(edges, in, out, t.lane, LANES), ring_of_warp<inputs>(shared),
        [&](visited_edge v, inputs &to) {
            const int row = v.edge - span.begin, channel = v.side * CHANNELS + t.warp_channel();
            const size_t at = (size_t)row * radial_width(ROWS) + channel;
            copy_rows_ahead<ROWS>(to.g_message,
                                  g_message + (size_t)row * message_width(ROWS) + channel,
                                  2 * CHANNELS);
            copy_rows_ahead<radials_of(ROWS)>(to.radial, radial + at, 2 * CHANNELS);
            copy_rows_ahead<radials_of(ROWS)>(to.radial_slope, radial_slope + at, 2 * CHANNELS);
            copy_ahead<sizeof to.record>(to.record, edges.record + (size_t)v.edge * EDGE_RECORD);
            copy_ahead<sizeof to.gradient>(&to.gradient, sum_of(v));
        },
        [&](visited_edge v, const inputs &from) {
            float3 g = absorb<S, ROWS>(from, t.channel_in_warp(), x, g_x);
            g = make_float3(warp_sum(g.x), warp_sum(g.y), warp_sum(g.z));
            float4 before = from.gradient;
            if (threadIdx.x % 32 == 0)
                *sum_of(v) = make_float4(before.x + g.x, before.y + g.y, before.z + g.z, 0);
        });
    __syncthreads();
    sum_lanes<LANES>(reinterpret_cast<float2 *>(shared), g_x);
    if (t.lane > 0) return;
    float *to = g_h + (size_t)node * NODE_WIDTH + t.channel;
#pragma unroll
    for (int k = 0; k < 9; k++) {
        float2 before = add ? load_pair(to + k * CHANNELS) : make_float2(0, 0);
        store_pair(to + k * CHANNELS, make_float2(before.x + g_x[k].x, before.y + g_x[k].y));
    }
}

template <typename S, int ROWS>
void launch_forward(cudaStream_t stream, const edge_list &edges, edge_span span, const float *h,
                    const S *radial, S *message) {
    const unsigned splits = edges.nodes < FEW_NODES ? MOST_SPLITS : 1;
    launch_with_memory(forward<S, ROWS>, dim3((unsigned)edges.nodes, splits),
                       FORWARD_LANES * ROW_THREADS,
                       ring_memory<forward_inputs<S, ROWS>, FORWARD_LANES>(), stream, edges, span,
                       h, radial, message);
}

template <typename S, int ROWS, int LANES>
void launch_backward(cudaStream_t stream, const edge_list &edges, edge_span span, const float *h,
                     const S *radial, const S *radial_slope, const S *g_message, float *g_h,
                     bool add, edge_gradient gradient) {
    launch_with_memory(backward<S, ROWS, LANES>, dim3((unsigned)edges.nodes), LANES * ROW_THREADS,
                       walk_and_sum_memory<backward_inputs<S, ROWS>, LANES>(), stream, edges, span,
                       h, radial, radial_slope, g_message, g_h, add, gradient);
}

} // namespace

template <typename S>
void node_to_edge_wigner_permute_forward(cudaStream_t stream, int rows, const edge_list &edges,
                                         edge_span span, const float *h, const S *radial,
                                         S *message) {
    if (edges.nodes == 0) return;
    auto launch = rows == 9 ? launch_forward<S, 9> : launch_forward<S, 7>;
    launch(stream, edges, span, h, radial, message);
}

template <typename S>
void node_to_edge_wigner_permute_backward(cudaStream_t stream, int rows, const edge_list &edges,
                                          edge_span span, const float *h, const S *radial,
                                          const S *radial_slope, const S *g_message, float *g_h,
                                          bool add, edge_gradient gradient) {
    if (edges.nodes == 0) return;
    constexpr int FEW = BACKWARD_LANES_FEW<S>;
    auto launch =
        rows == 9 ? launch_backward<S, 9, BACKWARD_LANES> : launch_backward<S, 7, BACKWARD_LANES>;
    if (edges.nodes < FEW_NODES)
        launch = rows == 9 ? launch_backward<S, 9, FEW> : launch_backward<S, 7, FEW>;
    launch(stream, edges, span, h, radial, radial_slope, g_message, g_h, add, gradient);
}

#define INSTANTIATE(S)                                                                        \
    template void node_to_edge_wigner_permute_forward<S>(                                     \
        cudaStream_t, int, const edge_list &, edge_span, const float *, const S *, S *);      \
    template void node_to_edge_wigner_permute_backward<S>(                                    \
        cudaStream_t, int, const edge_list &, edge_span, const float *, const S *, const S *, \
        const S *, float *, bool, edge_gradient);
INSTANTIATE(__half)
INSTANTIATE(float)
