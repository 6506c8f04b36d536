/* The atom-wise part between its products.  A block a node, a thread a channel of all nine rows. */
#include "device.cuh"
#include "node_stages.cuh"

static __device__ constexpr int gate_of(int row) { return row < 4 ? 0 : 1; }

static __global__ void __launch_bounds__(CHANNELS)
    gate_forward(const float *__restrict__ b, const float *__restrict__ sb,
                 const float *__restrict__ linear, const float *__restrict__ scalar,
                 float *__restrict__ out) {
    size_t node = blockIdx.x;
    int c = threadIdx.x;
    linear += node * NODE_WIDTH + c;
    scalar += node * 2 * CHANNELS + c;
    out += node * NODE_WIDTH + c;
    float open[2];
#pragma unroll
    for (int l = 0; l < 2; l++)
        open[l] = sigmoid(silu(scalar[l * CHANNELS] + sb[l * CHANNELS + c]));
    out[0] = silu(linear[0] + b[c]);
#pragma unroll
    for (int k = 1; k < 9; k++) out[k * CHANNELS] = linear[k * CHANNELS] * open[gate_of(k)];
}

/* g_linear may be g_out: a thread reads all it needs of both before it writes. */
static __global__ void __launch_bounds__(CHANNELS)
    gate_backward(const float *__restrict__ b, const float *__restrict__ sb,
                  const float *__restrict__ linear, const float *__restrict__ scalar,
                  const float *g_out, float *g_linear, float *__restrict__ g_scalar) {
    size_t node = blockIdx.x;
    int c = threadIdx.x;
    linear += node * NODE_WIDTH + c;
    scalar += node * 2 * CHANNELS + c;
    g_out += node * NODE_WIDTH + c;
    g_linear += node * NODE_WIDTH + c;
    g_scalar += node * 2 * CHANNELS + c;
    float in[2], open[2], g_open[2] = {0, 0}, g[9];
#pragma unroll
    for (int k = 0; k < 9; k++) g[k] = g_out[k * CHANNELS];
#pragma unroll
    for (int l = 0; l < 2; l++) {
        in[l] = scalar[l * CHANNELS] + sb[l * CHANNELS + c];
        open[l] = sigmoid(silu(in[l]));
    }
    g[0] *= silu_slope(linear[0] + b[c]);
#pragma unroll
    for (int k = 1; k < 9; k++) {
        g_open[gate_of(k)] += g[k] * linear[k * CHANNELS];
        g[k] *= open[gate_of(k)];
    }
#pragma unroll
    for (int k = 0; k < 9; k++) g_linear[k * CHANNELS] = g[k];
#pragma unroll
    for (int l = 0; l < 2; l++)
        g_scalar[l * CHANNELS] = g_open[l] * open[l] * (1.0f - open[l]) * silu_slope(in[l]);
}

/* y may be x or linear. */
static __global__ void __launch_bounds__(CHANNELS)
    residual(const float *__restrict__ b, const float *x, const float *linear, float *y) {
    size_t at = (size_t)blockIdx.x * NODE_WIDTH + threadIdx.x;
    float sum[9];
#pragma unroll
    for (int k = 0; k < 9; k++) sum[k] = x[at + k * CHANNELS] + linear[at + k * CHANNELS];
    sum[0] += b[threadIdx.x];
#pragma unroll
    for (int k = 0; k < 9; k++) y[at + k * CHANNELS] = sum[k];
}

void atomwise_gate_forward(cudaStream_t stream, int count, const float *b, const float *sb,
                           const float *linear, const float *scalar, float *out) {
    if (count > 0) gate_forward<<<count, CHANNELS, 0, stream>>>(b, sb, linear, scalar, out);
}

void atomwise_gate_backward(cudaStream_t stream, int count, const float *b, const float *sb,
                            const float *linear, const float *scalar, const float *g_out,
                            float *g_linear, float *g_scalar) {
    if (count > 0)
        gate_backward<<<count, CHANNELS, 0, stream>>>(b, sb, linear, scalar, g_out, g_linear,
                                                      g_scalar);
}

void add_residual(cudaStream_t stream, int count, const float *b, const float *x,
                  const float *linear, float *y) {
    if (count > 0) residual<<<count, CHANNELS, 0, stream>>>(b, x, linear, y);
}
