/* First features, docs/model.md (13): x [count][9][C], the element's scalars (with the csd in them)
 * in row 0, zeros elsewhere.  A block has a node, a thread a channel. */
#include "device.cuh"
#include "node_stages/node_stages.cuh"

/* A block a node, a thread a channel. */
static __global__ void __launch_bounds__(CHANNELS)
    embed(const int *__restrict__ element, const float *__restrict__ sphere,
          float *__restrict__ x) {
    size_t at = (size_t)blockIdx.x * NODE_WIDTH + threadIdx.x;
    int z = element[blockIdx.x];
    x[at] = z ? sphere[z * CHANNELS + threadIdx.x] : 0.0f;
#pragma unroll
    for (int k = 1; k < 9; k++) x[at + k * CHANNELS] = 0.0f;
}

void embed_nodes(cudaStream_t stream, int count, const int *element, const float *sphere,
                 float *x) {
    if (count > 0) embed<<<count, CHANNELS, 0, stream>>>(element, sphere, x);
}
