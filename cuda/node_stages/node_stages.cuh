/* The stages over nodes, forward and backward, in fp32 but for what
 * norms keep: docs/model.md (13), (15), (22) to (26), and
 * their gradients, (28) to (31).
 *
 * Launchers queue kernels on a stream and return; errors show at the engine's checks.  Shapes are
 * those of core/stages.h with C = H = CHANNELS; g_ is the gradient by that array; outputs are
 * overwritten unless "added".  No kernel has floating-point atomics, so results are the same bits
 * on every run.  Arrays [.][C] begin at multiples of 16 bytes.  A count of 0 queues nothing but the
 * zeros of an empty sum. */
#ifndef UMAS_NODE_STAGES_CUH
#define UMAS_NODE_STAGES_CUH

#include <cuda_runtime.h>

/* What a norm leaves for the backward pass: its rows [.][9][C] before weights and bias, stored as N
 * (__half: mixed, float: single), and 1 / rms [.]. */
template <typename N> struct kept_norm {
    N *rows;
    float *inverse;
};
/* Weights of a norm: w [3][C], b [C]; shift [C] on l = 0, too, or NULL. */
struct norm_weights {
    const float *w, *b, *shift;
};

/* x [count][9][C] -> y [count][9][C] */
template <typename N>
void rms_norm_sh_forward(cudaStream_t stream, int count, const norm_weights &w, const float *x,
                         float *y, const kept_norm<N> &kept);
/* y once more, from what is kept; rows from `count` on, which came from other ranks as they are,
 * have been kept by rms_norm_sh_keep. */
template <typename N>
void rms_norm_sh_restore(cudaStream_t stream, int count, int all, const norm_weights &w,
                         const kept_norm<N> &kept, float *y);
template <typename N>
void rms_norm_sh_keep(cudaStream_t stream, int first, int end, const float *y,
                      const kept_norm<N> &kept);
/* g_x: added */
template <typename N>
void rms_norm_sh_backward(cudaStream_t stream, int count, const norm_weights &w,
                          const kept_norm<N> &kept, const float *g_y, float *g_x);

/* x [count][9][C]: row 0 = sphere [element], the others 0; element 0: all 0 */
void embed_nodes(cudaStream_t stream, int count, const int *element, const float *sphere, float *x);

/* Weights of an atom-wise part.  Matrices [C][C] in the order of weight_fragments, one behind
 * the other: those of the scalars by the degree they open, the others by degree; _t: their
 * transposes. */
struct atomwise_weights {
    const float *norm_w, *norm_b;                    /* [3][C], [C] */
    const float *scalar_b, *linear_1_b, *linear_2_b; /* [2][C], [C], [C] */
    const float4 *scalar, *linear_1, *linear_2;      /* 2, 3, 3 matrices */
    const float4 *scalar_t, *linear_1_t, *linear_2_t;
};
/* x_mid [count][9][C] -> x_next [count][9][C] = x_mid + atom-wise part of norm_2 of x_mid; not in
 * place */
template <typename N>
void atomwise_forward(cudaStream_t stream, int count, const atomwise_weights &w, const float *x_mid,
                      float *x_next, const kept_norm<N> &kept);
/* g_x [count][9][C]: by x_next on entry, by x_mid on return */
template <typename N>
void atomwise_backward(cudaStream_t stream, int count, const atomwise_weights &w,
                       const kept_norm<N> &kept, float *g_x);

/* Sum of scalar channels [first, end) over atoms with element != 0, in double and in a fixed order:
 * sum [end - first] in device memory.  At most 64 channels.
 * partial: scratch of balance_partials(owned) * 64 doubles. */
int balance_partials(int owned);
void balance_channels_sum(cudaStream_t stream, int owned, const int *element, int first, int end,
                          const float *x, double *partial, double *sum);
/* x[., 0, c] -= (sum[c - first] - target) / atoms for atoms with element != 0 */
void balance_channels_shift(cudaStream_t stream, int owned, const int *element, int first, int end,
                            const double *sum, double target, double atoms, float *x);

/* Both for all atoms at once and two sets of channels that have none in common, where no other rank
 * takes part: one kernel, for as many atoms as balance_channels_alone_pays says. */
struct channel_set {
    int begin, end;
    double target; /* of the sum */
};
bool balance_channels_alone_pays(int owned);
void balance_channels_alone(cudaStream_t stream, int owned, const int *element,
                            const channel_set &first, const channel_set &second, double atoms,
                            float *x);

/* Weights of the final norm and the energy head; matrices [C][C] in the order of
 * weight_fragments. */
struct head_weights {
    const float *norm_w, *norm_b;          /* [3][C], [C] */
    const float4 *linear[2], *linear_t[2]; /* a matrix each, and its transpose */
    const float *b[3], *last;              /* [C], [C], [1]; [C] */
};
/* x [count][9][C] -> energy [count], network units, and g_x [count][9][C]: gradient of
 * scale * energy by x where element != 0, else 0 */
void energy_head(cudaStream_t stream, int count, const int *element, const head_weights &w,
                 float scale, const float *x, float *energy, float *g_x);

/* Energies of owned atoms, rmsd * network + reference [element] (double, eV), 0 for element 0;
 * their sum in a fixed order in total [1].  partial: energy_partials(owned) doubles.
 * reference [UMAS_ELEMENTS] in device memory. */
int energy_partials(int owned);
void sum_energies(cudaStream_t stream, int owned, const int *element, const float *network,
                  double rmsd, const double *reference, double *atom_energy, double *partial,
                  double *total);

#endif
