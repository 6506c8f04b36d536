/* What is done with an edge's Wigner matrix, for two channels a thread: rotate and rotate back,
 * docs/model.md (16), (21), the torque, (35), and the order of rows, (7).  Counterpart:
 * core/edge_stages/rotation.h, core/row_order.h.
 *
 * Below that, what all node-centric kernels share.  A block has one node at a time and GROUPS
 * groups of 64 threads; a group has an edge at a time, a thread two channels of all nine rows.
 * At the end the groups' sums are added in shared memory, [GROUPS - 1][9][64] float2, in the
 * order of the groups. */
#ifndef UMAS_ROTATION_CUH
#define UMAS_ROTATION_CUH

#include "edge_stages/edge_walk.cuh"

/* l-major index and radial function of every m-major row (core/row_order.h). */
__host__ __device__ constexpr int l_major_of_row(int row) {
    constexpr int table[9] = {0, 2, 6, 3, 7, 1, 5, 8, 4};
    return table[row];
}
__host__ __device__ constexpr int radial_of_row(int row) {
    constexpr int table[9] = {0, 1, 2, 3, 4, 3, 4, 5, 5};
    return table[row];
}
__host__ __device__ constexpr int degree_of_row(int row) {
    constexpr int table[9] = {0, 1, 2, 1, 2, 1, 2, 2, 2};
    return table[row];
}

/* An edge's record in registers. */
struct edge_record {
    float d[EDGE_RECORD];
    /* from: this edge's, 16-byte aligned */
    __device__ __forceinline__ explicit edge_record(const float *from) {
#pragma unroll
        for (int i = 0; i < EDGE_RECORD / 4; i++) {
            float4 v = reinterpret_cast<const float4 *>(from)[i];
            d[4 * i] = v.x;
            d[4 * i + 1] = v.y;
            d[4 * i + 2] = v.z;
            d[4 * i + 3] = v.w;
        }
    }
    __device__ __forceinline__ float envelope() const { return d[RECORD_ENVELOPE]; }
    __device__ __forceinline__ float envelope_slope() const { return d[RECORD_ENVELOPE + 1]; }
};

__device__ __forceinline__ void add_scaled(float2 &sum, float factor, float2 v) {
    sum.x = fmaf(factor, v.x, sum.x);
    sum.y = fmaf(factor, v.y, sum.y);
}
__device__ __forceinline__ float dot(float2 a, float2 b) { return fmaf(a.x, b.x, a.y * b.y); }

/* y = D x, node frame to edge frame, l-major */
__device__ __forceinline__ void rotate(const edge_record &r, const float2 (&x)[9], float2 (&y)[9]) {
    y[0] = x[0];
#pragma unroll
    for (int i = 0; i < 3; i++) {
        y[1 + i] = make_float2(0, 0);
#pragma unroll
        for (int j = 0; j < 3; j++) add_scaled(y[1 + i], r.d[3 * i + j], x[1 + j]);
    }
#pragma unroll
    for (int i = 0; i < 5; i++) {
        y[4 + i] = make_float2(0, 0);
#pragma unroll
        for (int j = 0; j < 5; j++) add_scaled(y[4 + i], r.d[9 + 5 * i + j], x[4 + j]);
    }
}

/* x += D^T y, edge frame to node frame, l-major */
__device__ __forceinline__ void rotate_back_add(const edge_record &r, const float2 (&y)[9],
                                                float2 (&x)[9]) {
    x[0].x += y[0].x;
    x[0].y += y[0].y;
#pragma unroll
    for (int j = 0; j < 3; j++)
#pragma unroll
        for (int i = 0; i < 3; i++) add_scaled(x[1 + j], r.d[3 * i + j], y[1 + i]);
#pragma unroll
    for (int j = 0; j < 5; j++)
#pragma unroll
        for (int i = 0; i < 5; i++) add_scaled(x[4 + j], r.d[9 + 5 * i + j], y[4 + i]);
}

/* g . J_x y and g . J_z y, summed over this thread's channels */
__device__ __forceinline__ float2 torque(const float2 (&g)[9], const float2 (&y)[9]) {
    const float root_3 = 1.7320508075688772935f;
    float2 turn;
    turn.x = dot(g[3], y[2]) - dot(g[2], y[3]) + dot(g[4], y[5]) - dot(g[5], y[4]) +
             root_3 * (dot(g[7], y[6]) - dot(g[6], y[7])) + dot(g[8], y[7]) - dot(g[7], y[8]);
    turn.y = dot(g[2], y[1]) - dot(g[1], y[2]) + dot(g[7], y[4]) - dot(g[4], y[7]) +
             root_3 * (dot(g[6], y[5]) - dot(g[5], y[6])) + dot(g[8], y[5]) - dot(g[5], y[8]);
    return turn;
}

/* A warp's sum of its lanes' g is added to what was in an edge's gradient before. */
__device__ __forceinline__ void add_to_gradient(float4 *gradient, const float4 &before, float3 g) {
    const float sum = warp_sums(g);
    const int component = (int)threadIdx.x % 32 / 8;
    if (threadIdx.x % 8 == 0 && component < 3)
        reinterpret_cast<float *>(gradient)[component] =
            reinterpret_cast<const float *>(&before)[component] + sum;
}

/* A block of GROUPS * ROW_THREADS threads: this thread's first channel, and its group of
 * ROW_THREADS. */
struct row_thread {
    int channel, group;
    __device__ __forceinline__ row_thread()
        : channel(2 * (threadIdx.x & (ROW_THREADS - 1))), group(threadIdx.x / ROW_THREADS) {}
    /* the warp's first channel, and how far from it this thread's is */
    __device__ __forceinline__ int warp_channel() const { return channel & -WARP_CHANNELS; }
    __device__ __forceinline__ int channel_in_warp() const { return channel % WARP_CHANNELS; }
};

__device__ __forceinline__ void load_node(const float *__restrict__ x, int node, int channel,
                                          float2 (&v)[9]) {
    const float *from = x + (size_t)node * NODE_WIDTH + channel;
#pragma unroll
    for (int k = 0; k < 9; k++) v[k] = load_pair(from + k * CHANNELS);
}

/* Sum nine rows over a block's groups, in their order; the result is right in group 0.
 * shared: (GROUPS - 1) * 9 * ROW_THREADS float2. */
template <int GROUPS> __device__ __forceinline__ void sum_groups(float2 *shared, float2 (&v)[9]) {
    int thread = threadIdx.x & (ROW_THREADS - 1), group = threadIdx.x / ROW_THREADS;
    if (group > 0)
#pragma unroll
        for (int k = 0; k < 9; k++) shared[((group - 1) * 9 + k) * ROW_THREADS + thread] = v[k];
    __syncthreads();
    if (group == 0)
        for (int l = 0; l < GROUPS - 1; l++)
#pragma unroll
            for (int k = 0; k < 9; k++) {
                float2 more = shared[(l * 9 + k) * ROW_THREADS + thread];
                v[k].x += more.x;
                v[k].y += more.y;
            }
}

/* Shared memory of a block that walks over edges and then sums rows over its groups. */
template <typename Inputs, int GROUPS> constexpr size_t walk_and_sum_memory() {
    constexpr size_t ring = ring_memory<Inputs, GROUPS>();
    constexpr size_t sums = (GROUPS - 1) * 9 * ROW_THREADS * sizeof(float2);
    return ring > sums ? ring : sums;
}

/* The nodes that a block of a node-centric kernel may be given, one after the other. */
__device__ __forceinline__ int visit_count(const edge_list &edges) {
    return edges.extent ? edges.extent->visits : edges.nodes;
}
__device__ __forceinline__ node_visit visit_of(const edge_list &edges, int i) {
    if (edges.extent) return edges.visit[i];
    return {i, edges.first[i], edges.first[i + 1], edges.out_first[i], edges.out_first[i + 1]};
}
/* The same for kernels that only need the edges into a node. */
__device__ __forceinline__ int target_count(const edge_list &edges) {
    return edges.extent ? edges.extent->end_target - edges.extent->first_target : edges.owned;
}
__device__ __forceinline__ node_visit target_of(const edge_list &edges, edge_span span, int i) {
    if (!edges.extent) return {i, edges.first[i], edges.first[i + 1], 0, 0};
    const int node = edges.extent->first_target + i;
    return {node, max(edges.first[node], span.begin),
            min(edges.first[node + 1], span.begin + span.size), 0, 0};
}
/* Blocks for them: enough for most chunks to give each one node at most. */
inline unsigned visit_blocks(const edge_list &edges, edge_span span) {
    return unsigned(edges.extent ? min(edges.nodes, max(1, span.size / 16)) : edges.nodes);
}
inline unsigned target_blocks(const edge_list &edges, edge_span span) {
    return unsigned(edges.extent ? min(edges.owned, max(1, span.size / 32)) : edges.owned);
}

#endif
