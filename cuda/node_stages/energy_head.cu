/* The last norm and the energy head, docs/model.md (15), (25), forward and backward at once, (28),
 * (31); and the sum of energies, (26).
 *
 * In: x [count][9][C] fp32.
 * Out: energy [count] of the network, and g_x [count][9][C], the gradient of scale times it.
 * sum_energies: energies of atoms and their sum, eV, in double.
 *
 * A block has eight nodes and 8 warps: warp n normalises node n; then each warp has 16 of the 128
 * outputs of every product (tf32_product.cuh).  Shared memory holds one tile, the scalars that
 * the next product reads, and the nodes' moments.  Activations stay in registers between the two
 * passes, so nothing is computed or read twice. */
#include "device.cuh"
#include "node_stages/node_stages.cuh"
#include "node_stages/ordered_sum.cuh"
#include "node_stages/rms_norm.cuh"
#include "node_stages/tf32_product.cuh"

constexpr int HEAD_THREADS = PRODUCT_WARPS * 32;

/* Warp n leaves node n's normalised scalars in the tile. */
static __device__ __forceinline__ norm_moments norm_scalars(const head_weights &w, const float *x,
                                                            int warp, int lane, float4 *tile) {
    float v[9][NORM_WIDTH];
    norm_moments m = load_centred(x, lane, v);
    normalise_row(w.norm_w, w.norm_b, m.inverse, lane, v[0]);
    set_pair(tile, warp, 2 * lane, v[0][0], v[0][1]);
    set_pair(tile, warp, CHANNELS / 2 + 2 * lane, v[0][2], v[0][3]);
    return m;
}

/* The tile's contents change between two products. */
static __device__ __forceinline__ void replace_tile(float4 *tile, fragment f, const float *v) {
    __syncthreads();
    set_fragment(tile, f, v);
    __syncthreads();
}

/* g [4]: by the normalised scalars, in fragments -> g_x of all rows */
static __device__ __forceinline__ void norm_backward(const head_weights &w, fragment f, int warp,
                                                     int lane, int first, int count, const float *x,
                                                     const norm_moments *moments, float2 *part,
                                                     float *g, float *g_x) {
    float centred[4];
    float2 sum[2] = {{0, 0}, {0, 0}};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        size_t node = min(first + f.node(i), count - 1);
        centred[i] = x[node * NODE_WIDTH + f.channel(i)] - moments[f.node(i)].mean;
        g[i] *= w.norm_w[f.channel(i)];
        sum[i % 2].x += g[i] * centred[i];
        sum[i % 2].y += g[i];
    }
    sum_over_block<PRODUCT_WARPS>(sum, part, warp, lane);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (first + f.node(i) >= count) continue;
        size_t at = (size_t)(first + f.node(i)) * NODE_WIDTH + f.channel(i);
        float inverse = moments[f.node(i)].inverse;
        float along = sum[i % 2].x * (inverse * inverse / CHANNELS);
        g_x[at] = inverse * (g[i] - sum[i % 2].y / CHANNELS - balance(0) * along * centred[i]);
#pragma unroll
        for (int k = 1; k < 9; k++)
            g_x[at + k * CHANNELS] = -inverse * balance(k) * along * x[at + k * CHANNELS];
    }
}

template <int AHEAD>
static __global__ void __launch_bounds__(HEAD_THREADS)
    head_kernel(int count, const int *__restrict__ element, head_weights w, float scale,
                const float *__restrict__ x, float *__restrict__ energy, float *__restrict__ g_x) {
    __shared__ float4 tile[TILE];
    __shared__ norm_moments moments[TILE_NODES];
    __shared__ float2 part[PRODUCT_WARPS * TILE_NODES];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, first = blockIdx.x * TILE_NODES;
    const fragment f(warp, lane);
    weight_reader<AHEAD> weights(w.linear[0], warp, lane);
    norm_moments m =
        norm_scalars(w, x + (size_t)min(first + warp, count - 1) * NODE_WIDTH, warp, lane, tile);
    if (lane == 0) moments[warp] = m;
    __syncthreads();

    float in_0[1][4] = {}, in_1[1][4] = {}, out[4];
    weights.template multiply<1>(tile, in_0, w.linear[1]);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        in_0[0][i] += w.b[0][f.channel(i)];
        out[i] = silu(in_0[0][i]);
    }
    replace_tile(tile, f, out);
    weights.template multiply<1>(tile, in_1, w.linear_t[1]);
    float2 sum[2] = {{0, 0}, {0, 0}};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int c = f.channel(i), z = element[min(first + f.node(i), count - 1)];
        in_1[0][i] += w.b[1][c];
        sum[i % 2].x += w.last[c] * silu(in_1[0][i]);
        out[i] = z ? scale * w.last[c] * silu_slope(in_1[0][i]) : 0.0f;
    }
    sum_over_block<PRODUCT_WARPS>(sum, part, warp, lane);
    if (threadIdx.x < 4)
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (first + f.node(i) < count) energy[first + f.node(i)] = sum[i].x + w.b[2][0];

    float g_1[1][4] = {}, g_0[1][4] = {};
    replace_tile(tile, f, out);
    weights.template multiply<1>(tile, g_1, w.linear_t[0]);
#pragma unroll
    for (int i = 0; i < 4; i++) g_1[0][i] *= silu_slope(in_0[0][i]);
    replace_tile(tile, f, g_1[0]);
    weights.template multiply<1>(tile, g_0, w.linear_t[0]);
    norm_backward(w, f, warp, lane, first, count, x, moments, part, g_0[0], g_x);
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

void energy_head(cudaStream_t stream, int count, const int *element, const head_weights &w,
                 float scale, const float *x, float *energy, float *g_x) {
    if (count == 0) return;
    const int blocks = (count - 1) / TILE_NODES + 1;
    auto kernel = few_blocks(blocks) ? head_kernel<PRODUCT_STEPS> : head_kernel<MANY_AHEAD>;
    kernel<<<blocks, HEAD_THREADS, 0, stream>>>(count, element, w, scale, x, energy, g_x);
}

int energy_partials(int owned) { return sum_blocks(owned); }

void sum_energies(cudaStream_t stream, int owned, const int *element, const float *network,
                  double rmsd, const double *reference, double *atom_energy, double *partial,
                  double *total) {
    sum_in_order(stream, owned, 1, energy_of_atom{element, network, rmsd, reference, atom_energy},
                 partial, total);
}
