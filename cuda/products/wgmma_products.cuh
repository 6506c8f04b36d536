/* The edges' convolutions on Hopper in 16 bits, docs/model.md (17) to (20), (27), (33): all
 * products of an SO(2) convolution in one launch, fused with the gate between the two
 * convolutions.  Weights are packed once per merge, on the host, into the tiles that the kernels
 * copy (wgmma_pipeline.cuh). */
#ifndef UMAS_WGMMA_PRODUCTS_CUH
#define UMAS_WGMMA_PRODUCTS_CUH

#include <vector>

#include "products/wgmma_pipeline.cuh"
#include "weights/so2_matrices.h"

/* Does this device have these kernels? */
bool tiles_supported(int device);

/* Tiles of a convolution's weights, or of their transposes for gradients, appended to `image`;
 * .tiles is left to the caller.
 * gated: two parts, each half of the channels of all rows, so that a block has the gates of what it
 * multiplies; else a part for every so many columns. */
tiled_weights pack_tiles(const so2_matrices &w, int rows, bool transposed, bool gated,
                         std::vector<__half> &image);
/* The same of a matrix [n][k], n a multiple of 256. */
tiled_weights pack_tiles(const float *w, int n, int k, std::vector<__half> &image);

/* message [edges][rows 2 C] -> gated, with conv1's bias [5 C].  These launchers say whether the
 * kernel could be queued. */
bool so2_gate_forward(cudaStream_t stream, int rows, const edge_list &edges, edge_span span,
                      const tiled_weights &w, const float *bias, const __half *message,
                      __half *gated);
/* g_conv_2 [edges][rows C], gated -> g_conv_1 [edges][2 C gates, rows C] */
bool so2_gate_backward(cudaStream_t stream, int rows, const edge_list &edges, edge_span span,
                       const tiled_weights &w, const __half *g_conv_2, const __half *gated,
                       __half *g_conv_1);
/* y [edges][width_y] of x [edges][width_x]: the products of a convolution, or that of the radial
 * functions with the hidden layer's HIDDEN_WIDTH */
bool tiled_products(cudaStream_t stream, const edge_list &edges, edge_span span,
                    const tiled_weights &w, const __half *x, int width_x, __half *y, int width_y);

/* Rows [edges][width] as TMA sees them: boxes of TILE_COLUMNS columns of a tile's rows. */
bool tile_map(const __half *rows, int edges, int width, int tile_rows, CUtensorMap *map);
/* What clusters work on one at a time: parts of pairs of tiles. */
inline int tile_units(edge_span span, int tile_rows, int parts) {
    return (span.size + CLUSTER * tile_rows - 1) / (CLUSTER * tile_rows) * parts;
}
/* Blocks that run at a time, whole clusters. */
int tile_blocks();
/* Are tiles of 64 edges done sooner than tiles of 128?  Each takes a little more than half the
 * time. */
bool small_tiles_pay(edge_span span, int parts);

template <int WARPGROUPS, typename... Parameters, typename... Arguments>
bool launch_tiles(void (*kernel)(Parameters...), cudaStream_t stream, edge_span span, int parts,
                  const Arguments &...arguments) {
    const void *symbol = reinterpret_cast<const void *>(kernel);
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute cluster = {};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {CLUSTER, 1, 1};
    using shape = tile_shape<WARPGROUPS>;
    if (cudaFuncSetAttribute(symbol, cudaFuncAttributeMaxDynamicSharedMemorySize, shape::MEMORY) !=
        cudaSuccess)
        return false;
    const int units = tile_units(span, shape::EDGES, parts);
    config.gridDim = {unsigned(min(units * CLUSTER, tile_blocks())), 1, 1};
    config.blockDim = {unsigned(shape::THREADS), 1, 1};
    config.dynamicSmemBytes = shape::MEMORY;
    config.stream = stream;
    config.attrs = &cluster;
    config.numAttrs = 1;
    return cudaLaunchKernelEx(&config, kernel, arguments...) == cudaSuccess;
}

#endif
