#include "edge_stages.cuh"
#include "rotation.cuh"

namespace {

/* Groups of ROW_THREADS threads that share a node's edges; backward, blocks that do: few nodes need
 * many to fill the GPU. */
constexpr int LANES = 4, LANES_FEW = 8, MOST_SPLITS = 4;
constexpr int FEW_NODES = 600;

/* A message's rows in l-major order, the bias added to the m = 0 rows; rows it lacks are 0. */
template <typename S, int ROWS>
__device__ __forceinline__ void load_message(const S *__restrict__ message,
                                             const float *__restrict__ bias, float2 (&y)[9]) {
#pragma unroll
    for (int k = 0; k < 9; k++) y[k] = make_float2(0, 0);
#pragma unroll
    for (int k = 0; k < ROWS; k++) {
        float2 v = load_pair(message + k * CHANNELS);
        if (k < 3) {
            float2 b = load_pair(bias + k * CHANNELS);
            v = make_float2(v.x + b.x, v.y + b.y);
        }
        y[l_major_of_row(k)] = v;
    }
}

template <typename S, int ROWS, int LANES>
__global__ void __launch_bounds__(LANES *ROW_THREADS)
    forward(edge_list edges, edge_span span, const float *__restrict__ bias,
            const S *__restrict__ message, const float *x_in, float *x_out) {
    __shared__ float2 shared[(LANES - 1) * 9 * ROW_THREADS];
    int node = blockIdx.x, end = min(span.begin + span.size, *edges.count);
    row_thread t;
    float2 sum[9], y[9];
    int2 in = edges_into(edges, node, span.begin, end);
    if (in.x >= in.y && x_in == x_out) return;
#pragma unroll
    for (int k = 0; k < 9; k++) sum[k] = make_float2(0, 0);
    for (int e = in.x + t.lane; e < in.y; e += LANES) {
        edge_record r(edges.record, e);
        load_message<S, ROWS>(message + (size_t)(e - span.begin) * conv_2_width(ROWS) + t.channel,
                              bias + t.channel, y);
        float factor = r.envelope();
#pragma unroll
        for (int k = 0; k < 9; k++) y[k] = make_float2(y[k].x * factor, y[k].y * factor);
        rotate_back_add(r, y, sum);
    }
    sum_lanes<LANES>(shared, sum);
    if (t.lane > 0) return;
    size_t at = (size_t)node * NODE_WIDTH + t.channel;
#pragma unroll
    for (int k = 0; k < 9; k++) {
        float2 before = load_pair(x_in + at + k * CHANNELS);
        store_pair(x_out + at + k * CHANNELS,
                   make_float2(before.x + sum[k].x, before.y + sum[k].y));
    }
}

template <typename S, int ROWS>
__global__ void __launch_bounds__(LANES *ROW_THREADS)
    backward(edge_list edges, edge_span span, const float *__restrict__ bias,
             const S *__restrict__ message, const float *__restrict__ g_x,
             S *__restrict__ g_message, edge_gradient gradient) {
    int node = blockIdx.x, end = min(span.begin + span.size, *edges.count);
    row_thread t;
    float2 g[9];
    int2 in = edges_into(edges, node, span.begin, end);
    if (in.x >= in.y) return;
    load_node(g_x, node, t.channel, g);
    int warp = (t.channel / 2) / 32;
    bool writes = (threadIdx.x & 31) == 0;
    int stride = LANES * gridDim.y;
    for (int e = in.x + LANES * blockIdx.y + t.lane; e < in.y; e += stride) {
        float4 &to = gradient.target[2 * (size_t)e + warp]; /* read early, it is needed late */
        float4 before = writes ? to : make_float4(0, 0, 0, 0);
        edge_record r(edges.record, e);
        float2 q[9], y[9];
        size_t at = (size_t)(e - span.begin) * conv_2_width(ROWS) + t.channel;
        rotate(r, g, q);
        load_message<S, ROWS>(message + at, bias + t.channel, y);
        float factor = r.envelope(), by_factor = 0;
#pragma unroll
        for (int k = 0; k < ROWS; k++) {
            float2 v = q[l_major_of_row(k)];
            by_factor += dot(v, y[l_major_of_row(k)]);
            store_pair(g_message + at + k * CHANNELS, make_float2(factor * v.x, factor * v.y));
        }
        float2 turn = torque(y, q);
        by_factor = warp_sum(by_factor);
        turn = make_float2(warp_sum(turn.x), warp_sum(turn.y));
        if (writes) {
            to = make_float4(before.x + factor * turn.x, before.y + factor * turn.y,
                             before.z + r.envelope_slope() * by_factor, 0);
        }
    }
}

template <typename S, int ROWS>
void launch_forward(cudaStream_t stream, const edge_list &edges, edge_span span, const float *bias,
                    const S *message, const float *x_in, float *x_out) {
    bool few = edges.owned < FEW_NODES;
    auto kernel = few ? forward<S, ROWS, LANES_FEW> : forward<S, ROWS, LANES>;
    int threads = (few ? LANES_FEW : LANES) * ROW_THREADS;
    kernel<<<(unsigned)edges.owned, threads, 0, stream>>>(edges, span, bias, message, x_in, x_out);
}

} // namespace

template <typename S>
void permute_wigner_inv_edge_to_node_forward(cudaStream_t stream, int rows, const edge_list &edges,
                                             edge_span span, const float *bias, const S *message,
                                             const float *x_in, float *x_out) {
    if (edges.owned == 0) return;
    auto launch = rows == 9 ? launch_forward<S, 9> : launch_forward<S, 7>;
    launch(stream, edges, span, bias, message, x_in, x_out);
}

template <typename S>
void permute_wigner_inv_edge_to_node_backward(cudaStream_t stream, int rows, const edge_list &edges,
                                              edge_span span, const float *bias, const S *message,
                                              const float *g_x, S *g_message,
                                              edge_gradient gradient) {
    if (edges.owned == 0) return;
    auto kernel = rows == 9 ? backward<S, 9> : backward<S, 7>;
    unsigned splits = edges.owned < FEW_NODES ? MOST_SPLITS : 1;
    kernel<<<dim3((unsigned)edges.owned, splits), LANES * ROW_THREADS, 0, stream>>>(
        edges, span, bias, message, g_x, g_message, gradient);
}

#define INSTANTIATE(S)                                                                             \
    template void permute_wigner_inv_edge_to_node_forward<S>(cudaStream_t, int, const edge_list &, \
                                                             edge_span, const float *, const S *,  \
                                                             const float *, float *);              \
    template void permute_wigner_inv_edge_to_node_backward<S>(                                     \
        cudaStream_t, int, const edge_list &, edge_span, const float *, const S *, const float *,  \
        S *, edge_gradient);
INSTANTIATE(__half)
INSTANTIATE(float)
