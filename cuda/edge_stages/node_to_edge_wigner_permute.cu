/* From nodes to edges, docs/model.md (16), and its gradient, (34), (36).
 *
 *     message_k = (D [h_s, h_t])_k rad_rho(k)
 *
 * In: h [nodes][9][C] fp32; radial functions of the chunk's edges, or tables of them.
 * Out: message [edges][rows][2 C] of type S, m-major, the source's half first.
 * Backward: g_h [nodes][9][C], and of each edge its torque and its derivative by the distance, 1/A.
 *
 * A block has one node at a time, whose nine rows (and backward their gradients) are in registers:
 * 4 groups of 64 threads, two channels a thread.  The groups take turns with the node's edges:
 * first those into it, whose message's second half it gives, then those out of it, whose first half
 * it gives.  With few nodes, four blocks share a node forward, and a block has up to 8 groups
 * backward, to fill the GPU.
 *
 * Shared memory holds, for each warp, two buffers with what it reads of an edge: radial functions
 * and record, backward also the gradient of the message and the edge's gradient so far.  cp.async
 * fills one while the warp works on the other (edge_walk.cuh).  Backward, the groups' sums are
 * added there at the end.  So every number of a message is moved once, every node is read once, and
 * no sum needs atomics. */
#include "edge_stages/edge_stages.cuh"
#include "edge_stages/rotation.cuh"

namespace {

/* Groups of ROW_THREADS threads that share a node's edges, and blocks that do, forward: few nodes
 * need many to fill the GPU. */
constexpr int FORWARD_GROUPS = 4, MOST_SPLITS = 4;
constexpr int BACKWARD_GROUPS = 4;
constexpr int FEW_NODES = 600;
/* What a block may have of shared memory on every GPU of these, less what is not asked for. */
constexpr size_t SHARED_MEMORY = 98 << 10;

/* How a warp's channels of an edge's radial functions come to shared memory, as so many arrays
 * [radials][WARP_CHANNELS], and what they are there at two channels. */
template <typename Radials> struct radial_reader;

template <typename S> struct radial_reader<stored_radials<S>> {
    using number = S;
    static constexpr int FORWARD = 1, BACKWARD = 2;
    stored_radials<S> from;

    __device__ __forceinline__ radial_reader(const stored_radials<S> &radials, const edge_list &,
                                             char *)
        : from(radials) {}
    __device__ __forceinline__ void prefetch_index(visited_edge, int) const {}
    /* row: of the chunk */
    template <int ROWS, int ARRAYS>
    __device__ __forceinline__ void fetch(S *to, int row, int channel, int) const {
        const size_t at = (size_t)row * radial_width(ROWS) + channel;
        copy_rows_ahead<radials_of(ROWS)>(to, from.radial + at, 2 * CHANNELS);
        if (ARRAYS == BACKWARD)
            copy_rows_ahead<radials_of(ROWS)>(to + radials_of(ROWS) * WARP_CHANNELS,
                                              from.radial_slope + at, 2 * CHANNELS);
    }
    /* what value and slope need to know of an edge */
    __device__ __forceinline__ float fraction(int) const { return 0; }
    template <int ROWS> __device__ __forceinline__ float2 value(const S *at, int i, float) const {
        return load_pair(at + i * WARP_CHANNELS);
    }
    template <int ROWS> __device__ __forceinline__ float2 slope(const S *at, int i, float) const {
        return load_pair(at + (radials_of(ROWS) + i) * WARP_CHANNELS);
    }
};

/* Where a warp keeps the table indices of its next edges. */
constexpr int INDICES_BYTES = 4 * (int)sizeof(radial_index);

template <> struct radial_reader<tabulated_radials> {
    using number = __half;
    static constexpr int FORWARD = PARABOLA_ROWS, BACKWARD = PARABOLA_ROWS;
    tabulated_radials from;
    const radial_index *index_of;
    radial_index *indices; /* [4] */

    __device__ __forceinline__ radial_reader(const tabulated_radials &radials,
                                             const edge_list &edges, char *of_warp)
        : from(radials), index_of(edges.table_index),
          indices(reinterpret_cast<radial_index *>(of_warp)) {}
    __device__ __forceinline__ void prefetch_index(visited_edge v, int slot) const {
        if (threadIdx.x % 32 == 0)
            copy_cached<sizeof(radial_index)>(indices + slot, index_of + v.edge);
    }
    template <int ROWS, int ARRAYS>
    __device__ __forceinline__ void fetch(__half *to, int, int channel, int slot) const {
        copy_rows_ahead<ARRAYS * radials_of(ROWS), true>(
            to,
            from.values + (size_t)indices[slot].knot * (PARABOLA_ROWS * radial_width(ROWS)) +
                channel,
            2 * CHANNELS);
    }
    __device__ __forceinline__ float fraction(int slot) const { return indices[slot].fraction; }
    template <int ROWS>
    __device__ __forceinline__ float2 value(const __half *at, int i, float fraction) const {
        float2 v = load_pair(at + i * WARP_CHANNELS);
        float2 s = load_pair(at + (radials_of(ROWS) + i) * WARP_CHANNELS);
        add_scaled(s, 0.5f * fraction - 0.5f,
                   load_pair(at + (2 * radials_of(ROWS) + i) * WARP_CHANNELS));
        add_scaled(v, fraction * from.step, s);
        return v;
    }
    template <int ROWS>
    __device__ __forceinline__ float2 slope(const __half *at, int i, float fraction) const {
        float2 v = load_pair(at + (radials_of(ROWS) + i) * WARP_CHANNELS);
        add_scaled(v, fraction - 0.5f, load_pair(at + (2 * radials_of(ROWS) + i) * WARP_CHANNELS));
        return v;
    }
};

/* What a warp reads of an edge, forward. */
template <typename Radials, int ROWS> struct alignas(16) forward_inputs {
    using reader = radial_reader<Radials>;
    typename reader::number radial[reader::FORWARD * radials_of(ROWS) * WARP_CHANNELS];
    float record[EDGE_RECORD];
};
/* ... backward; gradient: its sum of the edge's gradients so far */
template <typename Radials, int ROWS> struct alignas(16) backward_inputs {
    using reader = radial_reader<Radials>;
    typename reader::number g_message[ROWS * WARP_CHANNELS];
    typename reader::number radial[reader::BACKWARD * radials_of(ROWS) * WARP_CHANNELS];
    float record[EDGE_RECORD];
    float4 gradient;
};

/* Groups that share a node's edges backward where there are few nodes. */
template <typename Radials> constexpr int backward_groups_few() {
    constexpr size_t a_group = ring_memory<backward_inputs<Radials, 9>, 1>();
    return SHARED_MEMORY / a_group < 8 ? int(SHARED_MEMORY / a_group) : 8;
}

template <typename S, typename Radials, int ROWS>
__global__ void __launch_bounds__(FORWARD_GROUPS *ROW_THREADS, 4)
    forward(edge_list edges, edge_span span, const float *__restrict__ h, Radials radials,
            S *__restrict__ message) {
    extern __shared__ __align__(16) char shared[];
    using inputs = forward_inputs<Radials, ROWS>;
    using reader = radial_reader<Radials>;
    row_thread t;
    __shared__ __align__(16) char indices[FORWARD_GROUPS * 2][INDICES_BYTES];
    const reader radial(radials, edges, indices[threadIdx.x / 32]);
    const int visits = visit_count(edges);
    for (int i = blockIdx.x; i < visits; i += gridDim.x) {
        const node_visit visit = visit_of(edges, i);
        float2 x[9];
        load_node(h, visit.node, t.channel, x);
        walk_edges(
            edge_walk(edges, visit, FORWARD_GROUPS * blockIdx.y + t.group,
                      FORWARD_GROUPS * gridDim.y),
            ring_of_warp<inputs>(shared),
            [&](visited_edge v, int slot) { radial.prefetch_index(v, slot); },
            [&](visited_edge v, int slot, inputs &to) {
                radial.template fetch<ROWS, reader::FORWARD>(
                    to.radial, v.edge - span.begin, v.side * CHANNELS + t.warp_channel(), slot);
                copy_ahead<sizeof to.record>(to.record,
                                             edges.record + (size_t)v.edge * EDGE_RECORD);
            },
            [&](visited_edge v, int slot, const inputs &from) {
                float2 y[9];
                rotate(edge_record(from.record), x, y);
                const float fraction = radial.fraction(slot);
                S *to = message + (size_t)(v.edge - span.begin) * message_width(ROWS) +
                        v.side * CHANNELS + t.channel;
#pragma unroll
                for (int k = 0; k < ROWS; k++) {
                    float2 s = radial.template value<ROWS>(from.radial + t.channel_in_warp(),
                                                           radial_of_row(k), fraction);
                    float2 row = y[l_major_of_row(k)];
                    store_pair(to + k * 2 * CHANNELS, make_float2(row.x * s.x, row.y * s.y));
                }
            });
        __syncwarp(); /* before the next node's copies */
    }
}

/* The gradient of one half of one edge's message, radial functions * D x, at two channels: adds
 * to g_x; returns the torque and, in z, the gradient by the distance that the radial functions
 * depend on. channel: in the warp's */
template <typename Radials, int ROWS>
__device__ __forceinline__ float3 absorb(const backward_inputs<Radials, ROWS> &from, int channel,
                                         const radial_reader<Radials> &radial, float fraction,
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
        float2 s = radial.template value<ROWS>(from.radial + channel, radial_of_row(k), fraction);
        float2 v = y[l_major_of_row(k)], &sum = g_scale[radial_of_row(k)];
        sum.x = fmaf(g.x, v.x, sum.x);
        sum.y = fmaf(g.y, v.y, sum.y);
        g_y[l_major_of_row(k)] = make_float2(g.x * s.x, g.y * s.y);
    }
    float by_distance = 0;
#pragma unroll
    for (int i = 0; i < RADIALS; i++)
        by_distance +=
            dot(g_scale[i], radial.template slope<ROWS>(from.radial + channel, i, fraction));
    float2 turn = torque(g_y, y);
    rotate_back_add(r, g_y, g_x);
    return make_float3(turn.x, turn.y, by_distance);
}

template <typename S, typename Radials, int ROWS, int GROUPS>
__global__ void __launch_bounds__(GROUPS *ROW_THREADS, GROUPS == 4 ? 2 : 1)
    backward(edge_list edges, edge_span span, const float *__restrict__ h, Radials radials,
             const S *__restrict__ g_message, float *__restrict__ g_h, bool add,
             edge_gradient gradient) {
    extern __shared__ __align__(16) char shared[];
    using inputs = backward_inputs<Radials, ROWS>;
    using reader = radial_reader<Radials>;
    row_thread t;
    /* where this warp's gradients are summed */
    float4 *const to_target = gradient.target + t.channel / WARP_CHANNELS;
    const ptrdiff_t to_source = gradient.source - gradient.target;
    auto sum_of = [&](visited_edge v) {
        return to_target + ((v.side ? 0 : to_source) + 2 * (ptrdiff_t)v.edge);
    };
    __shared__ __align__(16) char indices[GROUPS * 2][INDICES_BYTES];
    const reader radial(radials, edges, indices[threadIdx.x / 32]);
    const int visits = visit_count(edges);
    for (int i = blockIdx.x; i < visits; i += gridDim.x) {
        const node_visit visit = visit_of(edges, i);
        float2 x[9], g_x[9];
        load_node(h, visit.node, t.channel, x);
#pragma unroll
        for (int k = 0; k < 9; k++) g_x[k] = make_float2(0, 0);
        walk_edges(
            edge_walk(edges, visit, t.group, GROUPS), ring_of_warp<inputs>(shared),
            [&](visited_edge v, int slot) { radial.prefetch_index(v, slot); },
            [&](visited_edge v, int slot, inputs &to) {
                const int row = v.edge - span.begin, channel = v.side * CHANNELS + t.warp_channel();
                radial.template fetch<ROWS, reader::BACKWARD>(to.radial, row, channel, slot);
                copy_rows_ahead<ROWS>(to.g_message,
                                      g_message + (size_t)row * message_width(ROWS) + channel,
                                      2 * CHANNELS);
                copy_ahead<sizeof to.record>(to.record, edges.record + (size_t)v.edge * EDGE_RECORD,
                                             sum_of(v));
            },
            [&](visited_edge v, int slot, const inputs &from) {
                const float3 g = absorb<Radials, ROWS>(from, t.channel_in_warp(), radial,
                                                       radial.fraction(slot), x, g_x);
                add_to_gradient(sum_of(v), from.gradient, g);
            });
        __syncthreads();
        sum_groups<GROUPS>(reinterpret_cast<float2 *>(shared), g_x);
        if (t.group == 0) {
            float *to = g_h + (size_t)visit.node * NODE_WIDTH + t.channel;
#pragma unroll
            for (int k = 0; k < 9; k++) {
                float2 before = add ? load_pair(to + k * CHANNELS) : make_float2(0, 0);
                store_pair(to + k * CHANNELS,
                           make_float2(before.x + g_x[k].x, before.y + g_x[k].y));
            }
        }
        __syncthreads(); /* before the next node's copies */
    }
}

template <typename S, typename Radials, int ROWS>
void launch_forward(cudaStream_t stream, const edge_list &edges, edge_span span, const float *h,
                    const Radials &radials, S *message) {
    const unsigned splits = edges.nodes < FEW_NODES ? MOST_SPLITS : 1;
    launch_with_memory(forward<S, Radials, ROWS>, dim3(visit_blocks(edges, span), splits),
                       FORWARD_GROUPS * ROW_THREADS,
                       ring_memory<forward_inputs<Radials, ROWS>, FORWARD_GROUPS>(), stream, edges,
                       span, h, radials, message);
}

template <typename S, typename Radials, int ROWS, int GROUPS>
void launch_backward(cudaStream_t stream, const edge_list &edges, edge_span span, const float *h,
                     const Radials &radials, const S *g_message, float *g_h, bool add,
                     edge_gradient gradient) {
    launch_with_memory(backward<S, Radials, ROWS, GROUPS>, dim3(visit_blocks(edges, span)),
                       GROUPS * ROW_THREADS,
                       walk_and_sum_memory<backward_inputs<Radials, ROWS>, GROUPS>(), stream, edges,
                       span, h, radials, g_message, g_h, add, gradient);
}

} // namespace

template <typename S, typename Radials>
void node_to_edge_wigner_permute_forward(cudaStream_t stream, int rows, const edge_list &edges,
                                         edge_span span, const float *h, const Radials &radials,
                                         S *message) {
    if (edges.nodes == 0) return;
    auto launch = rows == 9 ? launch_forward<S, Radials, 9> : launch_forward<S, Radials, 7>;
    launch(stream, edges, span, h, radials, message);
}

template <typename S, typename Radials>
void node_to_edge_wigner_permute_backward(cudaStream_t stream, int rows, const edge_list &edges,
                                          edge_span span, const float *h, const Radials &radials,
                                          const S *g_message, float *g_h, bool add,
                                          edge_gradient gradient) {
    if (edges.nodes == 0) return;
    constexpr int FEW = backward_groups_few<Radials>();
    auto launch = rows == 9 ? launch_backward<S, Radials, 9, BACKWARD_GROUPS>
                            : launch_backward<S, Radials, 7, BACKWARD_GROUPS>;
    if (edges.nodes < FEW_NODES)
        launch =
            rows == 9 ? launch_backward<S, Radials, 9, FEW> : launch_backward<S, Radials, 7, FEW>;
    launch(stream, edges, span, h, radials, g_message, g_h, add, gradient);
}

#define INSTANTIATE(S, Radials)                                                                \
    template void node_to_edge_wigner_permute_forward<S, Radials>(                             \
        cudaStream_t, int, const edge_list &, edge_span, const float *, const Radials &, S *); \
    template void node_to_edge_wigner_permute_backward<S, Radials>(                            \
        cudaStream_t, int, const edge_list &, edge_span, const float *, const Radials &,       \
        const S *, float *, bool, edge_gradient);
INSTANTIATE(__half, tabulated_radials)
INSTANTIATE(__half, stored_radials<__half>)
INSTANTIATE(float, stored_radials<float>)
