/* Names and shapes of an architecture's tensors, in the order of docs/file-format.md. */
#include "model_file/tensor_list.h"

#include <stdio.h>

#include "row_order.h"

typedef struct listing {
    umas_tensor_shape *list; /* NULL: only count */
    int count;
} listing;

static void add(listing *l, const char *prefix, const char *name, int dimensions,
                const int64_t *shape) {
    if (l->list != NULL) {
        umas_tensor_shape *entry = &l->list[l->count];
        *entry = (umas_tensor_shape){.dimensions = dimensions};
        snprintf(entry->name, sizeof entry->name, "%s%s", prefix, name);
        for (int d = 0; d < dimensions; d++) entry->shape[d] = shape[d];
    }
    l->count++;
}

static void vector(listing *l, const char *prefix, const char *name, int64_t n) {
    add(l, prefix, name, 1, &n);
}

static void matrix(listing *l, const char *prefix, const char *name, int64_t rows,
                   int64_t columns) {
    add(l, prefix, name, 2, (int64_t[]){rows, columns});
}

static void matrices(listing *l, const char *prefix, const char *name, int64_t n, int64_t rows,
                     int64_t columns) {
    add(l, prefix, name, 3, (int64_t[]){n, rows, columns});
}

static void radial_mlp(listing *l, const char *stage, const umas_architecture *a, int64_t outputs) {
    const int64_t B = a->edge_channels;
    char net[80];
    snprintf(net, sizeof net, "%srad_func.net.", stage);
    matrix(l, net, "0.weight", B, a->distance_functions + 2 * B);
    vector(l, net, "0.bias", B);
    vector(l, net, "1.weight", B);
    vector(l, net, "1.bias", B);
    matrix(l, net, "3.weight", B, B);
    vector(l, net, "3.bias", B);
    vector(l, net, "4.weight", B);
    vector(l, net, "4.bias", B);
    matrix(l, net, "6.weight", outputs, B);
    vector(l, net, "6.bias", outputs);
}

/* `extra` rows of fc_m0 are gate scalars. */
static void so2_conv(listing *l, const char *stage, const umas_architecture *a, int64_t inputs,
                     int64_t outputs, int64_t extra) {
    const int64_t X = a->experts > 0 ? a->experts : 1;
    matrices(l, stage, "fc_m0.weight", X, 3 * outputs + extra, 3 * inputs);
    vector(l, stage, "fc_m0.bias", 3 * outputs + extra);
    matrices(l, stage, "so2_m_conv.0.fc.weight", X, 4 * outputs, 2 * inputs);
    if (a->mmax == 2) matrices(l, stage, "so2_m_conv.1.fc.weight", X, 2 * outputs, inputs);
}

static void embeddings(listing *l, const umas_architecture *a) {
    const char *backbone = "backbone.";
    const int64_t Z = a->elements, C = a->sphere_channels, B = a->edge_channels;
    const int64_t X = a->experts, R = a->routing_channels;
    matrix(l, backbone, "sphere_embedding.weight", Z, C);
    matrix(l, backbone, "charge_embedding.weight", 201, C);
    matrix(l, backbone, "spin_embedding.weight", 101, C);
    matrix(l, backbone, "dataset_embedding.weight", a->embeddings, C);
    matrix(l, backbone, "mix_csd.weight", C, 3 * C);
    vector(l, backbone, "mix_csd.bias", C);
    matrix(l, backbone, "source_embedding.weight", Z, B);
    matrix(l, backbone, "target_embedding.weight", Z, B);
    if (X > 0) {
        matrix(l, backbone, "composition_embedding.weight", Z, C);
        matrix(l, backbone, "routing_mlp.0.weight", R, 2 * C);
        vector(l, backbone, "routing_mlp.0.bias", R);
        matrix(l, backbone, "routing_mlp.2.weight", R, R);
        vector(l, backbone, "routing_mlp.2.bias", R);
        matrix(l, backbone, "routing_mlp.4.weight", X, R);
        vector(l, backbone, "routing_mlp.4.bias", X);
    }
    radial_mlp(l, "backbone.edge_degree_embedding.", a, 3 * C);
}

static void layer(listing *l, const umas_architecture *a, int index) {
    const int64_t C = a->sphere_channels, H = a->hidden_channels, K = 2 * C;
    char block[40], stage[72];
    snprintf(block, sizeof block, "backbone.blocks.%d.", index);

    matrix(l, block, "norm_1.affine_weight", 3, C);
    vector(l, block, "norm_1.affine_bias", C);
    snprintf(stage, sizeof stage, "%sedge_wise.so2_conv_1.", block);
    radial_mlp(l, stage, a, message_radials(message_rows(a->mmax)) * K);
    so2_conv(l, stage, a, K, H, 2 * H);
    snprintf(stage, sizeof stage, "%sedge_wise.so2_conv_2.", block);
    so2_conv(l, stage, a, H, C, 0);

    matrix(l, block, "norm_2.affine_weight", 3, C);
    vector(l, block, "norm_2.affine_bias", C);
    matrix(l, block, "atom_wise.scalar_mlp.0.weight", 2 * H, C);
    vector(l, block, "atom_wise.scalar_mlp.0.bias", 2 * H);
    matrices(l, block, "atom_wise.so3_linear_1.weight", 3, H, C);
    vector(l, block, "atom_wise.so3_linear_1.bias", H);
    matrices(l, block, "atom_wise.so3_linear_2.weight", 3, C, H);
    vector(l, block, "atom_wise.so3_linear_2.bias", C);
}

static void energy_head(listing *l, const umas_architecture *a) {
    const char *head = "head.energy_block.";
    const int64_t C = a->sphere_channels, H = a->hidden_channels;
    matrices(l, head, "0.weight", a->heads, H, C);
    vector(l, head, "0.bias", H);
    matrices(l, head, "2.weight", a->heads, H, H);
    vector(l, head, "2.bias", H);
    matrices(l, head, "4.weight", a->heads, 1, H);
    vector(l, head, "4.bias", 1);
}

int umas_tensor_list(const umas_architecture *architecture, umas_tensor_shape *list) {
    listing l = {.list = list};
    embeddings(&l, architecture);
    for (int i = 0; i < architecture->layers; i++) layer(&l, architecture, i);
    matrix(&l, "backbone.", "norm.affine_weight", 3, architecture->sphere_channels);
    vector(&l, "backbone.", "norm.affine_bias", architecture->sphere_channels);
    energy_head(&l, architecture);
    return l.count;
}
