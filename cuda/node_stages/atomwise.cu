/* The atom-wise part, docs/model.md (22), (23), with its norm, (15), and residual; and the gradient
 * of all of it, (30), (31).
 *
 * In: x_mid [count][9][C] fp32.
 * Out: x_next [count][9][C], and what the norm leaves for the backward pass (rms_norm_sh.cu).
 * Backward: g_x, by x_next on entry, by x_mid on return.  Products are on tensor cores with the
 * accuracy of fp32 (tf32_product.cuh).
 *
 * A block has eight nodes.  Warp n first normalises node n, or backward reads what the norm left of
 * it; then each of eight warps has 16 of the 128 outputs of every product.  Rows come in two
 * shares: those of degrees 0 and 1, and those of degree 2 with their gate.  Forward, a block has
 * one share (8 warps).  Backward, it has both (16 warps), because the norm's gradient sums over all
 * rows.
 *
 * Shared memory holds the rows that a product reads, a tile of 8 KB for each row of the eight
 * nodes: up to 6 forward, 11 backward (nine rows and the gradients of the gates).  Everything else
 * stays in registers; the weights stream from the L2 cache.  One fused kernel, because these
 * products are small: on their own, their launches and intermediate arrays would take longer than
 * they do. */
#include "device.cuh"
#include "node_stages/node_stages.cuh"
#include "node_stages/rms_norm.cuh"
#include "node_stages/tf32_product.cuh"

constexpr int SHARE_THREADS = PRODUCT_WARPS * 32;

/* The rows of degrees 0 and 1 (L = 1) or 2 (L = 2). */
template <int L> struct share {
    static constexpr int FIRST = L == 1 ? 0 : 4, ROWS = L == 1 ? 4 : 5;
    static __device__ constexpr bool scalar(int row) { return L == 1 && row == 0; }
    /* of the matrices of degrees 0, 1, 2 the first one that these rows meet */
    static __device__ const float4 *first(const float4 *matrices) {
        return L == 1 ? matrices : matrices + 2 * MATRIX;
    }
};

struct atomwise_thread {
    int warp, lane; /* warp: of its share */
    fragment f;
    __device__ atomwise_thread()
        : warp(threadIdx.x / 32 % PRODUCT_WARPS), lane(threadIdx.x % 32), f(warp, lane) {}
};

/* The node of a tile's column; columns behind the last node repeat it. */
static __device__ __forceinline__ size_t node_of(int first, int column, int count) {
    return (size_t)min(first + column, count - 1);
}

static __device__ __forceinline__ void set_row(float4 *tile, int node, int lane,
                                               const float (&v)[NORM_WIDTH]) {
    set_pair(tile, node, 2 * lane, v[0], v[1]);
    set_pair(tile, node, CHANNELS / 2 + 2 * lane, v[2], v[3]);
}

/* A row of a node before the norm's weights and bias -> the share's tile. */
static __device__ __forceinline__ void set_weighted_row(const atomwise_weights &w, float4 *tile,
                                                        const atomwise_thread &t, int k,
                                                        float (&v)[NORM_WIDTH]) {
    normalise_row(w.norm_w + degree(k) * CHANNELS, k == 0 ? w.norm_b : nullptr, 1, t.lane, v);
    set_row(tile, t.warp, t.lane, v);
}

/* Warp n normalises node n, keeps its share's rows and leaves them with weights in `rows`; L =
 * 2: row 0 in `row_0` too. */
template <int L, typename N>
static __device__ __forceinline__ void norm_share(const atomwise_weights &w, const float *x_mid,
                                                  size_t node, const atomwise_thread &t,
                                                  float4 *rows, float4 *row_0,
                                                  const kept_norm<N> &kept) {
    float v[9][NORM_WIDTH];
    const float inverse = load_normalised(x_mid + node * NODE_WIDTH, t.lane, v);
    if (L == 1 && t.lane == 0) kept.inverse[node] = inverse;
#pragma unroll
    for (int j = 0; j < share<L>::ROWS; j++) {
        const int k = share<L>::FIRST + j;
        store_pairs(kept.rows + node * NODE_WIDTH + k * CHANNELS, t.lane, v[k]);
        set_weighted_row(w, rows + j * TILE, t, k, v[k]);
    }
    if (L == 2) set_weighted_row(w, row_0, t, 0, v[0]);
}

/* The share's rows from what was kept; warp n: node n. */
template <int L, typename N>
static __device__ __forceinline__ void load_share(const atomwise_weights &w, const N *kept,
                                                  const atomwise_thread &t, float4 *rows) {
#pragma unroll
    for (int j = 0; j < share<L>::ROWS; j++) {
        const int k = share<L>::FIRST + j;
        float v[NORM_WIDTH];
        load_pairs(kept + k * CHANNELS, t.lane, v);
        set_weighted_row(w, rows + j * TILE, t, k, v);
    }
}

/* sum += one linear map a degree; `matrices`: the share's first. */
template <int L>
static __device__ __forceinline__ void linear(weight_reader<MANY_AHEAD> &weights,
                                              const float4 *matrices, const float4 *rows,
                                              float (*sum)[4], const float4 *next) {
    if (L == 1) {
        weights.multiply<1>(rows, sum, matrices + MATRIX);
        weights.multiply<3>(rows + TILE, sum + 1, next);
    } else {
        weights.multiply<5>(rows, sum, next);
    }
}

/* The scalars that open rows of degree L, and the first map: [1], [ROWS] */
template <int L>
static __device__ __forceinline__ void first_products(weight_reader<MANY_AHEAD> &weights,
                                                      const atomwise_weights &w,
                                                      const float4 *row_0, const float4 *rows,
                                                      float (*scalar)[4], float (*pre)[4],
                                                      const float4 *next) {
    const float4 *matrices = share<L>::first(w.linear_1);
    weights.multiply<1>(row_0, scalar, matrices);
    linear<L>(weights, matrices, rows, pre, next);
}

/* pre -> after the gate */
template <int L>
static __device__ __forceinline__ void gate(const atomwise_weights &w, fragment f,
                                            const float (&scalar)[4], float (*pre)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int c = f.channel(i);
        const float gate = sigmoid(silu(scalar[i] + w.scalar_b[(L - 1) * CHANNELS + c]));
#pragma unroll
        for (int j = 0; j < share<L>::ROWS; j++)
            pre[j][i] = share<L>::scalar(j) ? silu(pre[j][i] + w.linear_1_b[c]) : pre[j][i] * gate;
    }
}

/* g: by what comes after the gate -> by pre; g_scalar by the scalars before their silu */
template <int L>
static __device__ __forceinline__ void gate_backward(const atomwise_weights &w, fragment f,
                                                     const float (&scalar)[4],
                                                     const float (*pre)[4], float (*g)[4],
                                                     float (&g_scalar)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int c = f.channel(i);
        float in = scalar[i] + w.scalar_b[(L - 1) * CHANNELS + c];
        const float gate = sigmoid(silu(in));
        float g_gate = 0;
#pragma unroll
        for (int j = 0; j < share<L>::ROWS; j++) {
            if (share<L>::scalar(j)) {
                g[j][i] *= silu_slope(pre[j][i] + w.linear_1_b[c]);
            } else {
                g_gate += g[j][i] * pre[j][i];
                g[j][i] *= gate;
            }
        }
        g_scalar[i] = g_gate * gate * (1.0f - gate) * silu_slope(in);
    }
}

/* ---- forward: a block a share ------------------------------------------------------------- */

template <int L, typename N>
static __device__ __forceinline__ void forward_share(int count, const atomwise_weights &w,
                                                     const float *x_mid, float *x_next,
                                                     const kept_norm<N> &kept, float4 *row_0) {
    constexpr int ROWS = share<L>::ROWS;
    const atomwise_thread t;
    const int first = blockIdx.x / 2 * TILE_NODES;
    float4 *rows = L == 1 ? row_0 : row_0 + TILE;
    weight_reader<MANY_AHEAD> weights(w.scalar + (L - 1) * MATRIX, t.warp, t.lane);
    norm_share<L>(w, x_mid, node_of(first, t.warp, count), t, rows, row_0, kept);
    __syncthreads();

    const float4 *last = share<L>::first(w.linear_2);
    float scalar[1][4] = {}, pre[ROWS][4] = {}, sum[ROWS][4] = {};
    first_products<L>(weights, w, row_0, rows, scalar, pre, last);
    gate<L>(w, t.f, scalar[0], pre);
    __syncthreads();
#pragma unroll
    for (int j = 0; j < ROWS; j++) set_fragment(rows + j * TILE, t.f, pre[j]);
    __syncthreads();
    linear<L>(weights, last, rows, sum, last);

#pragma unroll
    for (int i = 0; i < 4; i++) {
        int node = first + t.f.node(i), c = t.f.channel(i);
        if (node >= count) continue;
        size_t at = (size_t)node * NODE_WIDTH + share<L>::FIRST * CHANNELS + c;
#pragma unroll
        for (int j = 0; j < ROWS; j++) {
            float bias = share<L>::scalar(j) ? w.linear_2_b[c] : 0.0f;
            x_next[at + j * CHANNELS] = x_mid[at + j * CHANNELS] + (sum[j][i] + bias);
        }
    }
}

constexpr int FORWARD_TILES = 6;

template <typename N>
static __global__ void __launch_bounds__(SHARE_THREADS, 2)
    forward_kernel(int count, atomwise_weights w, const float *__restrict__ x_mid,
                   float *__restrict__ x_next, kept_norm<N> kept) {
    extern __shared__ float4 tiles[];
    if (blockIdx.x % 2 == 0)
        forward_share<2>(count, w, x_mid, x_next, kept, tiles);
    else
        forward_share<1>(count, w, x_mid, x_next, kept, tiles);
}

/* ---- backward: a block both shares, because the norm's gradient meets all rows ------------- */

/* Tiles: the nine rows, then the gradients by the scalars of degrees 1 and 2. */
constexpr int BACKWARD_TILES = 11;
constexpr int BACKWARD_THREADS = 2 * SHARE_THREADS;

/* What a thread keeps between barriers. */
struct backward_thread : atomwise_thread {
    float scalar[1][4], pre[5][4], g[5][4];
    weight_reader<MANY_AHEAD> weights;
    __device__ explicit backward_thread(const float4 *matrix)
        : scalar{}, pre{}, g{}, weights(matrix, warp, lane) {}
};

/* g_x of the share's rows into the tiles; warp n: node n */
template <int L>
static __device__ __forceinline__ void load_gradient(const backward_thread &t, const float *g_x,
                                                     float4 *tiles) {
#pragma unroll
    for (int k = share<L>::FIRST; k < share<L>::FIRST + share<L>::ROWS; k++) {
        float v[NORM_WIDTH];
        load_pairs(g_x + k * CHANNELS, t.lane, v);
        set_row(tiles + k * TILE, t.warp, t.lane, v);
    }
}

template <int L>
static __device__ __forceinline__ void through_gate(const atomwise_weights &w, backward_thread &t,
                                                    const float4 *tiles) {
    const float4 *next = L == 1 ? w.scalar_t : share<L>::first(w.linear_1_t);
    first_products<L>(t.weights, w, tiles, tiles + share<L>::FIRST * TILE, t.scalar, t.pre, next);
    float g_scalar[4];
    gate_backward<L>(w, t.f, t.scalar[0], t.pre, t.g, g_scalar);
#pragma unroll
    for (int i = 0; i < 4; i++) t.scalar[0][i] = g_scalar[i];
}

template <int L>
static __device__ __forceinline__ void store_gate_gradient(const backward_thread &t,
                                                           float4 *tiles) {
    set_fragment(tiles + (8 + L) * TILE, t.f, t.scalar[0]);
#pragma unroll
    for (int j = 0; j < share<L>::ROWS; j++)
        set_fragment(tiles + (share<L>::FIRST + j) * TILE, t.f, t.g[j]);
}

/* t.g: by the normalised rows */
template <int L>
static __device__ __forceinline__ void to_norm(const atomwise_weights &w, backward_thread &t,
                                               const float4 *tiles) {
#pragma unroll
    for (int j = 0; j < share<L>::ROWS; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) t.g[j][i] = 0;
    const float4 *matrices = share<L>::first(w.linear_1_t);
    if (L == 1) {
        t.weights.multiply<1>(tiles + 9 * TILE, t.g, w.scalar_t + MATRIX);
        t.weights.multiply<1>(tiles + 10 * TILE, t.g, matrices);
    }
    linear<L>(t.weights, matrices, tiles + share<L>::FIRST * TILE, t.g, matrices);
}

/* t.pre: the kept rows; t.g times the norm's weights; the sums of a thread's two nodes of g . rows,
 * and of g over the scalars */
template <int L, typename N>
static __device__ __forceinline__ void norm_sums(const atomwise_weights &w, backward_thread &t,
                                                 int first, int count, const N *kept,
                                                 float2 (&sum)[2]) {
    sum[0] = sum[1] = make_float2(0, 0);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const N *x = kept + node_of(first, t.f.node(i), count) * NODE_WIDTH + t.f.channel(i);
#pragma unroll
        for (int j = 0; j < share<L>::ROWS; j++) {
            const int k = share<L>::FIRST + j;
            t.pre[j][i] = (float)x[k * CHANNELS];
            t.g[j][i] *= w.norm_w[degree(k) * CHANNELS + t.f.channel(i)];
            sum[i % 2].x += t.g[j][i] * t.pre[j][i];
            if (k == 0) sum[i % 2].y += t.g[j][i];
        }
    }
}

template <int L>
static __device__ __forceinline__ void add_gradient(const backward_thread &t, int first, int count,
                                                    const float *inverse_of, const float2 (&sum)[2],
                                                    float *g_x) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (first + t.f.node(i) >= count) continue;
        const size_t node = node_of(first, t.f.node(i), count);
        float *to = g_x + node * NODE_WIDTH + t.f.channel(i);
        const float inverse = inverse_of[node], along = sum[i % 2].x / CHANNELS;
#pragma unroll
        for (int j = 0; j < share<L>::ROWS; j++) {
            const int k = share<L>::FIRST + j;
            float centred = k == 0 ? t.g[j][i] - sum[i % 2].y / CHANNELS : t.g[j][i];
            to[k * CHANNELS] += inverse * (centred - balance(k) * along * t.pre[j][i]);
        }
    }
}

template <typename N>
static __global__ void __launch_bounds__(BACKWARD_THREADS)
    backward_kernel(int count, atomwise_weights w, kept_norm<N> kept, float *g_x) {
    extern __shared__ float4 tiles[];
    __shared__ float2 part[2 * PRODUCT_WARPS * TILE_NODES];
    const bool two = threadIdx.x < SHARE_THREADS; /* a warp's share is that of degree 2 */
    const int first = blockIdx.x * TILE_NODES;
    const float4 *second = two ? share<2>::first(w.linear_2_t) : w.linear_2_t;
    const float4 *scalar = two ? w.scalar + MATRIX : w.scalar;
    backward_thread t(second);
    const size_t own = node_of(first, t.warp, count) * NODE_WIDTH;

    if (two)
        load_gradient<2>(t, g_x + own, tiles);
    else
        load_gradient<1>(t, g_x + own, tiles);
    __syncthreads();
    if (two)
        linear<2>(t.weights, second, tiles + share<2>::FIRST * TILE, t.g, scalar);
    else
        linear<1>(t.weights, second, tiles, t.g, scalar);
    __syncthreads();
    if (two)
        load_share<2>(w, kept.rows + own, t, tiles + share<2>::FIRST * TILE);
    else
        load_share<1>(w, kept.rows + own, t, tiles);
    __syncthreads();
    if (two)
        through_gate<2>(w, t, tiles);
    else
        through_gate<1>(w, t, tiles);
    __syncthreads();
    if (two)
        store_gate_gradient<2>(t, tiles);
    else
        store_gate_gradient<1>(t, tiles);
    __syncthreads();
    float2 sum[2];
    if (two) {
        to_norm<2>(w, t, tiles);
        norm_sums<2>(w, t, first, count, kept.rows, sum);
    } else {
        to_norm<1>(w, t, tiles);
        norm_sums<1>(w, t, first, count, kept.rows, sum);
    }
    sum_over_block<2 * PRODUCT_WARPS>(sum, part, threadIdx.x / 32, t.lane);
    if (two)
        add_gradient<2>(t, first, count, kept.inverse, sum, g_x);
    else
        add_gradient<1>(t, first, count, kept.inverse, sum, g_x);
}

template <typename N>
void atomwise_forward(cudaStream_t stream, int count, const atomwise_weights &w, const float *x_mid,
                      float *x_next, const kept_norm<N> &kept) {
    if (count == 0) return;
    const int bytes = FORWARD_TILES * TILE * sizeof(float4);
    cudaFuncSetAttribute(forward_kernel<N>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    forward_kernel<<<2 * ((count - 1) / TILE_NODES + 1), SHARE_THREADS, bytes, stream>>>(
        count, w, x_mid, x_next, kept);
}

template <typename N>
void atomwise_backward(cudaStream_t stream, int count, const atomwise_weights &w,
                       const kept_norm<N> &kept, float *g_x) {
    if (count == 0) return;
    const int bytes = BACKWARD_TILES * TILE * sizeof(float4);
    cudaFuncSetAttribute(backward_kernel<N>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    backward_kernel<<<(count - 1) / TILE_NODES + 1, BACKWARD_THREADS, bytes, stream>>>(count, w,
                                                                                       kept, g_x);
}

#define INSTANTIATE(N)                                                                            \
    template void atomwise_forward<N>(cudaStream_t, int, const atomwise_weights &, const float *, \
                                      float *, const kept_norm<N> &);                             \
    template void atomwise_backward<N>(cudaStream_t, int, const atomwise_weights &,               \
                                       const kept_norm<N> &, float *);
INSTANTIATE(__half)
INSTANTIATE(float)
