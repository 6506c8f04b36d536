/* The merged weights, docs/model.md (10), in device memory, in the layouts that the products read.
 * All of them are one allocation, filled again after every merge. */
#ifndef UMAS_DEVICE_WEIGHTS_CUH
#define UMAS_DEVICE_WEIGHTS_CUH

#include <vector>

#include "core_c.h"
#include "device_buffer.cuh"
#include "node_stages/node_stages.cuh"
#include "products/wgmma_products.cuh"
#include "weights/radial_table.cuh"

/* An SO(2) convolution: one product for each m.  For m > 0 the complex product is a real one of
 * twice the size, [[W1, -W2], [W2, W1]]. */
template <typename S> struct device_so2 {
    struct part {
        int n, k;     /* shape [n][k] */
        const S *w;   /* NULL where there are tiles */
        int from, to; /* columns of the message the product starts reading, writing */
    } part[3];
    int parts;
    int width_in, width_out;
    const float *bias;               /* of the m = 0 part */
    tiled_weights forward, backward; /* for wgmma_products.cuh */
};

template <typename S> struct device_block {
    const float *norm_1_w, *norm_1_b;
    const S *radial_w; /* [outputs][HIDDEN_WIDTH], the bias behind the channels; or ... */
    tiled_weights radial_tiles;
    int radial_outputs;
    device_so2<S> conv_1, conv_2;
    atomwise_weights atomwise;
    radial_mlp radial;
};

template <typename S> struct device_weights {
    const float *csd, *sphere;
    head_weights head;
    radial_mlp edge_degree;
    std::vector<device_block<S>> block;
    device_buffer<char> memory;
};

/* Copy host weights to the device (again); tiled: convolutions' as wgmma_products.cuh wants them.
 * false: no memory. */
template <typename S>
bool upload_weights(cudaStream_t stream, const dense_weights *host, bool tiled,
                    device_weights<S> &device);

#endif
