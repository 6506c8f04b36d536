/* The weights of the one dense model that serves a composition, task, charge and spin: what the
 * merge of the experts, docs/model.md (8) to (10), leaves for the stages.  Names of arrays are
 * those of docs/model.md. */
#ifndef UMAS_DENSE_WEIGHTS_H
#define UMAS_DENSE_WEIGHTS_H

#include "precision.h"

#define radial_weights PRECISE(umas_radial_weights)
#define so2_weights PRECISE(umas_so2_weights)
#define block_weights PRECISE(umas_block_weights)
#define dense_weights PRECISE(umas_dense_weights)
#define dense_weights_create PRECISE(umas_dense_weights_create)
#define dense_weights_destroy PRECISE(umas_dense_weights_destroy)
#define dense_weights_bytes PRECISE(umas_dense_weights_bytes)
#define merge_experts PRECISE(umas_merge_experts)

/* A radial MLP, docs/model.md (11), (12).  The part of the first layer that reads the element
 * embeddings does not depend on the distance: `source` and `target` hold its result for every
 * element, with the bias in `target`. */
typedef struct radial_weights {
    int outputs;
    real *basis;               /* [B][G] */
    real *source, *target;     /* [Z][B] */
    real *norm_0_w, *norm_0_b; /* [B] */
    real *linear_1_w;          /* [B][B] */
    real *linear_1_b;          /* [B] */
    real *norm_1_w, *norm_1_b; /* [B] */
    real *linear_2_w;          /* [outputs][B] */
    real *linear_2_b;          /* [outputs] */
} radial_weights;

/* An SO(2) convolution from K to N channels a row, `extra` scalars in front of its m = 0 part. */
typedef struct so2_weights {
    int inputs, outputs, extra; /* K, N, extra */
    real *m0_w;                 /* [extra + 3 N][3 K] */
    real *m0_b;                 /* [extra + 3 N] */
    real *m_w[2]; /* m = 1: [2][2 N][2 K], m = 2: [2][N][K]: W1 and W2 of complex_linear */
} so2_weights;

typedef struct block_weights {
    real *norm_1_w, *norm_1_b; /* [3][C], [C] */
    radial_weights radial;     /* outputs: 2 C for each of the 5 or 6 (m >= 0, l) */
    so2_weights conv_1, conv_2;
    real *norm_2_w, *norm_2_b;     /* [3][C], [C] */
    real *scalar_w, *scalar_b;     /* [2 H][C], [2 H] */
    real *linear_1_w, *linear_1_b; /* [3][H][C], [H] */
    real *linear_2_w, *linear_2_b; /* [3][C][H], [C] */
} block_weights;

typedef struct dense_weights {
    umas_architecture architecture;
    real *csd;                   /* [C] charge, spin and data set */
    real *sphere;                /* [Z][C] initial scalar features, csd included */
    radial_weights edge_degree;  /* outputs: 3 C */
    block_weights *blocks;       /* [layers] */
    real *norm_w, *norm_b;       /* [3][C], [C] */
    real *head_w[3], *head_b[3]; /* [H][C], [H][H], [1][H]; [H], [H], [1] */
    real *storage;
    size_t storage_bytes;
} dense_weights;

/* Room for one merged model; NULL when memory is exhausted. */
dense_weights *dense_weights_create(const umas_architecture *architecture);
void dense_weights_destroy(dense_weights *weights);
size_t dense_weights_bytes(const dense_weights *weights); /* that it holds */

/* Fill `weights` for a system of counts [UMAS_ELEMENTS] atoms of every element.  Routing and the
 * mixture are computed in double whatever `real` is.  Status: MEMORY.
 * Source: docs/uma_energy_reference.py, csd_embedding and merge_experts. */
umas_status merge_experts(const umas_model *model, const umas_task *task, int charge, int spin,
                          const int64_t *counts, dense_weights *weights, umas_error *error);

#endif
