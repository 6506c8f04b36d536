/* The energy head between its products, and the sum of energies.  A block a node, a thread a
 * channel, where nothing else is said. */
#include "device.cuh"
#include "node_stages.cuh"
#include "ordered_sum.cuh"

static __global__ void __launch_bounds__(CHANNELS)
    activate(const float *__restrict__ b, const float *__restrict__ linear,
             float *__restrict__ hidden) {
    size_t at = (size_t)blockIdx.x * CHANNELS + threadIdx.x;
    hidden[at] = silu(linear[at] + b[threadIdx.x]);
}

/* A warp a node. */
static __global__ void __launch_bounds__(32)
    energies(const float *__restrict__ w, const float *__restrict__ b,
             const float *__restrict__ hidden, float *__restrict__ energy) {
    const float *row = hidden + (size_t)blockIdx.x * CHANNELS;
    float sum = 0;
#pragma unroll
    for (int c = threadIdx.x; c < CHANNELS; c += 32) sum += w[c] * row[c];
    sum = warp_sum(sum);
    if (threadIdx.x == 0) energy[blockIdx.x] = sum + b[0];
}

static __global__ void __launch_bounds__(CHANNELS)
    seed(const int *__restrict__ element, const float *__restrict__ w, const float *__restrict__ b,
         const float *__restrict__ linear, float scale, float *__restrict__ g) {
    size_t at = (size_t)blockIdx.x * CHANNELS + threadIdx.x;
    float slope = scale * w[threadIdx.x] * silu_slope(linear[at] + b[threadIdx.x]);
    g[at] = element[blockIdx.x] ? slope : 0.0f;
}

static __global__ void __launch_bounds__(CHANNELS)
    activate_backward(const float *__restrict__ b, const float *__restrict__ linear,
                      float *__restrict__ g) {
    size_t at = (size_t)blockIdx.x * CHANNELS + threadIdx.x;
    g[at] *= silu_slope(linear[at] + b[threadIdx.x]);
}

static __global__ void __launch_bounds__(CHANNELS)
    spread(const float *__restrict__ row, float *__restrict__ x) {
    size_t at = (size_t)blockIdx.x * NODE_WIDTH + threadIdx.x;
    x[at] = row[(size_t)blockIdx.x * CHANNELS + threadIdx.x];
#pragma unroll
    for (int k = 1; k < 9; k++) x[at + k * CHANNELS] = 0.0f;
}

/* An atom's energy, eV, kept in atom_energy. */
struct energy_of_atom {
    const int *element;
    const float *network;
    double rmsd;
    const double *reference;
    double *atom_energy;
    __device__ double operator()(int atom, int) const {
        int z = element[atom];
        double energy = z ? rmsd * (double)network[atom] + reference[z] : 0.0;
        atom_energy[atom] = energy;
        return energy;
    }
};

void head_activate(cudaStream_t stream, int count, const float *b, const float *linear,
                   float *hidden) {
    if (count > 0) activate<<<count, CHANNELS, 0, stream>>>(b, linear, hidden);
}

void head_energy(cudaStream_t stream, int count, const float *w, const float *b,
                 const float *hidden, float *energy) {
    if (count > 0) energies<<<count, 32, 0, stream>>>(w, b, hidden, energy);
}

void head_seed(cudaStream_t stream, int count, const int *element, const float *w, const float *b,
               const float *linear, float scale, float *g) {
    if (count > 0) seed<<<count, CHANNELS, 0, stream>>>(element, w, b, linear, scale, g);
}

void head_activate_backward(cudaStream_t stream, int count, const float *b, const float *linear,
                            float *g) {
    if (count > 0) activate_backward<<<count, CHANNELS, 0, stream>>>(b, linear, g);
}

void spread_scalars(cudaStream_t stream, int count, const float *row, float *x) {
    if (count > 0) spread<<<count, CHANNELS, 0, stream>>>(row, x);
}

int energy_partials(int owned) { return sum_blocks(owned); }

void sum_energies(cudaStream_t stream, int owned, const int *element, const float *network,
                  double rmsd, const double *reference, double *atom_energy, double *partial,
                  double *total) {
    sum_in_order(stream, owned, 1, energy_of_atom{element, network, rmsd, reference, atom_energy},
                 partial, total);
}
