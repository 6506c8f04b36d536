/* One evaluation on the CPU: docs/model.md, forward (13) to (25), backward (28) to (36), then
 * (26), (37), (38).  (1), (2) are in `prepare`; (3) to (6), (11), (12) are done for each chunk,
 * forward and again backward.
 *
 * In: the atoms of this rank, positions in A.
 * Out: energy and virial in eV, forces in eV/A.
 *
 * Threads share out chunks of edges (of whole targets, cpu_workspace.h) and blocks of nodes.  Every
 * sum runs in the order of atoms and edges, so that results are the same bits for any number of
 * threads. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blas.h"
#include "engine/cpu_workspace.h"
#include "engine/engine.h"
#include "engine/row_exchange.h"
#include "row_order.h"
#include "status.h"

typedef struct cpu_engine {
    umas_engine_setup setup;
    const umas_architecture *a;
    dense_weights *weights;
    workspace ws;
    int64_t system_atoms;
} cpu_engine;

/* One evaluation's arguments. */
typedef struct step {
    const cpu_engine *engine;
    const umas_architecture *a;
    const dense_weights *weights;
    const umas_atoms *atoms;
    int64_t system_atoms;
    workspace *ws;
    int rows; /* of a message */
} step;

/* ---- chunks ------------------------------------------------------------------------------- */

static int64_t first_edge(const workspace *ws, int chunk) {
    return ws->edges.first[ws->chunk_first[chunk]];
}

/* This thread's buffers with the geometry of a chunk of edges in them. */
static edge_buffers *load_chunk(const step *s, int chunk) {
    workspace *ws = s->ws;
    edge_buffers *b = &ws->edge[omp_get_thread_num()];
    int64_t first = first_edge(ws, chunk);
    b->chunk.edges = (int)(first_edge(ws, chunk + 1) - first);
    b->chunk.source = ws->edges.source_node + first;
    b->chunk.target = ws->edges.target + first;
    for (int e = 0; e < b->chunk.edges; e++) {
        b->source_element[e] = s->atoms->element[ws->edges.source[first + e]];
        b->target_element[e] = s->atoms->element[ws->edges.target[first + e]];
    }
    b->chunk.source_element = b->source_element;
    b->chunk.target_element = b->target_element;
    edge_geometry_forward(s->a, (const double(*)[3])(ws->edges.vector + first), &b->chunk);
    return b;
}

/* Where a chunk's activations are: among those that are kept, or in the thread's buffers.  Returns
 * whether they are kept. */
static int kept_activations(const step *s, int layer, int chunk, const edge_buffers *b,
                            real **conv_1, real **conv_2) {
    const workspace *ws = s->ws;
    size_t at = ws->kept_at[layer * (int64_t)ws->chunks + chunk];
    *conv_1 = at == NOT_KEPT ? b->conv_1 : ws->kept + at;
    const int64_t conv_1_size = (int64_t)b->chunk.edges * (s->rows + 2) * s->a->hidden_channels;
    *conv_2 = at == NOT_KEPT ? b->conv_2 : *conv_1 + conv_1_size;
    return at != NOT_KEPT;
}

/* Lines (16) to (21) for a chunk, up to the second convolution. */
static void convolve(const step *s, int layer, edge_buffers *b, real *conv_1, real *conv_2) {
    const block_weights *w = &s->weights->blocks[layer];
    int C = s->a->sphere_channels, H = s->a->hidden_channels, edges = b->chunk.edges;
    int width = (s->rows + 2) * H;
    node_to_edge_wigner_permute_forward(&b->chunk, s->rows, C, s->ws->node.h[layer], b->radial,
                                        b->message);
    so2_conv_forward(edges, s->rows, &w->conv_1, b->message, conv_1);
    gate_forward(edges, s->rows, H, DEGREE_OF_ROW, conv_1 + 2 * H, width, conv_1, width, b->gated);
    so2_conv_forward(edges, s->rows, &w->conv_2, b->gated, conv_2);
}

/* ---- edge part of a layer ----------------------------------------------------------------- */

/* x_mid += the messages of all edges */
static void edges_forward(const step *s, int layer, real *x_mid) {
    workspace *ws = s->ws;
#pragma omp parallel for schedule(dynamic, 1)
    for (int chunk = 0; chunk < ws->chunks; chunk++) {
        edge_buffers *b = load_chunk(s, chunk);
        real *conv_1, *conv_2;
        (void)kept_activations(s, layer, chunk, b, &conv_1, &conv_2);
        unified_radial_mlp_forward(s->a, &s->weights->blocks[layer].radial, &b->chunk,
                                   &b->radial_act, b->radial);
        convolve(s, layer, b, conv_1, conv_2);
        permute_wigner_inv_edge_to_node_forward(&b->chunk, s->rows, s->a->sphere_channels, 1,
                                                conv_2, x_mid);
    }
}

/* From g_x to the chunk's part of `gradient`, node.g_target and g_source [edges of the
 * chunk][9][C]. */
static void chunk_backward(const step *s, int layer, int chunk, real *g_source) {
    workspace *ws = s->ws;
    const block_weights *w = &s->weights->blocks[layer];
    int C = s->a->sphere_channels, H = s->a->hidden_channels, width = (s->rows + 2) * H;
    edge_buffers *b = load_chunk(s, chunk);
    umas_edge_gradient *gradient = ws->gradient + first_edge(ws, chunk);
    real *conv_1, *conv_2;
    int kept = kept_activations(s, layer, chunk, b, &conv_1, &conv_2);
    unified_radial_mlp_forward(s->a, &w->radial, &b->chunk, &b->radial_act, b->radial);
    if (!kept) convolve(s, layer, b, conv_1, conv_2);

    permute_wigner_inv_edge_to_node_backward(&b->chunk, s->rows, C, 1, conv_2, ws->node.g_x,
                                             b->g_conv_2, gradient);
    so2_conv_backward(b->chunk.edges, s->rows, &w->conv_2, b->g_conv_2, b->gated);
    gate_backward(b->chunk.edges, s->rows, H, DEGREE_OF_ROW, conv_1 + 2 * H, width, conv_1, width,
                  b->gated, conv_1 + 2 * H, conv_1);
    so2_conv_backward(b->chunk.edges, s->rows, &w->conv_1, conv_1, b->message);
    node_to_edge_wigner_permute_backward(&b->chunk, s->rows, C, ws->node.h[layer], b->radial,
                                         b->message, b->g_radial, g_source, ws->node.g_target,
                                         gradient);
    unified_radial_mlp_backward(s->a, &w->radial, &b->chunk, &b->radial_act, b->g_radial, gradient);
}

/* Add the source gradients of edges begin .. end - 1 to the nodes they leave: a thread has a node
 * and adds up its edges in their order. */
static void sum_over_sources(const step *s, int64_t begin, int64_t end) {
    workspace *ws = s->ws;
    const umas_edges *edges = &ws->edges;
    int width = 9 * s->a->sphere_channels;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < s->atoms->nodes; n++) {
        real *sum = ws->node.g_source + (int64_t)n * width;
        int64_t at = ws->cursor[n];
        for (; at < edges->out_first[n + 1] && edges->out[at] < end; at++) {
            const real *g = ws->wave_g_source + (edges->out[at] - begin) * width;
            for (int i = 0; i < width; i++) sum[i] += g[i];
        }
        ws->cursor[n] = at;
    }
}

/* From g_x, the gradient by x_mid, to g_source and g_target.  Chunks go in waves: the source
 * gradients of a wave's edges are stored one by one and then summed, so that they need room for a
 * wave only. */
static void edges_backward(const step *s, int layer) {
    workspace *ws = s->ws;
    size_t width = 9 * s->a->sphere_channels;
    memset(ws->node.g_source, 0, s->atoms->nodes * width * sizeof(real));
    memset(ws->node.g_target, 0, s->atoms->owned * width * sizeof(real));
    memcpy(ws->cursor, ws->edges.out_first, s->atoms->nodes * sizeof *ws->cursor);
    for (int from = 0; from < ws->chunks; from += ws->wave_chunks) {
        int to = from + ws->wave_chunks < ws->chunks ? from + ws->wave_chunks : ws->chunks;
        int64_t begin = first_edge(ws, from);
#pragma omp parallel for schedule(dynamic, 1)
        for (int chunk = from; chunk < to; chunk++)
            chunk_backward(s, layer, chunk,
                           ws->wave_g_source + (first_edge(ws, chunk) - begin) * width);
        sum_over_sources(s, begin, first_edge(ws, to));
    }
}

static void edge_degree_forward(const step *s, real *x) {
#pragma omp parallel for schedule(dynamic, 1)
    for (int chunk = 0; chunk < s->ws->chunks; chunk++) {
        edge_buffers *b = load_chunk(s, chunk);
        edge_degree_embedding_forward(s->weights, &b->chunk, &b->radial_act, b->radial, x);
    }
}

static void edge_degree_backward(const step *s) {
#pragma omp parallel for schedule(dynamic, 1)
    for (int chunk = 0; chunk < s->ws->chunks; chunk++) {
        edge_buffers *b = load_chunk(s, chunk);
        edge_degree_embedding_backward(s->weights, &b->chunk, &b->radial_act, b->radial,
                                       s->ws->node.g_x, b->g_radial,
                                       s->ws->gradient + first_edge(s->ws, chunk));
    }
}

/* ---- node part ---------------------------------------------------------------------------- */

/* Numbers in the features [owned][9][C] of this rank's atoms. */
static size_t owned_numbers(const step *s) {
    return (size_t)s->atoms->owned * 9 * s->a->sphere_channels;
}

/* First features, line (13): the scalars of the element and of the system. */
static void embed(const step *s, real *x) {
    const size_t C = s->a->sphere_channels;
    memset(x, 0, owned_numbers(s) * sizeof(real));
    for (int64_t n = 0; n < s->atoms->owned; n++)
        if (s->atoms->element[n])
            memcpy(x + n * 9 * C, s->weights->sphere + s->atoms->element[n] * C, C * sizeof(real));
}

/* Nodes are worked on in blocks of CHUNK_NODES: how many nodes a block has, the number of blocks,
 * and where a block begins in [owned][9][C]. */
static int block_count(const step *s, int block) {
    int left = s->atoms->owned - block * CHUNK_NODES;
    return left < CHUNK_NODES ? left : CHUNK_NODES;
}

static int blocks(const step *s) { return (s->atoms->owned + CHUNK_NODES - 1) / CHUNK_NODES; }

static size_t block_at(const step *s, int block) {
    return (size_t)block * CHUNK_NODES * 9 * s->a->sphere_channels;
}

static void norm_1_forward(const step *s, int layer, const real *x, real *h) {
    const block_weights *w = &s->weights->blocks[layer];
#pragma omp parallel for schedule(static)
    for (int i = 0; i < blocks(s); i++)
        rms_norm_sh_forward(block_count(s, i), s->a->sphere_channels, w->norm_1_w, w->norm_1_b,
                            s->weights->csd, x + block_at(s, i), h + block_at(s, i));
}

/* g_x += backward of the norm at x, from the gradient by h, the sum of g_source and g_target. */
static void norm_1_backward(const step *s, int layer, const real *x) {
    const block_weights *w = &s->weights->blocks[layer];
    node_arrays *node = &s->ws->node;
    int C = s->a->sphere_channels;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < blocks(s); i++) {
        size_t at = block_at(s, i), n = (size_t)block_count(s, i) * 9 * C;
        for (size_t k = 0; k < n; k++) node->g_target[at + k] += node->g_source[at + k];
        rms_norm_sh_backward(block_count(s, i), C, w->norm_1_w, x + at, node->g_target + at,
                             node->g_x + at);
    }
}

/* x_next = x_mid + atomwise(norm_2(x_mid)) */
static void nodes_forward(const step *s, int layer, const real *x_mid, real *x_next) {
    const block_weights *w = &s->weights->blocks[layer];
    int C = s->a->sphere_channels;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < blocks(s); i++) {
        node_buffers *b = &s->ws->block[omp_get_thread_num()];
        int count = block_count(s, i);
        size_t at = block_at(s, i);
        rms_norm_sh_forward(count, C, w->norm_2_w, w->norm_2_b, NULL, x_mid + at, b->h);
        memcpy(x_next + at, x_mid + at, (size_t)count * 9 * C * sizeof(real));
        atomwise_forward(s->a, w, count, b->h, &b->act, x_next + at);
    }
}

/* g_x by x_next becomes g_x by x_mid. */
static void nodes_backward(const step *s, int layer, const real *x_mid) {
    const block_weights *w = &s->weights->blocks[layer];
    int C = s->a->sphere_channels;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < blocks(s); i++) {
        node_buffers *b = &s->ws->block[omp_get_thread_num()];
        int count = block_count(s, i);
        real *g_x = s->ws->node.g_x + block_at(s, i);
        rms_norm_sh_forward(count, C, w->norm_2_w, w->norm_2_b, NULL, x_mid + block_at(s, i), b->h);
        atomwise_activate(s->a, w, count, b->h, &b->act);
        atomwise_backward(s->a, w, count, g_x, &b->act, b->g_h);
        rms_norm_sh_backward(count, C, w->norm_2_w, x_mid + block_at(s, i), b->g_h, g_x);
    }
}

/* Energies of the network, lines (25) and (28), and g_x, the gradient by the last layer's features.
 */
static void head(const step *s, const real *x) {
    const dense_weights *w = s->weights;
    int C = s->a->sphere_channels;
    memset(s->ws->node.g_x, 0, owned_numbers(s) * sizeof(real));
#pragma omp parallel for schedule(static)
    for (int i = 0; i < blocks(s); i++) {
        node_buffers *b = &s->ws->block[omp_get_thread_num()];
        int count = block_count(s, i);
        size_t at = block_at(s, i);
        rms_norm_sh_forward(count, C, w->norm_w, w->norm_b, NULL, x + at, b->h);
        energy_head_forward(w, count, b->h, b->head_linear, b->head_hidden, b->energy);
        for (int n = 0; n < count; n++) s->ws->energy[i * CHUNK_NODES + n] = (double)b->energy[n];
        energy_head_backward(w, count, b->head_linear, b->head_hidden, b->g_h);
        rms_norm_sh_backward(count, C, w->norm_w, x + at, b->g_h, s->ws->node.g_x + at);
    }
}

/* Both sets of balanced channels, in the order of the forward pass or against it. */
static umas_status balance(const step *s, real *x, int backward, umas_error *error) {
    const umas_engine_setup *setup = &s->engine->setup;
    const int *channel[2] = {s->a->charge_channel, s->a->spin_channel};
    const double target[2] = {setup->charge, setup->spin - 1};
    umas_status status = UMAS_OK;
    for (int k = 0; k < 2 && status == UMAS_OK; k++) {
        int set = backward ? 1 - k : k;
        status = balance_channels(s->atoms->owned, s->a->sphere_channels, s->atoms->element,
                                  channel[set][0], channel[set][1], backward ? 0 : target[set],
                                  s->system_atoms, setup->exchange, x, error);
    }
    return status;
}

/* ---- the whole ---------------------------------------------------------------------------- */

static umas_status forward(const step *s, umas_error *error) {
    node_arrays *node = &s->ws->node;
    embed(s, node->x[0]);
    edge_degree_forward(s, node->x[0]);
    for (int i = 0; i < s->a->layers; i++) {
        norm_1_forward(s, i, node->x[i], node->h[i]);
        umas_status status =
            rows_forward(s->engine->setup.exchange, s->atoms->rows, s->atoms->owned,
                         9 * s->a->sphere_channels, node->h[i], s->ws->packed_rows, error);
        if (status != UMAS_OK) return status;
        memcpy(node->x_mid[i], node->x[i], owned_numbers(s) * sizeof(real));
        edges_forward(s, i, node->x_mid[i]);
        nodes_forward(s, i, node->x_mid[i], node->x[i + 1]);
        status = balance(s, node->x[i + 1], 0, error);
        if (status != UMAS_OK) return status;
    }
    return UMAS_OK;
}

static umas_status backward(const step *s, umas_error *error) {
    node_arrays *node = &s->ws->node;
    for (int i = s->a->layers - 1; i >= 0; i--) {
        umas_status status = balance(s, node->g_x, 1, error);
        if (status != UMAS_OK) return status;
        nodes_backward(s, i, node->x_mid[i]);
        edges_backward(s, i);
        status = rows_reverse(s->engine->setup.exchange, s->atoms->rows, s->atoms->owned,
                              9 * s->a->sphere_channels, node->g_source, s->ws->packed_rows, error);
        if (status != UMAS_OK) return status;
        norm_1_backward(s, i, node->x[i]);
    }
    edge_degree_backward(s);
    return UMAS_OK;
}

/* Line (26). */
static void sum_energies(const step *s, umas_result *result) {
    const umas_task *task = s->engine->setup.task;
    for (int n = 0; n < s->atoms->owned; n++) {
        int z = s->atoms->element[n];
        if (!z) continue;
        double energy = task->rmsd * s->ws->energy[n] + task->reference[z];
        result->energy += energy;
        if (result->atom_energy) result->atom_energy[n] = energy;
    }
}

static umas_status prepare(void *self, const umas_atoms *atoms, int64_t system_atoms, int repeat,
                           umas_error *error) {
    cpu_engine *engine = self;
    (void)repeat; /* this engine never asks for it */
    engine->system_atoms = system_atoms;
    umas_status status = umas_edges_build(&engine->ws.edges, atoms, engine->a->cutoff,
                                          engine->a->max_neighbors, error);
    return status == UMAS_OK ? workspace_reserve(&engine->ws, engine->a, atoms, error) : status;
}

static umas_status run_step(void *self, const umas_atoms *atoms, umas_result *result, int *repeat,
                            umas_error *error) {
    cpu_engine *engine = self;
    workspace *ws = &engine->ws;
    step s = {engine,
              engine->a,
              engine->weights,
              atoms,
              engine->system_atoms,
              ws,
              message_rows(engine->a->mmax)};
    memset(ws->gradient, 0, ws->edges.count * sizeof *ws->gradient);
    *repeat = UMAS_REPEAT_NOT;

    umas_blas_take_threads();
    umas_status status = forward(&s, error);
    if (status == UMAS_OK) {
        head(&s, ws->node.x[engine->a->layers]);
        status = backward(&s, error);
    }
    umas_blas_give_back_threads();
    if (status != UMAS_OK) return status;
    sum_energies(&s, result);
    umas_edges_to_forces(&ws->edges, atoms, ws->gradient, engine->setup.task->rmsd, result);
    result->edges = ws->edges.count;
    result->crowded = ws->edges.crowded;
    return UMAS_OK;
}

static umas_status merge(void *self, const int64_t *counts, umas_error *error) {
    cpu_engine *engine = self;
    return merge_experts(engine->setup.model, engine->setup.task, engine->setup.charge,
                         engine->setup.spin, counts, engine->weights, error);
}

static void describe(const void *self, char *text, size_t size) {
    const cpu_engine *engine = self;
    const workspace *ws = &engine->ws;
    (void)snprintf(text, size,
                   "CPU: %lld edges in %d chunks, %d threads, %d MiB of activations kept",
                   (long long)ws->edges.count, ws->chunks, omp_get_max_threads(),
                   (int)(ws->kept_capacity * sizeof(real) >> 20));
}

static size_t bytes(const void *self) {
    const cpu_engine *engine = self;
    return sizeof *engine + dense_weights_bytes(engine->weights) +
           workspace_bytes(&engine->ws, engine->a);
}

static void destroy(void *self) {
    cpu_engine *engine = self;
    workspace_free(&engine->ws, engine->a);
    dense_weights_destroy(engine->weights);
    free(engine);
}

umas_status PRECISE(umas_cpu_engine_create)(const umas_engine_setup *setup, void **self,
                                            const umas_engine_operations **operations,
                                            umas_error *error) {
    static const umas_engine_operations cpu_operations = {merge, prepare, run_step, describe,
                                                          bytes, NULL,    NULL,     destroy};
    cpu_engine *engine = calloc(1, sizeof *engine);
    if (engine) {
        engine->setup = *setup;
        engine->a = umas_model_architecture(setup->model);
        engine->weights = dense_weights_create(engine->a);
    }
    if (!engine || !engine->weights) {
        free(engine);
        return umas_fail(error, UMAS_ERROR_MEMORY, "no memory for the merged weights");
    }
    *self = engine;
    *operations = &cpu_operations;
    return UMAS_OK;
}
