/* The RMS norm of one node that a warp holds, docs/model.md (15): what rms_norm_sh.cu and the fused
 * kernels share.  A lane has four channels of all nine rows; sums over channels are sums over the
 * warp. */
#ifndef UMAS_RMS_NORM_CUH
#define UMAS_RMS_NORM_CUH

#include "device.cuh"

constexpr float NORM_EPSILON = 1e-5f;
/* Channels of a row that a lane holds. */
constexpr int NORM_WIDTH = CHANNELS / 32;

/* Degree of an l-major row, and the weight that balances degrees in the mean square:
 * 1 / (3 (2 l + 1)). */
__device__ constexpr int degree(int row) { return row == 0 ? 0 : row < 4 ? 1 : 2; }
__device__ constexpr float balance(int row) { return 1.0f / (3 * (2 * degree(row) + 1)); }

/* Mean of the l = 0 channels and 1 / rms of what is left without it. */
struct norm_moments {
    float mean, inverse;
};

/* Takes the mean from the l = 0 channels of x, four channels a lane, whichever they are. */
__device__ __forceinline__ norm_moments centre(float (&x)[9][NORM_WIDTH]) {
    float mean = warp_sum((x[0][0] + x[0][1]) + (x[0][2] + x[0][3])) / CHANNELS, squares = 0;
#pragma unroll
    for (int i = 0; i < NORM_WIDTH; i++) x[0][i] -= mean;
#pragma unroll
    for (int k = 0; k < 9; k++) {
        float row = 0;
#pragma unroll
        for (int i = 0; i < NORM_WIDTH; i++) row += x[k][i] * x[k][i];
        squares += balance(k) * row;
    }
    return {mean, 1.0f / sqrtf(warp_sum(squares) / CHANNELS + NORM_EPSILON)};
}

/* A lane's two pairs of channels of a row: from 2 lane and from C / 2 + 2 lane on. */
template <typename N>
__device__ __forceinline__ void load_pairs(const N *row, int lane, float (&v)[NORM_WIDTH]) {
    float2 low = load_pair(row + 2 * lane), high = load_pair(row + CHANNELS / 2 + 2 * lane);
    v[0] = low.x;
    v[1] = low.y;
    v[2] = high.x;
    v[3] = high.y;
}

template <typename N>
__device__ __forceinline__ void store_pairs(N *row, int lane, const float (&v)[NORM_WIDTH]) {
    store_pair(row + 2 * lane, make_float2(v[0], v[1]));
    store_pair(row + CHANNELS / 2 + 2 * lane, make_float2(v[2], v[3]));
}

/* x [9][C] of one node -> its centred rows, pairs of channels a lane. */
__device__ __forceinline__ norm_moments load_centred(const float *x, int lane,
                                                     float (&v)[9][NORM_WIDTH]) {
#pragma unroll
    for (int k = 0; k < 9; k++) load_pairs(x + k * CHANNELS, lane, v[k]);
    return centre(v);
}

/* x [9][C] of one node -> its rows without mean and divided by their rms, and that 1 / rms. */
__device__ __forceinline__ float load_normalised(const float *x, int lane,
                                                 float (&v)[9][NORM_WIDTH]) {
    const float inverse = load_centred(x, lane, v).inverse;
#pragma unroll
    for (int k = 0; k < 9; k++)
#pragma unroll
        for (int i = 0; i < NORM_WIDTH; i++) v[k][i] *= inverse;
    return inverse;
}

/* One centred row -> the normalised one; w, b [C] of its degree, b NULL for l > 0. */
__device__ __forceinline__ void normalise_row(const float *w, const float *b, float inverse,
                                              int lane, float (&v)[NORM_WIDTH]) {
    float scale[NORM_WIDTH], offset[NORM_WIDTH] = {0, 0, 0, 0};
    load_pairs(w, lane, scale);
    if (b) load_pairs(b, lane, offset);
#pragma unroll
    for (int i = 0; i < NORM_WIDTH; i++) v[i] = v[i] * (inverse * scale[i]) + offset[i];
}

#endif
