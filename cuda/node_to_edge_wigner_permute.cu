#include "edge_stages.cuh"
#include "rotation.cuh"

namespace {

/* Groups of ROW_THREADS threads that share a node's edges, and blocks that do, forward: few nodes
 * need many to fill the GPU. */
constexpr int FORWARD_LANES = 4, MOST_SPLITS = 4;
constexpr int BACKWARD_LANES = 4, BACKWARD_LANES_FEW = 8;
constexpr int FEW_NODES = 600;

template <typename S, int ROWS>
__device__ __forceinline__ void emit(const edge_list &edges, int e, int row, int side, int channel,
                                     const float2 (&x)[9], const S *__restrict__ radial,
                                     S *__restrict__ message) {
    edge_record r(edges.record, e);
    float2 y[9];
    rotate(r, x, y);
    const S *scale = radial + (size_t)row * radial_width(ROWS) + side * CHANNELS + channel;
    S *to = message + (size_t)row * message_width(ROWS) + side * CHANNELS + channel;
#pragma unroll
    for (int k = 0; k < ROWS; k++) {
        float2 s = load_pair(scale + radial_of_row(k) * 2 * CHANNELS), v = y[l_major_of_row(k)];
        store_pair(to + k * 2 * CHANNELS, make_float2(v.x * s.x, v.y * s.y));
    }
}

/* Calls visit(edge, side) for every stride-th edge of a node from `first` on: those into it (side
 * 1), then those out of it (side 0).  The next edge is looked up while one is worked on. */
template <typename F>
__device__ __forceinline__ void visit_edges(const edge_list &edges, int2 in, int2 out, int first,
                                            int stride, F &&visit) {
    for (int e = in.x + first; e < in.y; e += stride) visit(e, 1);
    int k = out.x + first;
    int e = k < out.y ? edges.out[k] : 0;
    while (k < out.y) {
        k += stride;
        int next = k < out.y ? edges.out[k] : 0;
        visit(e, 0);
        e = next;
    }
}

template <typename S, int ROWS>
__global__ void __launch_bounds__(FORWARD_LANES *ROW_THREADS)
    forward(edge_list edges, edge_span span, const float *__restrict__ h,
            const S *__restrict__ radial, S *__restrict__ message) {
    int node = blockIdx.x, end = min(span.begin + span.size, *edges.count);
    row_thread t;
    int2 in = edges_into(edges, node, span.begin, end);
    int2 out = edges_out_of(edges, node, span.begin, end);
    if (in.x >= in.y && out.x >= out.y) return;
    float2 x[9];
    load_node(h, node, t.channel, x);
    visit_edges(edges, in, out, FORWARD_LANES * blockIdx.y + t.lane, FORWARD_LANES * gridDim.y,
                [&](int e, int side) {
                    emit<S, ROWS>(edges, e, e - span.begin, side, t.channel, x, radial, message);
                });
}

/* One half of one edge's message: adds to g_x; returns the torque and, in z, the gradient by the
 * distance that the radial functions depend on. */
template <typename S, int ROWS>
__device__ __forceinline__ float3 absorb(const edge_list &edges, int e, int row, int side,
                                         int channel, const float2 (&x)[9],
                                         const S *__restrict__ radial,
                                         const S *__restrict__ radial_slope,
                                         const S *__restrict__ g_message, float2 (&g_x)[9]) {
    constexpr int RADIALS = ROWS == 9 ? 6 : 5;
    edge_record r(edges.record, e);
    float2 y[9], g_y[9], scale[RADIALS], g_scale[RADIALS];
    rotate(r, x, y);
    size_t at = (size_t)row * radial_width(ROWS) + side * CHANNELS + channel;
    const S *from = g_message + (size_t)row * message_width(ROWS) + side * CHANNELS + channel;
#pragma unroll
    for (int i = 0; i < RADIALS; i++) {
        scale[i] = load_pair(radial + at + i * 2 * CHANNELS);
        g_scale[i] = make_float2(0, 0);
    }
#pragma unroll
    for (int k = 0; k < 9; k++) g_y[k] = make_float2(0, 0);
#pragma unroll
    for (int k = 0; k < ROWS; k++) {
        float2 g = load_pair(from + k * 2 * CHANNELS);
        float2 v = y[l_major_of_row(k)], s = scale[radial_of_row(k)];
        float2 &sum = g_scale[radial_of_row(k)];
        sum.x = fmaf(g.x, v.x, sum.x);
        sum.y = fmaf(g.y, v.y, sum.y);
        g_y[l_major_of_row(k)] = make_float2(g.x * s.x, g.y * s.y);
    }
    float by_distance = 0;
#pragma unroll
    for (int i = 0; i < RADIALS; i++)
        by_distance += dot(g_scale[i], load_pair(radial_slope + at + i * 2 * CHANNELS));
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
    __shared__ float2 shared[(LANES - 1) * 9 * ROW_THREADS];
    int node = blockIdx.x, end = min(span.begin + span.size, *edges.count);
    row_thread t;
    int2 in = edges_into(edges, node, span.begin, end);
    int2 out = edges_out_of(edges, node, span.begin, end);
    if (in.x >= in.y && out.x >= out.y && add) return;
    float2 x[9], g_x[9];
    load_node(h, node, t.channel, x);
#pragma unroll
    for (int k = 0; k < 9; k++) g_x[k] = make_float2(0, 0);
    int warp = (t.channel / 2) / 32;
    bool writes = (threadIdx.x & 31) == 0;
    visit_edges(edges, in, out, t.lane, LANES, [&](int e, int side) {
        /* where this warp's gradients are summed; read early, they are needed late */
        float4 &to = (side ? gradient.target : gradient.source)[2 * (size_t)e + warp];
        float4 before = writes ? to : make_float4(0, 0, 0, 0);
        float3 g = absorb<S, ROWS>(edges, e, e - span.begin, side, t.channel, x, radial,
                                   radial_slope, g_message, g_x);
        g = make_float3(warp_sum(g.x), warp_sum(g.y), warp_sum(g.z));
        if (writes) to = make_float4(before.x + g.x, before.y + g.y, before.z + g.z, 0);
    });
    sum_lanes<LANES>(shared, g_x);
    if (t.lane > 0) return;
    float *to = g_h + (size_t)node * NODE_WIDTH + t.channel;
#pragma unroll
    for (int k = 0; k < 9; k++) {
        float2 before = add ? load_pair(to + k * CHANNELS) : make_float2(0, 0);
        store_pair(to + k * CHANNELS, make_float2(before.x + g_x[k].x, before.y + g_x[k].y));
    }
}

template <typename S, int ROWS>
void launch_backward(cudaStream_t stream, const edge_list &edges, edge_span span, const float *h,
                     const S *radial, const S *radial_slope, const S *g_message, float *g_h,
                     bool add, edge_gradient gradient) {
    bool few = edges.nodes < FEW_NODES;
    auto kernel = few ? backward<S, ROWS, BACKWARD_LANES_FEW> : backward<S, ROWS, BACKWARD_LANES>;
    int threads = (few ? BACKWARD_LANES_FEW : BACKWARD_LANES) * ROW_THREADS;
    kernel<<<(unsigned)edges.nodes, threads, 0, stream>>>(edges, span, h, radial, radial_slope,
                                                          g_message, g_h, add, gradient);
}

} // namespace

template <typename S>
void node_to_edge_wigner_permute_forward(cudaStream_t stream, int rows, const edge_list &edges,
                                         edge_span span, const float *h, const S *radial,
                                         S *message) {
    if (edges.nodes == 0) return;
    auto kernel = rows == 9 ? forward<S, 9> : forward<S, 7>;
    unsigned splits = edges.nodes < FEW_NODES ? MOST_SPLITS : 1;
    kernel<<<dim3((unsigned)edges.nodes, splits), FORWARD_LANES * ROW_THREADS, 0, stream>>>(
        edges, span, h, radial, message);
}

template <typename S>
void node_to_edge_wigner_permute_backward(cudaStream_t stream, int rows, const edge_list &edges,
                                          edge_span span, const float *h, const S *radial,
                                          const S *radial_slope, const S *g_message, float *g_h,
                                          bool add, edge_gradient gradient) {
    if (edges.nodes == 0) return;
    auto launch = rows == 9 ? launch_backward<S, 9> : launch_backward<S, 7>;
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
