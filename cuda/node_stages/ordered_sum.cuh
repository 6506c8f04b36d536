/* Sums over the rows of a table in double, in an order that the number of rows alone decides: the
 * same bits on every run.
 *
 * A block sums up to 2048 rows.  Neighbouring threads have the columns of a row; each thread adds
 * up every so many rows, and shared memory, a double a thread, takes a tree over the threads of a
 * column.  With more than one block, a second launch of one block adds up the blocks' sums. */
#ifndef UMAS_ORDERED_SUM_CUH
#define UMAS_ORDERED_SUM_CUH

#include <cuda_runtime.h>

constexpr int SUM_THREADS = 1024;
/* Few enough for one block to read quickly, many enough for 2000 atoms to need one launch. */
constexpr int SUM_ROWS = 2048;

/* Blocks of a sum over `rows`; at least one, which writes the zeros of an empty sum. */
inline int sum_blocks(int rows) { return rows > SUM_ROWS ? (rows - 1) / SUM_ROWS + 1 : 1; }

/* sum [gridDim.x][columns] of term(row, column) over rows_a_block rows each. lanes: a power of
 * two, columns <= lanes < SUM_THREADS, the neighbouring threads that share a row. */
template <typename Term>
static __global__ void __launch_bounds__(SUM_THREADS)
    sum_rows(int rows, int rows_a_block, int columns, int lanes, Term term,
             double *__restrict__ sum) {
    __shared__ double part[SUM_THREADS];
    int column = threadIdx.x % lanes, first = blockIdx.x * rows_a_block;
    int count = min(rows - first, rows_a_block);
    double own = 0;
    if (column < columns) {
#pragma unroll 4
        for (int row = threadIdx.x / lanes; row < count; row += SUM_THREADS / lanes)
            own += term(first + row, column);
    }
    part[threadIdx.x] = own;
    for (int half = SUM_THREADS / 2; half >= lanes; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    }
    if (threadIdx.x < columns) sum[(size_t)blockIdx.x * columns + threadIdx.x] = part[threadIdx.x];
}

/* The sums of blocks as a table of their own. */
struct block_sums {
    const double *sum;
    int columns;
    __device__ double operator()(int block, int column) const {
        return sum[(size_t)block * columns + column];
    }
};

/* sum [columns] of term(row, column); partial: scratch [sum_blocks(rows)][columns] */
template <typename Term>
void sum_in_order(cudaStream_t stream, int rows, int columns, Term term, double *partial,
                  double *sum) {
    int lanes = 1, blocks = sum_blocks(rows);
    while (lanes < columns) lanes *= 2;
    sum_rows<<<blocks, SUM_THREADS, 0, stream>>>(rows, SUM_ROWS, columns, lanes, term,
                                                 blocks == 1 ? sum : partial);
    if (blocks > 1)
        sum_rows<<<1, SUM_THREADS, 0, stream>>>(blocks, blocks, columns, lanes,
                                                block_sums{partial, columns}, sum);
}

#endif
