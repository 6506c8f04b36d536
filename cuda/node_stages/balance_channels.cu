/* Balanced channels, docs/model.md (24); with target 0 their gradient, (29).
 *
 *     x_{i,0,c} -= (sum_j x_{j,0,c} - target) / N      for scalar channels c in [first, end)
 *
 * In and out: x [owned][9][C] fp32; sums in double, in a fixed order.
 *
 * With several ranks, or many atoms, there are two kernels: a sum (ordered_sum.cuh), which other
 * ranks may add to, and `shift`, a thread a channel of an atom.  Up to 4096 atoms on one rank, one
 * kernel does both, for both sets of channels: a block has a channel, its threads sum over atoms,
 * its warps then over their lanes, and shared memory takes one sum a warp. */
#include "device.cuh"
#include "node_stages/node_stages.cuh"
#include "node_stages/ordered_sum.cuh"

constexpr int SHIFT_THREADS = 256;

/* Scalar channels of the atoms that take part. */
struct scalar_channels {
    const int *element;
    const float *x; /* at the first channel */
    __device__ double operator()(int atom, int channel) const {
        float value = x[(size_t)atom * NODE_WIDTH + channel];
        return element[atom] ? (double)value : 0.0;
    }
};

int balance_partials(int owned) { return sum_blocks(owned); }

void balance_channels_sum(cudaStream_t stream, int owned, const int *element, int first, int end,
                          const float *x, double *partial, double *sum) {
    if (end > first)
        sum_in_order(stream, owned, end - first, scalar_channels{element, x + first}, partial, sum);
}

/* A thread a channel of an atom; x at the first channel. */
static __global__ void __launch_bounds__(SHIFT_THREADS)
    shift(int owned, const int *__restrict__ element, int channels, const double *__restrict__ sum,
          double target, double atoms, float *__restrict__ x) {
    size_t i = (size_t)blockIdx.x * SHIFT_THREADS + threadIdx.x;
    size_t atom = i / channels, channel = i % channels;
    if (atom < (size_t)owned && element[atom])
        x[atom * NODE_WIDTH + channel] -= (float)((sum[channel] - target) / atoms);
}

void balance_channels_shift(cudaStream_t stream, int owned, const int *element, int first, int end,
                            const double *sum, double target, double atoms, float *x) {
    if (owned == 0 || end <= first) return;
    size_t numbers = (size_t)owned * (end - first);
    unsigned blocks = (unsigned)((numbers + SHIFT_THREADS - 1) / SHIFT_THREADS);
    shift<<<blocks, SHIFT_THREADS, 0, stream>>>(owned, element, end - first, sum, target, atoms,
                                                x + first);
}

/* Atoms that one block a channel reads and shifts sooner than two kernels would start. */
constexpr int ALONE_ATOMS = 4096;

bool balance_channels_alone_pays(int owned) { return owned <= ALONE_ATOMS; }

/* A block a channel, of one set and then of the other. */
static __global__ void __launch_bounds__(SUM_THREADS)
    balance_alone(int owned, const int *__restrict__ element, channel_set first, channel_set second,
                  double atoms, float *x) {
    __shared__ double part[SUM_THREADS / 32];
    const int here = (int)blockIdx.x - (first.end - first.begin);
    const double target = here < 0 ? first.target : second.target;
    x += here < 0 ? first.end + here : second.begin + here;
    double own = 0;
#pragma unroll 4
    for (int atom = threadIdx.x; atom < owned; atom += SUM_THREADS)
        own += element[atom] ? (double)x[(size_t)atom * NODE_WIDTH] : 0.0;
    own = warp_sum(own);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = own;
    __syncthreads();
    const float mean = (float)((warp_sum(part[threadIdx.x % 32]) - target) / atoms);
    for (int atom = threadIdx.x; atom < owned; atom += SUM_THREADS)
        if (element[atom]) x[(size_t)atom * NODE_WIDTH] -= mean;
}

void balance_channels_alone(cudaStream_t stream, int owned, const int *element,
                            const channel_set &first, const channel_set &second, double atoms,
                            float *x) {
    const int channels = first.end - first.begin + second.end - second.begin;
    if (owned > 0 && channels > 0)
        balance_alone<<<channels, SUM_THREADS, 0, stream>>>(owned, element, first, second, atoms,
                                                            x);
}
