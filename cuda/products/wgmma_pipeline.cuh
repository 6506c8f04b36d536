/* Products of rows over edges with frozen weights on Hopper, docs/model.md (17), (18), (33) and the
 * last layer of (12): how they are cut into tiles, and the pipeline that feeds the tensor cores.
 *
 * A block has a tile of 128 edges at a time and three warpgroups.  Two multiply by wgmma, 64 edges
 * each; the accumulators of a pass, up to 256 columns of the result, are in their registers
 * (setmaxnreg gives them 232 a thread).  The third copies by TMA: for every step of 64 columns, the
 * edges' rows and the weights' tile go into one of STAGES buffers in shared memory, whose mbarriers
 * say when it is full and when it is free again.  Two blocks of a cluster have different edges and
 * the same weights: each copies half of a tile to both, which halves the traffic from the L2
 * cache.  What becomes of the accumulators, the epilogue, is each kernel's own.
 *
 * Shared memory, 195 KB: 4 buffers of 128 + 256 rows of 128 bytes, their mbarriers, conv1's bias.
 * Blocks are as many as multiprocessors and take one part of the work after the other
 * (tile_schedule).  Where edges are too few to give every block a tile, tiles have 64 edges and
 * blocks one warpgroup that multiplies. */
#ifndef UMAS_WGMMA_PIPELINE_CUH
#define UMAS_WGMMA_PIPELINE_CUH

#include "edge_stages/edge_stages.cuh"
#include "products/hopper.cuh"
#include "products/wgmma_epilogue.cuh"

/* Columns of the operand a step takes: as many as a box has. */
constexpr int TILE_COLUMNS = BOX_COLUMNS;
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
    const int *end; /* one past the last edge */
    edge_span span;
};

constexpr int MOST_COLUMNS = 256, BIASES = 5 * CHANNELS;
constexpr int ROW_BYTES = TILE_COLUMNS * (int)sizeof(__half);

/* A block with so many warpgroups that multiply, and its shared memory: the places that copies
 * go to, their barriers, and conv1's bias. */
template <int WARPGROUPS> struct tile_shape {
    static constexpr int EDGES = 64 * WARPGROUPS, THREADS = (WARPGROUPS + 1) * WARPGROUP;
    static constexpr int ROWS_BYTES = EDGES * ROW_BYTES; /* a step's, or a box's */
    static constexpr int STAGES = WARPGROUPS == 1 ? 5 : 4;
    static constexpr int STAGE_BYTES = ROWS_BYTES + MOST_COLUMNS * ROW_BYTES;
    static constexpr int BARRIERS = STAGES * STAGE_BYTES;
    static constexpr int BIAS = BARRIERS + 2 * STAGES * (int)sizeof(uint64_t);
    static constexpr int MEMORY = BIAS + BIASES * (int)sizeof(float);
};

#ifdef UMAS_HOPPER

/* Which place of the ring comes next, and in which of its uses. */
template <int STAGES> struct ring_position {
    int stage = 0;
    uint32_t parity = 0;
    __device__ __forceinline__ void advance() {
        if (++stage < STAGES) return;
        stage = 0;
        parity ^= 1;
    }
};

template <int WARPGROUPS> class tile_pipeline {
    using shape = tile_shape<WARPGROUPS>;
    static constexpr int STAGES = shape::STAGES, STAGE_BYTES = shape::STAGE_BYTES;
    static constexpr int ROWS_BYTES = shape::ROWS_BYTES;
    char *memory_;
    uint64_t *full_, *empty_;
    ring_position<STAGES> at_;

  public:
    /* memory: shape::MEMORY bytes, 1024-byte aligned.  For all threads of the cluster. */
    __device__ explicit tile_pipeline(char *memory)
        : memory_(memory), full_(reinterpret_cast<uint64_t *>(memory + shape::BARRIERS)),
          empty_(full_ + STAGES) {
        if (threadIdx.x == 0) {
            for (int i = 0; i < STAGES; i++) {
                barrier_init(full_ + i, 1);
                barrier_init(empty_ + i, CLUSTER * WARPGROUPS * WARPGROUP);
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
        static_assert(COUNT * ROWS_BYTES <= STAGE_BYTES, "a place has no room for these");
        char *to = memory_ + at_.stage * STAGE_BYTES;
        uint64_t *full = full_ + at_.stage;
        barrier_wait(empty_ + at_.stage, at_.parity ^ 1);
        barrier_expect(full, COUNT * ROWS_BYTES);
#pragma unroll
        for (int i = 0; i < COUNT; i++) copy_box(to + i * ROWS_BYTES, rows, column[i], row, full);
        at_.advance();
    }
    /* Where they lie, once they are there; then done with them, every thread for itself. */
    __device__ __forceinline__ const char *begin_boxes() {
        barrier_wait(full_ + at_.stage, at_.parity);
        return memory_ + at_.stage * STAGE_BYTES;
    }
    __device__ __forceinline__ void end_boxes() {
        reads_before_copies();
#pragma unroll
        for (int rank = 0; rank < CLUSTER; rank++) barrier_arrive(empty_ + at_.stage, rank, 1);
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
        const uint64_t a = tile_descriptor(tile + warpgroup * (64 * ROW_BYTES));
        const uint64_t b = tile_descriptor(tile + ROWS_BYTES);
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
    /* Nothing of this stage is needed by this warp's products any more. */
    __device__ __forceinline__ void release(int stage) {
        if (threadIdx.x % 32 < CLUSTER) barrier_arrive(empty_ + stage, threadIdx.x % 32, 32);
    }
};

/* A block's threads: one of the last warpgroup does copy(pipeline), the other warpgroups do
 * multiply(pipeline, warpgroup). */
template <int WARPGROUPS, typename Copy, typename Multiply>
__device__ __forceinline__ void run_warpgroups(char *memory, Copy &&copy, Multiply &&multiply) {
    tile_pipeline<WARPGROUPS> pipeline(memory);
    const int warpgroup = (int)threadIdx.x / WARPGROUP;
    if (warpgroup == WARPGROUPS) {
        if constexpr (WARPGROUPS > 1) setmaxnreg_dec<40>();
        if (threadIdx.x % WARPGROUP == 0) copy(pipeline);
    } else {
        if constexpr (WARPGROUPS > 1) setmaxnreg_inc<232>(); /* else all there are, they have */
        multiply(pipeline, warpgroup);
    }
    cluster_sync();
}

/* A cluster's share of the work: parts of pairs of tiles, one after the other.  Parts take
 * turns, as they are not equally long. */
template <int WARPGROUPS> struct tile_schedule {
    static constexpr int EDGES = tile_shape<WARPGROUPS>::EDGES;
    int parts, count, work, unit;
    __device__ __forceinline__ tile_schedule(const tile_edges &edges, int part_count)
        : parts(part_count), unit((int)blockIdx.x / CLUSTER) {
        count = max(0, min(edges.span.size, *edges.end - edges.span.begin));
        work = (count + CLUSTER * EDGES - 1) / (CLUSTER * EDGES) * parts;
    }
    __device__ __forceinline__ bool in_range() const { return unit < work; }
    __device__ __forceinline__ void next() { unit += (int)gridDim.x / CLUSTER; }
    __device__ __forceinline__ int part() const { return (unit + unit / parts) % parts; }
    /* of this block */
    __device__ __forceinline__ int first_row() const {
        return (unit / parts * CLUSTER + (int)cluster_rank()) * EDGES;
    }
    /* rows there are from it on */
    __device__ __forceinline__ int left() const { return count - first_row(); }
};

/* What one thread of the last warpgroup does. */
template <int WARPGROUPS>
__device__ __forceinline__ void copy_tiles(tile_pipeline<WARPGROUPS> &p, const CUtensorMap *rows,
                                           const tiled_weights &w, const tile_edges &edges) {
    for (tile_schedule<WARPGROUPS> s(edges, w.parts); s.in_range(); s.next())
        for (int i = 0; i < w.passes; i++)
            p.copy(rows, s.first_row(), w.tiles, w.pass[s.part() * w.passes + i]);
}

#endif

#endif
