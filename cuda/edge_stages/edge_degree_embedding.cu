/* The edge-degree embedding, docs/model.md (14), and its gradient, (32), (36).
 *
 *     x_t += 1/5 sum_{s -> t} f(d) D^T [rad_deg]_{m = 0}
 *
 * In: the edge list and a table of the radial functions, [pair][knot][3][3 C], as cubic Hermite
 * pieces in fp32.
 * Out: x [owned][9][C], added; backward: of each edge its torque and its derivative by the
 * distance, 1/A.
 *
 * A block has one node: 4 groups of 64 threads, two channels a thread; each group takes every
 * fourth edge into the node.  Forward, a group sums in registers, and the groups' sums are added in
 * shared memory in a fixed order.  Backward, the node's gradient stays in registers, and each warp
 * adds what its 64 channels give to a slot of its own in the edge's gradient, so there are no
 * atomics. */
#include "edge_stages/edge_stages.cuh"
#include "edge_stages/rotation.cuh"
#include "weights/radial_table.cuh"

namespace {

constexpr int GROUPS = 4;
constexpr float SCALE = 1.0f / 5.0f; /* fairchem's rescale factor of the sum over neighbours */
constexpr int WIDTH = 3 * CHANNELS;

__global__ void __launch_bounds__(GROUPS *ROW_THREADS)
    forward(edge_list edges, radial_table table, float *x) {
    __shared__ float2 shared[(GROUPS - 1) * 9 * ROW_THREADS];
    int node = blockIdx.x;
    row_thread t;
    float2 sum[9];
#pragma unroll
    for (int k = 0; k < 9; k++) sum[k] = make_float2(0, 0);
    const int2 in = make_int2(edges.first[node], edges.first[node + 1]);
    for (int e = in.x + t.group; e < in.y; e += GROUPS) {
        edge_record r(edges.record + (size_t)e * EDGE_RECORD);
        radial_piece piece(table, edges.table_index[e], WIDTH);
        float factor = SCALE * r.envelope();
        float2 y[9];
#pragma unroll
        for (int k = 0; k < 9; k++) y[k] = make_float2(0, 0);
#pragma unroll
        for (int k = 0; k < 3; k++) {
            float2 v = piece.value(k * CHANNELS + t.channel);
            y[l_major_of_row(k)] = make_float2(v.x * factor, v.y * factor);
        }
        rotate_back_add(r, y, sum);
    }
    sum_groups<GROUPS>(shared, sum);
    if (t.group > 0) return;
    float *to = x + (size_t)node * NODE_WIDTH + t.channel;
#pragma unroll
    for (int k = 0; k < 9; k++) {
        float2 before = load_pair(to + k * CHANNELS);
        store_pair(to + k * CHANNELS, make_float2(before.x + sum[k].x, before.y + sum[k].y));
    }
}

__global__ void __launch_bounds__(GROUPS *ROW_THREADS)
    backward(edge_list edges, radial_table table, const float *__restrict__ g_x,
             edge_gradient gradient) {
    int node = blockIdx.x;
    row_thread t;
    float2 g[9];
    load_node(g_x, node, t.channel, g);
    const int2 in = make_int2(edges.first[node], edges.first[node + 1]);
    for (int e = in.x + t.group; e < in.y; e += GROUPS) {
        edge_record r(edges.record + (size_t)e * EDGE_RECORD);
        radial_piece piece(table, edges.table_index[e], WIDTH);
        float4 *to = gradient.target + 2 * (size_t)e + t.channel / WARP_CHANNELS;
        const float4 before = *to; /* read early, it is needed late */
        float2 q[9], y[9];
        rotate(r, g, q);
        float by_factor = 0, by_distance = 0;
#pragma unroll
        for (int k = 0; k < 9; k++) y[k] = make_float2(0, 0);
#pragma unroll
        for (int k = 0; k < 3; k++) {
            float2 v = piece.value(k * CHANNELS + t.channel);
            y[l_major_of_row(k)] = v;
            by_factor += dot(q[l_major_of_row(k)], v);
            by_distance += dot(q[l_major_of_row(k)], piece.slope(k * CHANNELS + t.channel));
        }
        const float2 turn = torque(y, q);
        const float factor = SCALE * r.envelope();
        add_to_gradient(to, before,
                        make_float3(factor * turn.x, factor * turn.y,
                                    SCALE * r.envelope_slope() * by_factor + factor * by_distance));
    }
}

} // namespace

void edge_degree_embedding_forward(cudaStream_t stream, const edge_list &edges, radial_table table,
                                   float *x) {
    if (edges.owned == 0) return;
    forward<<<(unsigned)edges.owned, GROUPS * ROW_THREADS, 0, stream>>>(edges, table, x);
}

void edge_degree_embedding_backward(cudaStream_t stream, const edge_list &edges, radial_table table,
                                    const float *g_x, edge_gradient gradient) {
    if (edges.owned == 0) return;
    backward<<<(unsigned)edges.owned, GROUPS * ROW_THREADS, 0, stream>>>(edges, table, g_x,
                                                                         gradient);
}
