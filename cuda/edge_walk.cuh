/* A warp on its way over the edges of a node: what it reads of the next edge is copied to shared memory
 * while it works on one, so that it never waits for the memory and needs no registers for that. */
#ifndef UMAS_EDGE_WALK_CUH
#define UMAS_EDGE_WALK_CUH

#include "edge_list.cuh"

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
        if (at_ < incoming_) return {in_ + at_, 1};
        return {at_ < all_ ? out_[at_ - incoming_] : -1, 0};
    }

  public:
    /* in: edges; out: places in edges.out */
    __device__ __forceinline__ edge_walk(const edge_list &edges, int2 in, int2 out, int first,
                                         int stride)
        : out_(edges.out + out.x), in_(in.x), incoming_(max(0, in.y - in.x)),
          all_(incoming_ + max(0, out.y - out.x)), stride_(stride), at_(first), next_(look_up()) {}

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
__device__ __forceinline__ void copies_wait() { asm volatile("cp.async.wait_all;" ::: "memory"); }

/* A warp copies BYTES, which are a multiple of 16. */
template <int BYTES> __device__ __forceinline__ void copy_ahead(void *to, const void *from) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int word = lane; word < BYTES / 16; word += 32)
        copy_16_bytes(static_cast<char *>(to) + word * 16,
                      static_cast<const char *>(from) + word * 16);
}
/* ... its channels of ROWS rows that lie `pitch` numbers apart. */
template <int ROWS, typename S>
__device__ __forceinline__ void copy_rows_ahead(S *to, const S *from, int pitch) {
    constexpr int WORDS = WARP_CHANNELS * (int)sizeof(S) / 16, IN_WORD = 16 / (int)sizeof(S);
    const int lane = threadIdx.x % 32;
    from += (lane / WORDS) * pitch + lane % WORDS * IN_WORD;
#pragma unroll
    for (int i = 0; i < ROWS * WORDS; i += 32)
        if (i + 32 <= ROWS * WORDS || lane < ROWS * WORDS - i)
            copy_16_bytes(to + (i + lane) * IN_WORD, from + i / WORDS * pitch);
}

/* Shared memory of LANES groups of two warps, each with two places for what it reads of an edge. */
template <typename Inputs, int LANES> constexpr size_t ring_memory() {
    return LANES * 2 * 2 * sizeof(Inputs);
}
template <typename Inputs> __device__ __forceinline__ Inputs *ring_of_warp(char *shared) {
    return reinterpret_cast<Inputs *>(shared) + 2 * (threadIdx.x / 32);
}

/* Calls use(edge, inputs) for every edge of the walk, and fetch(edge, inputs), which copies ahead, one
 * edge earlier.  ring: two places that are this warp's. */
template <typename Inputs, typename Fetch, typename Use>
__device__ __forceinline__ void walk_edges(edge_walk walk, Inputs *ring, Fetch &&fetch, Use &&use) {
    int place = 0;
    visited_edge now = walk.next();
    if (now.edge >= 0) fetch(now, ring[0]);
    while (now.edge >= 0) {
        const visited_edge then = walk.next();
        copies_wait();
        __syncwarp();
        place ^= 1;
        if (then.edge >= 0) fetch(then, ring[place]);
        use(now, ring[place ^ 1]);
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
