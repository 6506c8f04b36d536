/* Products of rows over edges with frozen weights on Hopper: how they are cut into tiles, and the
 * pipeline that feeds the tensor cores.
 *
 * A block has 128 edges at a time: two warpgroups multiply 64 each, a third copies 64 columns of
 * their rows and the weights' tile for these columns into one of STAGES places in shared memory.
 * Two blocks of a cluster have different edges and the same weights, of which each copies half to
 * both.  A warpgroup keeps its sums of one pass, up to 256 columns of the result, in registers; what
 * becomes of them is the kernel's own, and goes out in boxes of 64 columns through shared memory, so
 * that it is under way while the next pass is multiplied. */
#ifndef UMAS_TILED_PRODUCT_CUH
#define UMAS_TILED_PRODUCT_CUH

#include "edge_stages.cuh"
#include "hopper.cuh"

/* Columns of the operand a step takes, of the result a box has. */
constexpr int TILE_EDGES = 128, TILE_COLUMNS = 64, BOX_COLUMNS = 64;
constexpr int CLUSTER = 2;
constexpr int MOST_PASSES = 9;

/* One pass over the columns of a block's rows. */
struct tile_pass {
    int n;         /* columns of the result */
    int steps;     /* of TILE_COLUMNS columns of the operand */
    int column;    /* of the operand, the first */
    int to;        /* column of the result, the first, where those of a pass are contiguous */
    unsigned from; /* bytes to the first of its weights' tiles [steps][n][TILE_COLUMNS], swizzled */
};

/* Weights for a product of rows: of the parts that a block works on one at a time, each so many
 * passes. */
struct tiled_weights {
    const char *tiles;
    int parts, passes;
    tile_pass pass[MOST_PASSES];
};

/* Which edges: those of the span that the list has. */
struct tile_edges {
    const int *count;
    edge_span span;
};

constexpr int WARPGROUP = 128;
constexpr int TILE_THREADS = 3 * WARPGROUP;

/* Shared memory: the places that copies go to, their barriers, and conv1's bias. */
constexpr int STAGES = 4, MOST_COLUMNS = 256;
constexpr int ROW_BYTES = TILE_COLUMNS * (int)sizeof(__half);
constexpr int ROWS_BYTES = TILE_EDGES * ROW_BYTES;
constexpr int STAGE_BYTES = ROWS_BYTES + MOST_COLUMNS * ROW_BYTES;
constexpr int BOX_BYTES = TILE_EDGES * BOX_COLUMNS * (int)sizeof(__half);
constexpr int BARRIERS = STAGES * STAGE_BYTES;
constexpr int BIAS = BARRIERS + 2 * STAGES * (int)sizeof(uint64_t), BIASES = 5 * CHANNELS;
constexpr int TILE_MEMORY = BIAS + BIASES * (int)sizeof(float);

#ifdef UMAS_HOPPER

/* A thread's place in a box of a warpgroup's sums.  The weights' rows stand in such an order that of
 * its 64 columns a thread has two times eight neighbours, 32 apart, in each of two rows: so what a
 * warp stores at once are whole sectors. */
struct tile_place {
    int row, column; /* of the block's 128, of the box's 64; row + 8 is the second */
    __device__ __forceinline__ explicit tile_place(int warpgroup)
        : row(64 * warpgroup + (int)threadIdx.x % WARPGROUP / 32 * 16 + (int)threadIdx.x % 32 / 4),
          column(8 * ((int)threadIdx.x % 4)) {}
    /* the numbers' place in a box of the block's rows, in the order of the copy engine */
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

/* A thread's place in the rows [edges][width] that a block's results go to, of which `left` exist. */
struct tile_rows {
    __half *first; /* number of the first row */
    int width, row, left;
    __device__ __forceinline__ tile_rows(__half *to, int row_width, const tile_place &at,
                                         int first_row, int rows_left)
        : first(to + (size_t)(first_row + at.row) * row_width + at.column), width(row_width),
          row(at.row), left(rows_left) {}

    /* fill(second, eight, v): the numbers v of a box whose first column this is. */
    template <typename Fill> __device__ __forceinline__ void put(int column, Fill fill) const {
#pragma unroll
        for (int second = 0; second < 2; second++)
#pragma unroll
            for (int eight = 0; eight < 2; eight++) {
                float v[8];
                fill(second, eight, v);
                if (row + 8 * second < left)
                    *reinterpret_cast<uint4 *>(first + 8 * second * width + column + 32 * eight) =
                        rounded(v);
            }
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
    template <typename Fill> __device__ __forceinline__ void put(int box, Fill fill) {
#pragma unroll
        for (int second = 0; second < 2; second++)
#pragma unroll
            for (int eight = 0; eight < 2; eight++) {
                float v[8];
                fill(second, eight, v);
                box_[box][second][eight] = rounded(v);
            }
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

/* Which place of the ring comes next, and in which of its uses. */
struct ring_position {
    int stage = 0;
    uint32_t parity = 0;
    __device__ __forceinline__ void advance() {
        if (++stage < STAGES) return;
        stage = 0;
        parity ^= 1;
    }
};

class tile_pipeline {
    char *memory_;
    uint64_t *full_, *empty_;
    ring_position at_;

  public:
    /* memory: TILE_MEMORY bytes, 1024-byte aligned.  For all threads of the cluster. */
    __device__ explicit tile_pipeline(char *memory)
        : memory_(memory), full_(reinterpret_cast<uint64_t *>(memory + BARRIERS)),
          empty_(full_ + STAGES) {
        if (threadIdx.x == 0) {
            for (int i = 0; i < STAGES; i++) {
                barrier_init(full_ + i, 1);
                barrier_init(empty_ + i, CLUSTER * 2 * WARPGROUP / 32);
            }
            barrier_init_fence();
        }
        cluster_sync();
    }

    /* One thread copies a pass of the block whose first row this is. */
    __device__ __forceinline__ void copy(const CUtensorMap *rows, int row, const char *tiles,
                                         const tile_pass &pass) {
        const uint32_t rank = cluster_rank();
        const uint32_t share = pass.n * TILE_COLUMNS * sizeof(__half) / CLUSTER;
        const char *from = tiles + pass.from + rank * share;
        for (int step = 0; step < pass.steps; step++, from += CLUSTER * share) {
            char *to = memory_ + at_.stage * STAGE_BYTES;
            uint64_t *full = full_ + at_.stage;
            barrier_wait(empty_ + at_.stage, at_.parity ^ 1);
            barrier_expect(full, ROWS_BYTES + CLUSTER * share);
            copy_box(to, rows, pass.column + step * TILE_COLUMNS, row, full);
            copy_to_cluster(to + ROWS_BYTES + rank * share, from, share, full, (1 << CLUSTER) - 1);
            at_.advance();
        }
    }

    /* One thread copies boxes of other rows of the block, for what follows a pass. */
    template <int COUNT>
    __device__ __forceinline__ void copy_boxes(const CUtensorMap *rows, int row,
                                               const int (&column)[COUNT]) {
        static_assert(COUNT * BOX_BYTES <= STAGE_BYTES, "a place has no room for these");
        char *to = memory_ + at_.stage * STAGE_BYTES;
        uint64_t *full = full_ + at_.stage;
        barrier_wait(empty_ + at_.stage, at_.parity ^ 1);
        barrier_expect(full, COUNT * BOX_BYTES);
#pragma unroll
        for (int i = 0; i < COUNT; i++) copy_box(to + i * BOX_BYTES, rows, column[i], row, full);
        at_.advance();
    }
    /* Where they lie, once they are there; then done with them. */
    __device__ __forceinline__ const char *begin_boxes() {
        barrier_wait(full_ + at_.stage, at_.parity);
        return memory_ + at_.stage * STAGE_BYTES;
    }
    __device__ __forceinline__ void end_boxes() {
        reads_before_copies();
        __syncwarp();
        release(at_.stage);
        at_.advance();
    }

    /* A warpgroup's 64 rows times a tile of N columns. */
    template <int N>
    __device__ __forceinline__ void multiply_pass(int warpgroup, int steps, float *sums) {
        int previous = multiply_step<N, ALL, false>(warpgroup, sums, -1);
#pragma unroll 1
        for (int step = 1; step < steps; step++)
            previous = multiply_step<N, ALL, true>(warpgroup, sums, previous);
        finish_pass<N>(sums, previous);
    }
    /* The same while what is in the outbox leaves; LAST: of the last step's columns the 16s that
     * matter. */
    template <int N, int LAST>
    __device__ __forceinline__ void multiply_pass(int warpgroup, int steps, const tile_outbox &out,
                                                  float *sums) {
        const int full = LAST < ALL ? steps - 1 : steps;
        int previous = multiply_step<N, ALL, false>(warpgroup, sums, -1);
        out.send(0);
#pragma unroll
        for (int step = 1; step < tile_outbox::HALVES; step++) {
            if (step < full) previous = multiply_step<N, ALL, true>(warpgroup, sums, previous);
            out.send(step);
        }
#pragma unroll 1
        for (int step = tile_outbox::HALVES; step < full; step++)
            previous = multiply_step<N, ALL, true>(warpgroup, sums, previous);
        if (LAST < ALL) previous = multiply_step<N, LAST, true>(warpgroup, sums, previous);
        finish_pass<N>(sums, previous);
    }

  private:
    static constexpr int ALL = TILE_COLUMNS / 16;

    /* Queues a step; one that adds to the sums waits for the one before, at stage `previous`.
     * The stage of this one. */
    template <int N, int COUNT, bool ADD>
    __device__ __forceinline__ int multiply_step(int warpgroup, float *sums, int previous) {
        char *tile = memory_ + at_.stage * STAGE_BYTES;
        const uint64_t a = tile_descriptor<TILE_COLUMNS>(tile + warpgroup * (ROWS_BYTES / 2));
        const uint64_t b = tile_descriptor<TILE_COLUMNS>(tile + ROWS_BYTES);
        barrier_wait(full_ + at_.stage, at_.parity);
        products_begin();
#pragma unroll
        for (int k = 0; k < COUNT; k++)
            if (ADD || k > 0)
                multiply<N, true>(sums, a + 2 * k, b + 2 * k);
            else
                multiply<N, false>(sums, a, b);
        products_commit();
        if (ADD) {
            products_wait<1>();
            release(previous);
        }
        const int stage = at_.stage;
        at_.advance();
        return stage;
    }
    template <int N> __device__ __forceinline__ void finish_pass(float *sums, int last) {
        products_wait<0>();
        settle<N / 2>(sums);
        release(last);
    }
    /* Nothing of this stage is needed by this warp any more. */
    __device__ __forceinline__ void release(int stage) {
        if (threadIdx.x % 32 < CLUSTER) barrier_arrive(empty_ + stage, threadIdx.x % 32);
    }
};

/* A cluster's share of the work: parts of pairs of tiles, one after the other.  Parts take turns, as
 * they are not equally long. */
struct tile_schedule {
    int parts, count, work, unit;
    __device__ __forceinline__ tile_schedule(const tile_edges &edges, int part_count)
        : parts(part_count), unit((int)blockIdx.x / CLUSTER) {
        count = max(0, min(edges.span.size, *edges.count - edges.span.begin));
        work = (count + CLUSTER * TILE_EDGES - 1) / (CLUSTER * TILE_EDGES) * parts;
    }
    __device__ __forceinline__ bool more() const { return unit < work; }
    __device__ __forceinline__ void next() { unit += (int)gridDim.x / CLUSTER; }
    __device__ __forceinline__ int part() const { return (unit + unit / parts) % parts; }
    /* of this block */
    __device__ __forceinline__ int first_row() const {
        return (unit / parts * CLUSTER + (int)cluster_rank()) * TILE_EDGES;
    }
    /* rows there are from it on */
    __device__ __forceinline__ int left() const { return count - first_row(); }
};

/* What one thread of the third warpgroup does. */
__device__ __forceinline__ void copy_tiles(tile_pipeline &p, const CUtensorMap *rows,
                                           const tiled_weights &w, const tile_edges &edges) {
    for (tile_schedule s(edges, w.parts); s.more(); s.next())
        for (int i = 0; i < w.passes; i++)
            p.copy(rows, s.first_row(), w.tiles, w.pass[s.part() * w.passes + i]);
}

#endif

#endif
