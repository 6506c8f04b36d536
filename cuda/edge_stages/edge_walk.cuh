/* Software-pipelined loop of one warp over a node's edges: cp.async prefetches the next edge's
 * inputs into shared memory while the current edge is processed.  So a warp does not wait for
 * memory, and the inputs on their way take no registers.
 *
 * Two warps share an edge: each has 64 of the 128 channels, two a lane, and two buffers of its own
 * in shared memory, for the current edge and for the next.  Inputs whose address must be looked up
 * first (a row of a table) have their table index prefetched two edges ahead, into one of four
 * places. */
#ifndef UMAS_EDGE_WALK_CUH
#define UMAS_EDGE_WALK_CUH

#include "graph/edge_list.cuh"

/* A warp's share of a row. */
constexpr int WARP_CHANNELS = 64;

/* An edge of the list, as its target (side 1) or its source (0) sees it. */
struct visited_edge {
    int edge, side; /* edge -1: none is left */
};

/* Every stride-th of a node's edges from `first` on: those into it, then those out of it. */
class edge_walk {
    const int *out_;
    int in_, incoming_, all_, stride_;
    int at_;
    visited_edge next_;

    /* Of an edge out of the node, only the number is loaded here: it is needed one edge later. */
    __device__ __forceinline__ visited_edge look_up() const {
        const bool incoming = at_ < incoming_;
        visited_edge v = {incoming ? in_ + at_ : -1, incoming};
        if (!incoming && at_ < all_) v.edge = out_[at_];
        return v;
    }

  public:
    __device__ __forceinline__ edge_walk(const edge_list &edges, const node_visit &v, int first,
                                         int stride)
        : in_(v.in_begin), incoming_(max(0, v.in_end - v.in_begin)),
          all_(incoming_ + v.out_end - v.out_begin), stride_(stride), at_(first) {
        out_ = edges.out + v.out_begin - incoming_;
        next_ = look_up();
    }

    __device__ __forceinline__ visited_edge next() {
        const visited_edge now = next_;
        at_ += stride_;
        next_ = look_up();
        return now;
    }
};

__device__ __forceinline__ void copy_16_bytes(void *to, const void *from) {
    asm volatile(
        "cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
        "l"(from)
        : "memory");
}
/* ... 4, 8 or 16 by way of the L1 cache, for what other warps of the multiprocessor may read,
 * too. */
template <int BYTES> __device__ __forceinline__ void copy_cached(void *to, const void *from) {
    asm volatile(
        "cp.async.ca.shared.global [%0], [%1], %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
        "l"(from), "n"(BYTES)
        : "memory");
}
__device__ __forceinline__ void copies_wait() { asm volatile("cp.async.wait_all;" ::: "memory"); }

/* An address to which constants are added, as the instructions can, and not part of a sum before
 * it. */
template <typename T> __device__ __forceinline__ T *opaque_address(T *address) {
    asm volatile("" : "+l"(address));
    return address;
}

/* A warp copies up to 512 BYTES, a multiple of 16; and to behind them another 16. */
template <int BYTES> __device__ __forceinline__ void copy_ahead(void *to, const void *from) {
    const int lane = threadIdx.x % 32;
    if (lane < BYTES / 16)
        copy_16_bytes(static_cast<char *>(to) + lane * 16,
                      static_cast<const char *>(from) + lane * 16);
}
template <int BYTES>
__device__ __forceinline__ void copy_ahead(void *to, const void *from, const void *last) {
    const int lane = threadIdx.x % 32;
    const char *word = static_cast<const char *>(from) + lane * 16;
    if (lane == BYTES / 16) word = static_cast<const char *>(last);
    if (lane <= BYTES / 16) copy_16_bytes(static_cast<char *>(to) + lane * 16, word);
}
/* ... its channels of ROWS rows that lie `pitch` numbers apart.  CACHED: by way of the L1 cache */
template <int ROWS, bool CACHED = false, typename S>
__device__ __forceinline__ void copy_rows_ahead(S *to, const S *from, int pitch) {
    constexpr int WORDS = WARP_CHANNELS * (int)sizeof(S) / 16, IN_WORD = 16 / (int)sizeof(S);
    const int lane = threadIdx.x % 32;
    from = opaque_address(from + (lane / WORDS) * pitch + lane % WORDS * IN_WORD);
    to += lane * IN_WORD;
#pragma unroll
    for (int i = 0; i < ROWS * WORDS; i += 32)
        if (i + 32 <= ROWS * WORDS || lane < ROWS * WORDS - i) {
            if (CACHED)
                copy_cached<16>(to + i * IN_WORD, from + i / WORDS * pitch);
            else
                copy_16_bytes(to + i * IN_WORD, from + i / WORDS * pitch);
        }
}

/* Shared memory of a warp: two places for what it reads of an edge. */
template <typename Inputs> struct warp_ring { Inputs of_edge[2]; };
/* ... of GROUPS groups of two warps */
template <typename Inputs, int GROUPS> constexpr size_t ring_memory() {
    return GROUPS * 2 * sizeof(warp_ring<Inputs>);
}
template <typename Inputs>
__device__ __forceinline__ warp_ring<Inputs> &ring_of_warp(char *shared) {
    return reinterpret_cast<warp_ring<Inputs> *>(shared)[threadIdx.x / 32];
}

/* Calls use(edge, inputs) for every edge of the walk, and fetch(edge, inputs), which copies
 * ahead, one edge earlier; where that depends on something itself, prefetch_index(edge, slot)
 * copies this two edges earlier to the slot, one of four, that the others are called with, too. */
template <typename Inputs, typename PrefetchIndex, typename Fetch, typename Use>
__device__ __forceinline__ void walk_edges(edge_walk walk, warp_ring<Inputs> &ring,
                                           PrefetchIndex &&prefetch_index, Fetch &&fetch,
                                           Use &&use) {
    int turn = 0;
    visited_edge now = walk.next(), then = walk.next();
    if (now.edge >= 0) prefetch_index(now, 0);
    if (then.edge >= 0) prefetch_index(then, 1);
    copies_wait();
    __syncwarp();
    if (now.edge >= 0) fetch(now, 0, ring.of_edge[0]);
    while (now.edge >= 0) {
        const visited_edge after = walk.next();
        copies_wait();
        __syncwarp();
        if (then.edge >= 0) {
            fetch(then, (turn + 1) % 4, ring.of_edge[(turn + 1) % 2]);
            if (after.edge >= 0) prefetch_index(after, (turn + 2) % 4);
        }
        use(now, turn % 4, ring.of_edge[turn % 2]);
        now = then;
        then = after;
        turn++;
    }
}
/* ... where it depends on nothing. */
template <typename Inputs, typename Fetch, typename Use>
__device__ __forceinline__ void walk_edges(edge_walk walk, warp_ring<Inputs> &ring, Fetch &&fetch,
                                           Use &&use) {
    int slot = 0;
    visited_edge now = walk.next();
    if (now.edge >= 0) fetch(now, ring.of_edge[0]);
    while (now.edge >= 0) {
        const visited_edge then = walk.next();
        copies_wait();
        __syncwarp();
        slot ^= 1;
        if (then.edge >= 0) fetch(then, ring.of_edge[slot]);
        use(now, ring.of_edge[slot ^ 1]);
        now = then;
    }
}

/* Launches a kernel with more dynamic shared memory than it has without asking. */
template <typename... Parameters, typename... Arguments>
void launch_with_memory(void (*kernel)(Parameters...), dim3 blocks, int threads, size_t bytes,
                        cudaStream_t stream, const Arguments &...arguments) {
    cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                         cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    kernel<<<blocks, threads, bytes, stream>>>(arguments...);
}

#endif
