/* The stages that work on nodes, forward and backward, in fp32.  Launchers: they queue kernels on
 * a stream and return; errors show at the engine's checks.  Shapes as in core/stages.h with
 * C = H = CHANNELS; g_ is the gradient by that array; outputs are overwritten unless "added".
 * Nothing uses floating-point atomics: the same bits on every run.  Arrays [.][C] begin at
 * multiples of 16 bytes.  A count of 0 queues nothing but the zeros of an empty sum. */
#ifndef UMAS_NODE_STAGES_CUH
#define UMAS_NODE_STAGES_CUH

#include <cuda_runtime.h>

/* x [count][9][C] -> y [count][9][C]; w [3][C], b [C]; shift [C] on l = 0, or NULL */
void rms_norm_sh_forward(cudaStream_t stream, int count, const float *w, const float *b,
                         const float *shift, const float *x, float *y);
/* g_x: added */
void rms_norm_sh_backward(cudaStream_t stream, int count, const float *w, const float *x,
                          const float *g_y, float *g_x);

/* x [count][9][C]: row 0 = sphere [element], the others 0; element 0: all 0 */
void embed_nodes(cudaStream_t stream, int count, const int *element, const float *sphere, float *x);

/* Gate of the atom-wise part.  linear [count][9][C] without its bias b [C] (l = 0);
 * scalar [count][2 C] without its bias sb [2 C], before its silu; out [count][9][C]. */
void atomwise_gate_forward(cudaStream_t stream, int count, const float *b, const float *sb,
                           const float *linear, const float *scalar, float *out);
/* g_linear [count][9][C], g_scalar [count][2 C] (by scalar, silu included); may alias g_out. */
void atomwise_gate_backward(cudaStream_t stream, int count, const float *b, const float *sb,
                            const float *linear, const float *scalar, const float *g_out,
                            float *g_linear, float *g_scalar);
/* y [count][9][C] = x + linear, plus b [C] on l = 0 */
void add_residual(cudaStream_t stream, int count, const float *b, const float *x,
                  const float *linear, float *y);

/* Sum of scalar channels [first, end) over atoms with element != 0, in double and in a fixed order:
 * sum [end - first] in device memory.  At most 64 channels.
 * partial: scratch of balance_partials(owned) * 64 doubles. */
int balance_partials(int owned);
void balance_channels_sum(cudaStream_t stream, int owned, const int *element, int first, int end,
                          const float *x, double *partial, double *sum);
/* x[., 0, c] -= (sum[c - first] - target) / atoms for atoms with element != 0 */
void balance_channels_shift(cudaStream_t stream, int owned, const int *element, int first, int end,
                            const double *sum, double target, double atoms, float *x);

/* Energy head between its products: hidden = silu(linear + b), [count][C] each */
void head_activate(cudaStream_t stream, int count, const float *b, const float *linear,
                   float *hidden);
/* energy [count] = w . hidden + b, network units */
void head_energy(cudaStream_t stream, int count, const float *w, const float *b,
                 const float *hidden, float *energy);
/* g [count][C] = scale * w * silu'(linear + b): gradient by `linear` of scale * energy, where
 * element != 0, else 0 */
void head_seed(cudaStream_t stream, int count, const int *element, const float *w, const float *b,
               const float *linear, float scale, float *g);
/* g *= silu'(linear + b), [count][C] */
void head_activate_backward(cudaStream_t stream, int count, const float *b, const float *linear,
                            float *g);
/* x [count][9][C]: row 0 = row [count][C], the others 0 */
void spread_scalars(cudaStream_t stream, int count, const float *row, float *x);

/* Energies of owned atoms, rmsd * network + reference [element] (double, eV), 0 for element 0;
 * their sum in a fixed order in total [1].  partial: energy_partials(owned) doubles.
 * reference [UMAS_ELEMENTS] in device memory. */
int energy_partials(int owned);
void sum_energies(cudaStream_t stream, int owned, const int *element, const float *network,
                  double rmsd, const double *reference, double *atom_energy, double *partial,
                  double *total);

#endif
