/* The RMS norm, docs/model.md (15), with the csd of line (16) as `shift`, and its gradient, (31).
 *
 * In: x [count][9][C] fp32, w [3][C], b [C].
 * Out: y [count][9][C] fp32; backward: g_x, added.
 *
 * What stays for the backward pass is not x but the rows before weights and bias, in the type of
 * the arrays over edges, and 1 / rms of every node: they are all that the gradient needs, and y can
 * be had again from them (norm_restore), so that neither x nor y has to be kept in fp32 for every
 * layer.
 *
 * A warp has a node, a lane four channels of all nine rows, in registers: a node is read once, and
 * sums over its channels need neither shared memory nor barriers. */
#include "device.cuh"
#include "node_stages/node_stages.cuh"
#include "node_stages/rms_norm.cuh"

/* A warp a node, four channels of all nine rows a lane: a node is read once, and nothing waits at
 * a barrier. */
constexpr int WARP = 32;
constexpr int WIDTH = NORM_WIDTH;
static_assert(WIDTH == 4, "a lane's channels of a row are one 16-byte load");

static __device__ __forceinline__ void load_four(const float *p, float (&v)[WIDTH]) {
    float4 four = *reinterpret_cast<const float4 *>(p);
    v[0] = four.x;
    v[1] = four.y;
    v[2] = four.z;
    v[3] = four.w;
}

static __device__ __forceinline__ void store_four(float *p, const float (&v)[WIDTH]) {
    *reinterpret_cast<float4 *>(p) = make_float4(v[0], v[1], v[2], v[3]);
}

static __device__ __forceinline__ void load_four(const __half *p, float (&v)[WIDTH]) {
    const float2 low = load_pair(p), high = load_pair(p + 2);
    v[0] = low.x;
    v[1] = low.y;
    v[2] = high.x;
    v[3] = high.y;
}

static __device__ __forceinline__ void store_four(__half *p, const float (&v)[WIDTH]) {
    store_pair(p, make_float2(v[0], v[1]));
    store_pair(p + 2, make_float2(v[2], v[3]));
}

template <int ROWS, typename N>
static __device__ __forceinline__ void load_rows(const N *p, float (&v)[ROWS][WIDTH]) {
#pragma unroll
    for (int k = 0; k < ROWS; k++) load_four(p + k * CHANNELS, v[k]);
}

/* Weights and bias of a lane's channels. */
struct lane_weights {
    float scale[3][WIDTH], offset[WIDTH];
    __device__ __forceinline__ explicit lane_weights(const norm_weights &w) {
        const int channel = WIDTH * threadIdx.x;
        float more[WIDTH] = {0, 0, 0, 0};
        load_rows(w.w + channel, scale);
        load_four(w.b + channel, offset);
        if (w.shift) load_four(w.shift + channel, more);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) offset[i] += more[i];
    }
    /* v [9]: without mean, divided by the rms */
    __device__ __forceinline__ void store(const float (&v)[9][WIDTH], float *y) const {
#pragma unroll
        for (int k = 0; k < 9; k++) {
            float out[WIDTH];
#pragma unroll
            for (int i = 0; i < WIDTH; i++)
                out[i] = v[k][i] * scale[degree(k)][i] + (k == 0 ? offset[i] : 0.0f);
            store_four(y + k * CHANNELS, out);
        }
    }
};

/* Of a lane's channels of a node. */
static __device__ __forceinline__ size_t first_number(int node) {
    return (size_t)node * NODE_WIDTH + WIDTH * threadIdx.x;
}

template <typename N>
static __global__ void __launch_bounds__(WARP)
    norm_forward(norm_weights w, const float *__restrict__ x, float *__restrict__ y,
                 kept_norm<N> kept) {
    const size_t at = first_number(blockIdx.x);
    float v[9][WIDTH];
    load_rows(x + at, v);
    const lane_weights weights(w);
    const float inverse = centre(v).inverse;
#pragma unroll
    for (int k = 0; k < 9; k++) {
#pragma unroll
        for (int i = 0; i < WIDTH; i++) v[k][i] *= inverse;
        store_four(kept.rows + at + k * CHANNELS, v[k]);
    }
    if (threadIdx.x == 0) kept.inverse[blockIdx.x] = inverse;
    weights.store(v, y + at);
}

template <typename N>
static __global__ void __launch_bounds__(WARP)
    norm_restore(int count, norm_weights w, kept_norm<N> kept, float *__restrict__ y) {
    const size_t at = first_number(blockIdx.x);
    float v[9][WIDTH];
    load_rows(kept.rows + at, v);
    if ((int)blockIdx.x < count) return lane_weights(w).store(v, y + at);
#pragma unroll
    for (int k = 0; k < 9; k++) store_four(y + at + k * CHANNELS, v[k]);
}

template <typename N>
static __global__ void __launch_bounds__(WARP)
    norm_keep(int first, const float *__restrict__ y, N *__restrict__ rows) {
    const size_t at = first_number(first + (int)blockIdx.x);
    float v[9][WIDTH];
    load_rows(y + at, v);
#pragma unroll
    for (int k = 0; k < 9; k++) store_four(rows + at + k * CHANNELS, v[k]);
}

template <typename N>
static __global__ void __launch_bounds__(WARP)
    norm_backward(const float *__restrict__ w, kept_norm<N> kept, const float *__restrict__ g_y,
                  float *__restrict__ g_x) {
    const size_t at = first_number(blockIdx.x);
    float v[9][WIDTH], g[9][WIDTH], sum[9][WIDTH], scale[3][WIDTH], along = 0, scalars = 0;
    load_rows(kept.rows + at, v);
    load_rows(g_y + at, g);
    load_rows(g_x + at, sum);
    load_rows(w + WIDTH * threadIdx.x, scale);
    const float inverse = kept.inverse[blockIdx.x];
#pragma unroll
    for (int k = 0; k < 9; k++) {
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            g[k][i] *= scale[degree(k)][i];
            along += g[k][i] * v[k][i];
            if (k == 0) scalars += g[k][i];
        }
    }
    along = warp_sum(along) / CHANNELS;
    /* l = 0: centring takes the mean out of the gradient; that of x - mean is zero already */
    scalars = warp_sum(scalars) / CHANNELS;
#pragma unroll
    for (int k = 0; k < 9; k++) {
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            float centred = k == 0 ? g[k][i] - scalars : g[k][i];
            sum[k][i] += inverse * (centred - balance(k) * along * v[k][i]);
        }
        store_four(g_x + at + k * CHANNELS, sum[k]);
    }
}

template <typename N>
void rms_norm_sh_forward(cudaStream_t stream, int count, const norm_weights &w, const float *x,
                         float *y, const kept_norm<N> &kept) {
    if (count > 0) norm_forward<<<count, WARP, 0, stream>>>(w, x, y, kept);
}

template <typename N>
void rms_norm_sh_restore(cudaStream_t stream, int count, int all, const norm_weights &w,
                         const kept_norm<N> &kept, float *y) {
    if (all > 0) norm_restore<<<all, WARP, 0, stream>>>(count, w, kept, y);
}

template <typename N>
void rms_norm_sh_keep(cudaStream_t stream, int first, int end, const float *y,
                      const kept_norm<N> &kept) {
    if (end > first) norm_keep<<<end - first, WARP, 0, stream>>>(first, y, kept.rows);
}

template <typename N>
void rms_norm_sh_backward(cudaStream_t stream, int count, const norm_weights &w,
                          const kept_norm<N> &kept, const float *g_y, float *g_x) {
    if (count > 0) norm_backward<<<count, WARP, 0, stream>>>(w.w, kept, g_y, g_x);
}

#define INSTANTIATE(N)                                                                           \
    template void rms_norm_sh_forward<N>(cudaStream_t, int, const norm_weights &, const float *, \
                                         float *, const kept_norm<N> &);                         \
    template void rms_norm_sh_restore<N>(cudaStream_t, int, int, const norm_weights &,           \
                                         const kept_norm<N> &, float *);                         \
    template void rms_norm_sh_keep<N>(cudaStream_t, int, int, const float *,                     \
                                      const kept_norm<N> &);                                     \
    template void rms_norm_sh_backward<N>(cudaStream_t, int, const norm_weights &,               \
                                          const kept_norm<N> &, const float *, float *);
INSTANTIATE(__half)
INSTANTIATE(float)
