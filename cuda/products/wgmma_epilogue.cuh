/* The epilogue of a pass on Hopper: which numbers of a warpgroup's accumulators a thread has, and
 * how they get to memory, rounded to fp16, straight from registers.
 *
 * A box is 64 columns of the result for 64 edges.  Of each box a thread has eight neighbouring
 * columns twice, 32 apart, in two rows: each eight is one 16-byte store. */
#ifndef UMAS_WGMMA_EPILOGUE_CUH
#define UMAS_WGMMA_EPILOGUE_CUH

#include <cuda_fp16.h>

/* Columns of the result in a box. */
constexpr int BOX_COLUMNS = 64;
constexpr int WARPGROUP = 128;

/* A thread's place in a box of a warpgroup's sums.  The weights' rows stand in such an order
 * that of its 64 columns a thread has two times eight neighbours, 32 apart, in each of two rows:
 * so what a warp stores at once are whole sectors. */
struct tile_place {
    int row, column; /* of the tile's 128 or 64, of the box's 64; row + 8 is the second */
    __device__ __forceinline__ explicit tile_place(int warpgroup)
        : row(64 * warpgroup + (int)threadIdx.x % WARPGROUP / 32 * 16 + (int)threadIdx.x % 32 / 4),
          column(8 * ((int)threadIdx.x % 4)) {}
    /* the numbers' place in a box of the block's rows, in the order of TMA */
    __device__ __forceinline__ int in_box(int second, int eight) const {
        return (row + 8 * second) * 128 + ((column / 8 + 4 * eight) ^ row % 8) * 16;
    }
};

/* For what is rounded to 16 bits. */
__device__ __forceinline__ float quick_sigmoid(float x) {
    return __fdividef(1.0f, 1.0f + __expf(-x));
}

/* Eight numbers of a box in the sums. */
__device__ __forceinline__ void take_eight(const float *sums, int box, int second, int eight,
                                           float (&v)[8]) {
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = sums[32 * box + 16 * eight + i / 2 * 4 + 2 * second + i % 2];
}

__device__ __forceinline__ uint4 rounded(const float (&v)[8]) {
    uint4 bits;
    __half2 *h = reinterpret_cast<__half2 *>(&bits);
#pragma unroll
    for (int i = 0; i < 4; i++) h[i] = __floats2half2_rn(v[2 * i], v[2 * i + 1]);
    return bits;
}

__device__ __forceinline__ void load_eight(const __half *from, float (&v)[8]) {
    const uint4 bits = *reinterpret_cast<const uint4 *>(from);
    const __half2 *h = reinterpret_cast<const __half2 *>(&bits);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 pair = __half22float2(h[i]);
        v[2 * i] = pair.x, v[2 * i + 1] = pair.y;
    }
}

__device__ __forceinline__ void load_eight(const float *from, float (&v)[8]) {
    const float4 *four = reinterpret_cast<const float4 *>(from);
    const float4 a = four[0], b = four[1];
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
    v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

/* fill(second, eight, v) and then use(second, eight, v) for every eight that a thread has of a
 * box. */
template <typename Fill, typename Use>
__device__ __forceinline__ void each_eight(Fill fill, Use use) {
#pragma unroll
    for (int second = 0; second < 2; second++)
#pragma unroll
        for (int eight = 0; eight < 2; eight++) {
            float v[8];
            fill(second, eight, v);
            use(second, eight, v);
        }
}

/* A thread's place in the rows [edges][width] that a block's results go to, of which `left`
 * exist. */
struct tile_rows {
    __half *first; /* number of the first row */
    int width, row, left;
    __device__ __forceinline__ tile_rows(__half *to, int row_width, const tile_place &at,
                                         int first_row, int rows_left)
        : first(to + (size_t)(first_row + at.row) * row_width + at.column), width(row_width),
          row(at.row), left(rows_left) {}

    /* fill(second, eight, v): the numbers v of a box whose first column this is. */
    template <typename Fill> __device__ __forceinline__ void store(int column, Fill fill) const {
        each_eight(fill, [&](int second, int eight, const float(&v)[8]) {
            if (row + 8 * second < left)
                *reinterpret_cast<uint4 *>(first + 8 * second * width + column + 32 * eight) =
                    rounded(v);
        });
    }
};

/* Up to four boxes of results, rounded, that leave while the next pass is multiplied, half a box a
 * step: so their way to the memory takes no time of its own. */
class tile_outbox {
    uint4 box_[4][2][2]; /* box; row; eight */
    __half *to_;
    int width_, apart_, rows_, count_ = 0;

  public:
    static constexpr int HALVES = 8;

    /* For `count` boxes whose first columns lie `apart` from each other, the first at `column`. */
    __device__ __forceinline__ void begin(const tile_rows &rows, int column, int apart, int count) {
        to_ = rows.first + column;
        width_ = rows.width;
        apart_ = apart;
        rows_ = (rows.row < rows.left) + (rows.row + 8 < rows.left);
        count_ = count;
    }
    /* fill(second, eight, v): the numbers v of a box. */
    template <typename Fill> __device__ __forceinline__ void store(int box, Fill fill) {
        each_eight(fill, [&](int second, int eight, const float(&v)[8]) {
            box_[box][second][eight] = rounded(v);
        });
    }
    __device__ __forceinline__ void send(int half) const {
        const int box = half / 2, second = half % 2;
        if (box < count_ && second < rows_)
#pragma unroll
            for (int eight = 0; eight < 2; eight++)
                *reinterpret_cast<uint4 *>(to_ + box * apart_ + 8 * second * width_ + 32 * eight) =
                    box_[box][second][eight];
    }
    __device__ __forceinline__ void send_all() const {
#pragma unroll
        for (int half = 0; half < HALVES; half++) send(half);
    }
};

#endif
