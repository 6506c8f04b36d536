/* What every CUDA file shares: the width of features; loads and stores of two channels in either
 * storage type, __half or float; sigmoid, silu and its derivative, docs/model.md (27); sums over a
 * warp. */
#ifndef UMAS_DEVICE_CUH
#define UMAS_DEVICE_CUH

#include <cuda_fp16.h>
#include <cuda_runtime.h>

/* Sphere and hidden channels the kernels are written for. */
constexpr int CHANNELS = 128;
/* Threads that hold one row: two channels each. */
constexpr int ROW_THREADS = CHANNELS / 2;
/* Numbers in a node's features [9][CHANNELS]. */
constexpr int NODE_WIDTH = 9 * CHANNELS;

/* Two neighbouring channels of an array stored as half or float, as floats. */
__device__ __forceinline__ float2 load_pair(const float *p) {
    return *reinterpret_cast<const float2 *>(p);
}
__device__ __forceinline__ float2 load_pair(const __half *p) {
    return __half22float2(*reinterpret_cast<const __half2 *>(p));
}
__device__ __forceinline__ void store_pair(float *p, float2 v) {
    *reinterpret_cast<float2 *>(p) = v;
}
__device__ __forceinline__ void store_pair(__half *p, float2 v) {
    *reinterpret_cast<__half2 *>(p) = __float22half2_rn(v);
}

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }
__device__ __forceinline__ float silu(float x) { return x * sigmoid(x); }
__device__ __forceinline__ float silu_slope(float x) {
    float s = sigmoid(x);
    return s * (1.0f + x * (1.0f - s));
}

/* Sums of three numbers over a warp, in a fixed order: x on lanes 0 to 7, y on 8 to 15, z on 16
 * to 23. */
__device__ __forceinline__ float warp_sums(float3 v) {
    const bool upper = threadIdx.x & 16, odd = threadIdx.x & 8;
    const float keep_0 = upper ? v.z : v.x, send_0 = upper ? v.x : v.z;
    const float keep_1 = upper ? 0.0f : v.y, send_1 = upper ? v.y : 0.0f;
    const float first = keep_0 + __shfl_xor_sync(0xffffffffu, send_0, 16);
    const float second = keep_1 + __shfl_xor_sync(0xffffffffu, send_1, 16);
    float sum = (odd ? second : first) + __shfl_xor_sync(0xffffffffu, odd ? first : second, 8);
    for (int offset = 4; offset; offset >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    return sum;
}
/* Sum over a warp, in a fixed order, on every lane. */
template <typename T> __device__ __forceinline__ T warp_sum(T v) {
    for (int offset = 16; offset; offset >>= 1) v += __shfl_xor_sync(0xffffffffu, v, offset);
    return v;
}

#endif
