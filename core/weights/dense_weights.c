/* Memory of the merged weights: one allocation, in which every array begins at a cache line. */
#include "weights/dense_weights.h"

#include <stdlib.h>

#include "row_order.h"

/* Hands out pieces of one allocation.  With base NULL it only adds up how much that is. */
typedef struct layout {
    real *base;
    size_t used;
} layout;

static real *take(layout *l, size_t count) {
    size_t at = l->used;
    l->used += (count + 15) / 16 * 16; /* whole cache lines */
    return l->base ? l->base + at : NULL;
}

static void lay_out_radial(layout *l, const umas_architecture *a, int outputs, radial_weights *r) {
    size_t B = a->edge_channels, Z = a->elements;
    r->outputs = outputs;
    r->basis = take(l, B * a->distance_functions);
    r->source = take(l, Z * B);
    r->target = take(l, Z * B);
    r->norm_0_w = take(l, B);
    r->norm_0_b = take(l, B);
    r->linear_1_w = take(l, B * B);
    r->linear_1_b = take(l, B);
    r->norm_1_w = take(l, B);
    r->norm_1_b = take(l, B);
    r->linear_2_w = take(l, outputs * B);
    r->linear_2_b = take(l, outputs);
}

static void lay_out_so2(layout *l, const umas_architecture *a, int inputs, int outputs, int extra,
                        so2_weights *w) {
    size_t K = inputs, N = outputs, first = extra + 3 * N;
    w->inputs = inputs;
    w->outputs = outputs;
    w->extra = extra;
    w->m0_w = take(l, first * 3 * K);
    w->m0_b = take(l, first);
    w->m_w[0] = take(l, 2 * 2 * N * 2 * K);
    w->m_w[1] = a->mmax == 2 ? take(l, 2 * N * K) : NULL;
}

static void lay_out_block(layout *l, const umas_architecture *a, block_weights *b) {
    size_t C = a->sphere_channels, H = a->hidden_channels;
    b->norm_1_w = take(l, 3 * C);
    b->norm_1_b = take(l, C);
    lay_out_radial(l, a, 2 * a->sphere_channels * message_radials(message_rows(a->mmax)),
                   &b->radial);
    lay_out_so2(l, a, 2 * a->sphere_channels, a->hidden_channels, 2 * a->hidden_channels,
                &b->conv_1);
    lay_out_so2(l, a, a->hidden_channels, a->sphere_channels, 0, &b->conv_2);
    b->norm_2_w = take(l, 3 * C);
    b->norm_2_b = take(l, C);
    b->scalar_w = take(l, 2 * H * C);
    b->scalar_b = take(l, 2 * H);
    b->linear_1_w = take(l, 3 * H * C);
    b->linear_1_b = take(l, H);
    b->linear_2_w = take(l, 3 * C * H);
    b->linear_2_b = take(l, C);
}

static void lay_out(layout *l, dense_weights *w) {
    const umas_architecture *a = &w->architecture;
    size_t C = a->sphere_channels, H = a->hidden_channels;
    w->csd = take(l, C);
    w->sphere = take(l, a->elements * C);
    lay_out_radial(l, a, 3 * a->sphere_channels, &w->edge_degree);
    for (int i = 0; i < a->layers; i++) lay_out_block(l, a, &w->blocks[i]);
    w->norm_w = take(l, 3 * C);
    w->norm_b = take(l, C);
    const size_t in[3] = {C, H, H}, out[3] = {H, H, 1};
    for (int i = 0; i < 3; i++) {
        w->head_w[i] = take(l, out[i] * in[i]);
        w->head_b[i] = take(l, out[i]);
    }
}

dense_weights *dense_weights_create(const umas_architecture *architecture) {
    dense_weights *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->architecture = *architecture;
    w->blocks = calloc(architecture->layers, sizeof *w->blocks);
    if (w->blocks) {
        layout l = {NULL, 0};
        lay_out(&l, w);
        w->storage_bytes = (l.used * sizeof(real) + 63) / 64 * 64;
        l.base = w->storage = aligned_alloc(64, w->storage_bytes);
        l.used = 0;
        if (w->storage) lay_out(&l, w);
    }
    if (w->storage) return w;
    dense_weights_destroy(w);
    return NULL;
}

size_t dense_weights_bytes(const dense_weights *weights) {
    return sizeof *weights + weights->storage_bytes +
           weights->architecture.layers * sizeof *weights->blocks;
}

void dense_weights_destroy(dense_weights *weights) {
    if (!weights) return;
    free(weights->storage);
    free(weights->blocks);
    free(weights);
}
