#include "device.cuh"
#include "node_stages/node_stages.cuh"
#include "node_stages/rms_norm.cuh"

/* A warp a node, four channels of all nine rows a lane: a node is read once, and nothing waits at
 * a barrier. */
constexpr int LANES = 32;
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

template <int ROWS>
static __device__ __forceinline__ void load_rows(const float *p, float (&v)[ROWS][WIDTH]) {
#pragma unroll
    for (int k = 0; k < ROWS; k++) load_four(p + k * CHANNELS, v[k]);
}

static __global__ void __launch_bounds__(LANES)
    norm_forward(const float *__restrict__ w, const float *__restrict__ b,
                 const float *__restrict__ shift, const float *__restrict__ x,
                 float *__restrict__ y) {
    size_t at = (size_t)blockIdx.x * NODE_WIDTH + WIDTH * threadIdx.x;
    float v[9][WIDTH], scale[3][WIDTH], offset[WIDTH], more[WIDTH] = {0, 0, 0, 0};
    load_rows(x + at, v);
    load_rows(w + WIDTH * threadIdx.x, scale);
    load_four(b + WIDTH * threadIdx.x, offset);
    if (shift) load_four(shift + WIDTH * threadIdx.x, more);
    float inverse = centre(v).inverse;
#pragma unroll
    for (int k = 0; k < 9; k++) {
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            v[k][i] *= inverse * scale[degree(k)][i];
            if (k == 0) v[k][i] += offset[i] + more[i];
        }
        store_four(y + at + k * CHANNELS, v[k]);
    }
}

static __global__ void __launch_bounds__(LANES)
    norm_backward(const float *__restrict__ w, const float *__restrict__ x,
                  const float *__restrict__ g_y, float *__restrict__ g_x) {
    size_t at = (size_t)blockIdx.x * NODE_WIDTH + WIDTH * threadIdx.x;
    float v[9][WIDTH], g[9][WIDTH], sum[9][WIDTH], scale[3][WIDTH], along = 0, scalars = 0;
    load_rows(x + at, v);
    load_rows(g_y + at, g);
    load_rows(g_x + at, sum);
    load_rows(w + WIDTH * threadIdx.x, scale);
    float inverse = centre(v).inverse;
#pragma unroll
    for (int k = 0; k < 9; k++) {
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            g[k][i] *= scale[degree(k)][i];
            along += g[k][i] * v[k][i];
            if (k == 0) scalars += g[k][i];
        }
    }
    along = warp_sum(along) * (inverse * inverse / CHANNELS);
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

void rms_norm_sh_forward(cudaStream_t stream, int count, const float *w, const float *b,
                         const float *shift, const float *x, float *y) {
    if (count > 0) norm_forward<<<count, LANES, 0, stream>>>(w, b, shift, x, y);
}

void rms_norm_sh_backward(cudaStream_t stream, int count, const float *w, const float *x,
                          const float *g_y, float *g_x) {
    if (count > 0) norm_backward<<<count, LANES, 0, stream>>>(w, x, g_y, g_x);
}
