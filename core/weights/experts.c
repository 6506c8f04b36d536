/* The merge of the experts, docs/model.md (8) to (10), and the elements' part of radial MLPs, (11).
 *
 *     csd = silu(W_mix [e_charge, e_spin, e_dataset] + b_mix)
 *     mix = softmax(routing network of [mean e_composition, csd]) + 0.005
 *     W   = sum_X mix_X W_X      for the weights of SO(2) convolutions; all others are copied
 *
 * In: the tensors of a model file, and how many atoms of every element the system has.
 * Out: dense_weights.  Computed in double, stored as `real`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "model_file/model.h"
#include "status.h"
#include "weights/dense_weights.h"

static const float *tensor(const umas_model *model, const char *prefix, const char *name) {
    char full[256];
    (void)snprintf(full, sizeof full, "%s%s", prefix, name);
    return umas_model_tensor(model, full)->value;
}

static double silu(double x) { return x / (1 + exp(-x)); }

/* y [rows] = w [rows][columns] x + b */
static void linear(int rows, int columns, const float *w, const float *b, const double *x,
                   double *y) {
    for (int i = 0; i < rows; i++) {
        double sum = b[i];
        for (int j = 0; j < columns; j++) sum += (double)w[(int64_t)i * columns + j] * x[j];
        y[i] = sum;
    }
}

static void silu_all(int count, double *x) {
    for (int i = 0; i < count; i++) x[i] = silu(x[i]);
}

/* csd [C], from the embeddings of charge, spin and data set; scratch [3 C] */
static void csd_embedding(const umas_model *model, const umas_task *task, int charge, int spin,
                          int C, double *scratch, double *csd) {
    const float *parts[3] = {
        tensor(model, "backbone.", "charge_embedding.weight") + (charge + 100) * C,
        tensor(model, "backbone.", "spin_embedding.weight") + spin * C,
        tensor(model, "backbone.", "dataset_embedding.weight") + task->embedding * C};
    for (int p = 0; p < 3; p++)
        for (int c = 0; c < C; c++) scratch[p * C + c] = parts[p][c];
    linear(C, 3 * C, tensor(model, "backbone.", "mix_csd.weight"),
           tensor(model, "backbone.", "mix_csd.bias"), scratch, csd);
    silu_all(C, csd);
}

/* mix [X]: how much of every expert; csd [C]; scratch [2 C + 2 R] */
static void route(const umas_model *model, const int64_t *counts, const double *csd,
                  double *scratch, double *mix) {
    const umas_architecture *a = umas_model_architecture(model);
    int C = a->sphere_channels, R = a->routing_channels, X = a->experts;
    const float *composition = tensor(model, "backbone.", "composition_embedding.weight");
    double *input = scratch, *hidden = scratch + 2 * C, *hidden_2 = hidden + R;
    int64_t atoms = a->composition_counts_zero_row ? 1 : 0;
    for (int c = 0; c < C; c++) input[c] = 0;
    for (int z = 1; z < a->elements && z < UMAS_ELEMENTS; z++) {
        atoms += counts[z];
        for (int c = 0; c < C && counts[z]; c++)
            input[c] += (double)counts[z] * (double)composition[z * C + c];
    }
    for (int c = 0; c < C; c++) input[c] /= (double)atoms;
    for (int c = 0; c < C; c++) input[C + c] = csd[c];
    linear(R, 2 * C, tensor(model, "backbone.routing_mlp.0.", "weight"),
           tensor(model, "backbone.routing_mlp.0.", "bias"), input, hidden);
    silu_all(R, hidden);
    linear(R, R, tensor(model, "backbone.routing_mlp.2.", "weight"),
           tensor(model, "backbone.routing_mlp.2.", "bias"), hidden, hidden_2);
    silu_all(R, hidden_2);
    linear(X, R, tensor(model, "backbone.routing_mlp.4.", "weight"),
           tensor(model, "backbone.routing_mlp.4.", "bias"), hidden_2, mix);
    silu_all(X, mix);
    double largest = mix[0], sum = 0;
    for (int x = 1; x < X; x++) largest = fmax(largest, mix[x]);
    for (int x = 0; x < X; x++) sum += mix[x] = exp(mix[x] - largest);
    for (int x = 0; x < X; x++) mix[x] = mix[x] / sum + 0.005;
}

static void copy(size_t count, const float *from, real *to) {
    for (size_t i = 0; i < count; i++) to[i] = (real)from[i];
}

/* to [count] = sum over experts of mix [X] from [X][count] */
static void blend(size_t count, int experts, const double *mix, const float *from, real *to) {
    enum { BLOCK = 1024 }; /* sums of a block stay in the first-level cache */
    int64_t blocks = (int64_t)((count + BLOCK - 1) / BLOCK);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < blocks; b++) {
        size_t first = b * BLOCK, n = count - first < BLOCK ? count - first : BLOCK;
        double sum[BLOCK] = {0};
        for (int x = 0; x < experts; x++) {
            const float *w = from + x * count + first;
            for (size_t i = 0; i < n; i++) sum[i] += mix[x] * (double)w[i];
        }
        for (size_t i = 0; i < n; i++) to[first + i] = (real)sum[i];
    }
}

/* table [Z][B] = embedding [Z][B] w^T (+ bias [B]); w: B columns of net.0, which has B rows of
 * `stride` numbers */
static void tabulate(const umas_architecture *a, const float *w, int stride, const float *embedding,
                     const float *bias, real *table) {
    int B = a->edge_channels;
#pragma omp parallel for schedule(static)
    for (int z = 0; z < a->elements; z++)
        for (int i = 0; i < B; i++) {
            double sum = bias ? bias[i] : 0;
            const float *row = w + i * stride, *e = embedding + z * B;
            for (int j = 0; j < B; j++) sum += (double)row[j] * (double)e[j];
            table[z * B + i] = (real)sum;
        }
}

static void fill_radial(const umas_model *model, const char *prefix, radial_weights *r) {
    const umas_architecture *a = umas_model_architecture(model);
    int B = a->edge_channels, G = a->distance_functions, stride = G + 2 * B;
    const float *first = tensor(model, prefix, "net.0.weight");
    for (int i = 0; i < B; i++) copy(G, first + i * stride, r->basis + i * G);
    tabulate(a, first + G, stride, tensor(model, "backbone.", "source_embedding.weight"), NULL,
             r->source);
    tabulate(a, first + G + B, stride, tensor(model, "backbone.", "target_embedding.weight"),
             tensor(model, prefix, "net.0.bias"), r->target);
    copy(B, tensor(model, prefix, "net.1.weight"), r->norm_0_w);
    copy(B, tensor(model, prefix, "net.1.bias"), r->norm_0_b);
    copy(B * B, tensor(model, prefix, "net.3.weight"), r->linear_1_w);
    copy(B, tensor(model, prefix, "net.3.bias"), r->linear_1_b);
    copy(B, tensor(model, prefix, "net.4.weight"), r->norm_1_w);
    copy(B, tensor(model, prefix, "net.4.bias"), r->norm_1_b);
    copy(r->outputs * B, tensor(model, prefix, "net.6.weight"), r->linear_2_w);
    copy(r->outputs, tensor(model, prefix, "net.6.bias"), r->linear_2_b);
}

static void fill_so2(const umas_model *model, const char *prefix, int experts, const double *mix,
                     so2_weights *w) {
    size_t K = w->inputs, N = w->outputs, first = w->extra + 3 * N;
    blend(first * 3 * K, experts, mix, tensor(model, prefix, "fc_m0.weight"), w->m0_w);
    copy(first, tensor(model, prefix, "fc_m0.bias"), w->m0_b);
    blend(4 * N * 2 * K, experts, mix, tensor(model, prefix, "so2_m_conv.0.fc.weight"), w->m_w[0]);
    if (w->m_w[1])
        blend(2 * N * K, experts, mix, tensor(model, prefix, "so2_m_conv.1.fc.weight"), w->m_w[1]);
}

static void fill_block(const umas_model *model, int layer, int experts, const double *mix,
                       block_weights *b) {
    const umas_architecture *a = umas_model_architecture(model);
    size_t C = a->sphere_channels, H = a->hidden_channels;
    char block[64], name[128];
    (void)snprintf(block, sizeof block, "backbone.blocks.%d.", layer);
    copy(3 * C, tensor(model, block, "norm_1.affine_weight"), b->norm_1_w);
    copy(C, tensor(model, block, "norm_1.affine_bias"), b->norm_1_b);
    (void)snprintf(name, sizeof name, "%sedge_wise.so2_conv_1.rad_func.", block);
    fill_radial(model, name, &b->radial);
    (void)snprintf(name, sizeof name, "%sedge_wise.so2_conv_1.", block);
    fill_so2(model, name, experts, mix, &b->conv_1);
    (void)snprintf(name, sizeof name, "%sedge_wise.so2_conv_2.", block);
    fill_so2(model, name, experts, mix, &b->conv_2);
    copy(3 * C, tensor(model, block, "norm_2.affine_weight"), b->norm_2_w);
    copy(C, tensor(model, block, "norm_2.affine_bias"), b->norm_2_b);
    copy(2 * H * C, tensor(model, block, "atom_wise.scalar_mlp.0.weight"), b->scalar_w);
    copy(2 * H, tensor(model, block, "atom_wise.scalar_mlp.0.bias"), b->scalar_b);
    copy(3 * H * C, tensor(model, block, "atom_wise.so3_linear_1.weight"), b->linear_1_w);
    copy(H, tensor(model, block, "atom_wise.so3_linear_1.bias"), b->linear_1_b);
    copy(3 * C * H, tensor(model, block, "atom_wise.so3_linear_2.weight"), b->linear_2_w);
    copy(C, tensor(model, block, "atom_wise.so3_linear_2.bias"), b->linear_2_b);
}

static void fill_head(const umas_model *model, int slot, dense_weights *w) {
    const umas_architecture *a = &w->architecture;
    const size_t C = a->sphere_channels, H = a->hidden_channels;
    const size_t in[3] = {C, H, H}, out[3] = {H, H, 1};
    for (int i = 0; i < 3; i++) {
        char prefix[64];
        (void)snprintf(prefix, sizeof prefix, "head.energy_block.%d.", 2 * i);
        size_t count = out[i] * in[i];
        copy(count, tensor(model, prefix, "weight") + slot * count, w->head_w[i]);
        copy(out[i], tensor(model, prefix, "bias"), w->head_b[i]);
    }
}

umas_status merge_experts(const umas_model *model, const umas_task *task, int charge, int spin,
                          const int64_t *counts, dense_weights *weights, umas_error *error) {
    const umas_architecture *a = umas_model_architecture(model);
    int C = a->sphere_channels, X = a->experts;
    double *work = malloc((4 * C + 2 * a->routing_channels + X + 1) * sizeof *work);
    if (!work) return umas_fail(error, UMAS_ERROR_MEMORY, "no memory to merge the experts");
    double *csd = work, *mix = csd + C, *scratch = mix + X + 1;
    csd_embedding(model, task, charge, spin, C, scratch, csd);
    mix[0] = 1; /* a dense model */
    if (X > 0) route(model, counts, csd, scratch, mix);
    int slots = X > 0 ? X : 1;

    for (int c = 0; c < C; c++) weights->csd[c] = (real)csd[c];
    const float *sphere = tensor(model, "backbone.", "sphere_embedding.weight");
    for (int z = 0; z < a->elements; z++)
        for (int c = 0; c < C; c++)
            weights->sphere[z * C + c] = (real)((double)sphere[z * C + c] + csd[c]);
    fill_radial(model, "backbone.edge_degree_embedding.rad_func.", &weights->edge_degree);
    for (int i = 0; i < a->layers; i++) fill_block(model, i, slots, mix, &weights->blocks[i]);
    copy(3 * C, tensor(model, "backbone.", "norm.affine_weight"), weights->norm_w);
    copy(C, tensor(model, "backbone.", "norm.affine_bias"), weights->norm_b);
    fill_head(model, task->head, weights);
    free(work);
    return UMAS_OK;
}
