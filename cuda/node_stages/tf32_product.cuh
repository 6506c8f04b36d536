/* Products on tensor cores with the accuracy of fp32: weights [C][C] times the rows of eight nodes.
 *
 * Every number is split into two TF32 numbers of 11 bits, high + low.  Of the four products, high
 * high, high low and low high are computed; low low, 2^-22 of the whole, is left out.  Tensor cores
 * cut sums off instead of rounding them, so they add up eight channels at a time, and the rest is
 * added outside.
 *
 * Eight warps share a product: each has 16 of the 128 outputs for all eight nodes.  Rows lie in
 * shared memory as fragments, both parts side by side; each warp streams its weights from the L2
 * cache, AHEAD steps of eight channels in advance. */
#ifndef UMAS_TF32_PRODUCT_CUH
#define UMAS_TF32_PRODUCT_CUH

#include "device.cuh"
#include "weights/weight_fragments.cuh"

constexpr int TILE_NODES = 8;
/* Warps that share a matrix: 16 outputs each. */
constexpr int PRODUCT_WARPS = CHANNELS / 16;
/* float4 a tile takes: one row of eight nodes, [step][lane], a lane's two channels in two parts. */
constexpr int TILE = PRODUCT_STEPS * 32;
/* float4 a matrix of weights takes. */
constexpr int MATRIX = PRODUCT_WARPS * TILE;

/* A number as the sum of two of 11 bits, in a third of the instructions of cvt.rna.tf32: the
 * high one rounded, the low one cut off.  What is not finite stays so in the low one. */
struct tf32_pair {
    float high, low;
};
__device__ __forceinline__ tf32_pair split(float x) {
    constexpr unsigned BITS_11 = 0xffffe000u, HALF_A_UNIT = 0x1000u;
    const float high = __uint_as_float((__float_as_uint(x) + HALF_A_UNIT) & BITS_11);
    return {high, __uint_as_float(__float_as_uint(x - high) & BITS_11)};
}

/* c [16][8] += a [16][8] b [8][8] */
__device__ __forceinline__ void mma_tf32(float (&c)[4], const float (&a)[4], float b0, float b1) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
}

/* Where a lane's float4 of a step lies among the step's 32: turned so that neither filling a tile
 * by rows nor by fragments meets a bank twice more than it must. */
__device__ __forceinline__ int tile_place(int lane, int step) {
    return lane ^ ((((lane >> 3) ^ step) & 1) << 2);
}

/* Channels `channel`, even, and the next of a node's row. */
__device__ __forceinline__ void set_pair(float4 *tile, int node, int channel, float a, float b) {
    const int step = channel / 8;
    const tf32_pair first = split(a), second = split(b);
    tile[step * 32 + tile_place(4 * node + channel % 8 / 2, step)] =
        make_float4(first.high, second.high, first.low, second.low);
}

/* What of a product [C][8 nodes] a lane holds: four numbers, i = 0..3. */
struct fragment {
    int channel_0, node_0;
    __device__ fragment(int warp, int lane)
        : channel_0(16 * warp + lane / 4), node_0(2 * (lane % 4)) {}
    __device__ int channel(int i) const { return channel_0 + 8 * (i / 2); }
    __device__ int node(int i) const { return node_0 + i % 2; }
};

/* A product's fragment becomes part of a tile, its channels those of the next product's rows. */
__device__ __forceinline__ void set_fragment(float4 *tile, fragment f, const float *v) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int channel = f.channel(i), step = channel / 8;
        float *to = reinterpret_cast<float *>(tile + step * 32 +
                                              tile_place(4 * f.node(i) + channel % 8 / 2, step));
        const tf32_pair pair = split(v[i]);
        to[channel % 2] = pair.high;
        to[2 + channel % 2] = pair.low;
    }
}

/* With no more blocks than this a multiprocessor has one at most (an H100 has 132). */
constexpr int FEW_BLOCKS = 132, MANY_AHEAD = 4;
inline bool few_blocks(int blocks) { return blocks <= FEW_BLOCKS; }

/* A warp's way through one matrix after another: AHEAD of its steps are always under way.  What a
 * block waits for is the weights' way from the L2 cache, unless other blocks work meanwhile. */
template <int AHEAD> class weight_reader {
    float4 ahead_[AHEAD];
    const float4 *matrix_;
    int from_, lane_;

  public:
    __device__ weight_reader(const float4 *first, int warp, int lane)
        : matrix_(first), from_(warp * TILE + lane), lane_(lane) {
#pragma unroll
        for (int i = 0; i < AHEAD; i++) ahead_[i] = __ldg(first + from_ + i * 32);
    }
    /* sum [TILES] += this matrix times each tile; goes on to the matrix `next`. */
    template <int TILES>
    __device__ __forceinline__ void multiply(const float4 *tile, float (*sum)[4],
                                             const float4 *next) {
#pragma unroll 1
        for (int step = 0; step < PRODUCT_STEPS; step += AHEAD) {
            const int then = step + AHEAD;
            const float4 *refill = from_ + (then < PRODUCT_STEPS ? matrix_ + then * 32 : next);
            const float4 *row = tile + step * 32;
#pragma unroll
            for (int i = 0; i < AHEAD; i++) {
                const float4 whole = ahead_[i];
                ahead_[i] = __ldg(refill + i * 32);
                const tf32_pair w[4] = {split(whole.x), split(whole.y), split(whole.z),
                                        split(whole.w)};
                const float high[4] = {w[0].high, w[1].high, w[2].high, w[3].high};
                const float low[4] = {w[0].low, w[1].low, w[2].low, w[3].low};
                const int place = i * 32 + tile_place(lane_, i);
                float part[TILES][4];
                float4 b[TILES];
#pragma unroll
                for (int t = 0; t < TILES; t++) {
                    b[t] = row[t * TILE + place];
                    part[t][0] = part[t][1] = part[t][2] = part[t][3] = 0;
                    mma_tf32(part[t], low, b[t].x, b[t].y);
                }
#pragma unroll
                for (int t = 0; t < TILES; t++) mma_tf32(part[t], high, b[t].z, b[t].w);
#pragma unroll
                for (int t = 0; t < TILES; t++) mma_tf32(part[t], high, b[t].x, b[t].y);
#pragma unroll
                for (int t = 0; t < TILES; t++)
#pragma unroll
                    for (int k = 0; k < 4; k++) sum[t][k] += part[t][k];
            }
        }
        matrix_ = next;
    }
};

/* Two numbers a node, of a lane's two nodes, summed over all channels, rows and warps of the block,
 * in a fixed order.  part: [WARPS][8] in shared memory.  A barrier for the block. */
template <int WARPS>
__device__ __forceinline__ void sum_over_block(float2 (&sum)[2], float2 *part, int warp, int lane) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int offset = 4; offset < 32; offset *= 2) {
            sum[i].x += __shfl_xor_sync(0xffffffffu, sum[i].x, offset);
            sum[i].y += __shfl_xor_sync(0xffffffffu, sum[i].y, offset);
        }
        if (lane < 4) part[warp * TILE_NODES + 2 * lane + i] = sum[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; i++) {
        sum[i] = make_float2(0, 0);
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
            float2 more = part[w * TILE_NODES + 2 * (lane % 4) + i];
            sum[i].x += more.x;
            sum[i].y += more.y;
        }
    }
}

#endif
