/* Wrappers of Hopper's instructions that C++ has no words for, with NVIDIA's names: mbarrier
 * (barriers in shared memory that also count bytes), TMA (bulk copies of boxes of a
 * tensor, and copies to all blocks of a cluster), wgmma (products of a warpgroup, 128 threads,
 * with accumulators in registers) and setmaxnreg (registers moved from one warpgroup to another).
 * For kernels compiled for sm_90a alone. */
#ifndef UMAS_HOPPER_CUH
#define UMAS_HOPPER_CUH

#include <cuda.h>
#include <cuda_fp16.h>

#include <cstdint>

/* Where the wrappers below exist. */
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define UMAS_HOPPER 1

__device__ __forceinline__ uint32_t shared_address(const void *p) {
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* ---- clusters ----------------------------------------------------------------------------- */

__device__ __forceinline__ uint32_t cluster_rank() {
    uint32_t rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
/* All threads of all blocks of the cluster; what they wrote to shared memory is seen behind it. */
__device__ __forceinline__ void cluster_sync() {
    __syncwarp();
    asm volatile("barrier.cluster.arrive.release.aligned;\n"
                 "barrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
}

/* ---- barriers in shared memory ------------------------------------------------------------ */

__device__ __forceinline__ void barrier_init(uint64_t *barrier, uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(arrivals));
}
/* Makes initialised barriers known to TMA and to the cluster. */
__device__ __forceinline__ void barrier_init_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
/* One arrival, and this many bytes more to wait for. */
__device__ __forceinline__ void barrier_expect(uint64_t *barrier, uint32_t bytes) {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
        "r"(bytes)
        : "memory");
}
/* So many arrivals at the same barrier of the cluster's block `rank`. */
__device__ __forceinline__ void barrier_arrive(uint64_t *barrier, uint32_t rank, uint32_t count) {
    asm volatile("{\n"
                 ".reg .b32 remote;\n"
                 "mapa.shared::cluster.u32 remote, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [remote], %2;\n"
                 "}" ::"r"(shared_address(barrier)),
                 "r"(rank), "r"(count)
                 : "memory");
}
/* Until the phase of this parity is over. */
__device__ __forceinline__ void barrier_wait(uint64_t *barrier, uint32_t parity) {
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@!done bra again;\n"
                 "}" ::"r"(shared_address(barrier)),
                 "r"(parity)
                 : "memory");
}

/* ---- TMA ---------------------------------------------------------------------- */

/* A box of the tensor, whose corner is (column, row), to shared memory. */
__device__ __forceinline__ void copy_box(void *to, const CUtensorMap *map, int column, int row,
                                         uint64_t *barrier) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3}], [%4];" ::"r"(shared_address(to)),
                 "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier))
                 : "memory");
}
/* Contiguous bytes, a multiple of 16, to the same place in every block of the mask. */
__device__ __forceinline__ void copy_to_cluster(void *to, const void *from, uint32_t bytes,
                                                uint64_t *barrier, uint16_t blocks) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
                 ".multicast::cluster [%0], [%1], %2, [%3], %4;" ::"r"(shared_address(to)),
                 "l"(from), "r"(bytes), "r"(shared_address(barrier)), "h"(blocks)
                 : "memory");
}

/* Between this thread's reads of shared memory and copies over what it read. */
__device__ __forceinline__ void reads_before_copies() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* ---- warpgroups --------------------------------------------------------------------------- */

template <int COUNT> __device__ __forceinline__ void setmaxnreg_inc() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT));
}
template <int COUNT> __device__ __forceinline__ void setmaxnreg_dec() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT));
}

/* A tile [rows][64] of half, aligned to eight rows, whose 16-byte words TMA has swizzled
 * over the 128 bytes of a row.  16 columns on is 2 more. */
__device__ __forceinline__ uint64_t tile_descriptor(const void *tile) {
    const uint64_t eight_rows = 8 * 128 >> 4, swizzle = 1;
    return ((shared_address(tile) & 0x3ffff) >> 4) | (uint64_t(1) << 16) | (eight_rows << 32) |
           (swizzle << 62);
}

/* Before the first product of a batch: registers written until here may be read by it. */
__device__ __forceinline__ void products_begin() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void products_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* Until at most `LEFT` committed batches are unfinished. */
template <int LEFT> __device__ __forceinline__ void products_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
}
/* Keeps the compiler from moving uses of sums over a wait. */
template <int COUNT> __device__ __forceinline__ void settle(float *sums) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) asm volatile("" : "+f"(sums[i])::"memory");
}

#define UMAS_SUMS_8(c, d, i)                                                               \
    c(d[i]), c(d[i + 1]), c(d[i + 2]), c(d[i + 3]), c(d[i + 4]), c(d[i + 5]), c(d[i + 6]), \
        c(d[i + 7])
#define UMAS_SUMS_32(c, d, i)                                                  \
    UMAS_SUMS_8(c, d, i), UMAS_SUMS_8(c, d, i + 8), UMAS_SUMS_8(c, d, i + 16), \
        UMAS_SUMS_8(c, d, i + 24)
#define UMAS_NAMES_32_0                                                                          \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, " \
    "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define UMAS_NAMES_32_32                                                                         \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, " \
    "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define UMAS_NAMES_32_64                                                                         \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, " \
    "%82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define UMAS_NAMES_32_96                                                                           \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, "   \
    "%127"
#define UMAS_WGMMA(n, names, a, b, add)                                            \
    "{\n.reg .pred p;\nsetp.ne.b32 p, " add ", 0;\n"                               \
    "wgmma.mma_async.sync.aligned.m64n" n "k16.f32.f16.f16 {" names "}, " a ", " b \
    ", p, 1, 1, 0, 0;\n}"
#define UMAS_MULTIPLY(c, add)                                                                      \
    if constexpr (N == 128)                                                                        \
        asm volatile(UMAS_WGMMA("128", UMAS_NAMES_64, "%64", "%65", add)                           \
                     : UMAS_SUMS_32(c, sum, 0), UMAS_SUMS_32(c, sum, 32)                           \
                     : "l"(a), "l"(b));                                                            \
    if constexpr (N == 192)                                                                        \
        asm volatile(UMAS_WGMMA("192", UMAS_NAMES_64 ", " UMAS_NAMES_32_64, "%96", "%97", add)     \
                     : UMAS_SUMS_32(c, sum, 0), UMAS_SUMS_32(c, sum, 32), UMAS_SUMS_32(c, sum, 64) \
                     : "l"(a), "l"(b));                                                            \
    if constexpr (N == 256)                                                                        \
    asm volatile(UMAS_WGMMA("256", UMAS_NAMES_64 ", " UMAS_NAMES_32_64 ", " UMAS_NAMES_32_96,      \
                            "%128", "%129", add)                                                   \
                 : UMAS_SUMS_32(c, sum, 0), UMAS_SUMS_32(c, sum, 32), UMAS_SUMS_32(c, sum, 64),    \
                   UMAS_SUMS_32(c, sum, 96)                                                        \
                 : "l"(a), "l"(b))
#define UMAS_NAMES_64 UMAS_NAMES_32_0 ", " UMAS_NAMES_32_32

/* sum [64][N] = a [64][16] b [N][16]^T, added to what was there if ADD.  Of a thread's N / 2
 * sums, i lies in row 16 (warp of the group) + lane / 4 + 8 (i / 2 % 2) and in column 8 (i / 4)
 * + 2 (lane % 4) + i % 2. */
template <int N, bool ADD>
__device__ __forceinline__ void multiply(float *sum, uint64_t a, uint64_t b) {
    static_assert(N == 128 || N == 192 || N == 256, "no such product yet");
    if constexpr (ADD) {
        UMAS_MULTIPLY("+f", "1");
    } else { /* registers are free until here */
        UMAS_MULTIPLY("=f", "0");
    }
}

#undef UMAS_SUMS_8
#undef UMAS_SUMS_32
#undef UMAS_NAMES_32_0
#undef UMAS_NAMES_32_32
#undef UMAS_NAMES_32_64
#undef UMAS_NAMES_32_96
#undef UMAS_NAMES_64
#undef UMAS_WGMMA
#undef UMAS_MULTIPLY

#endif

#endif
