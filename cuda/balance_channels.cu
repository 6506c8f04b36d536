#include "device.cuh"
#include "node_stages.cuh"
#include "ordered_sum.cuh"

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
