/* Memory of the CPU engine: reserved, counted, freed; and edges cut into chunks.  Sizes of arrays
 * are those that cpu_workspace.h gives. */
#include "engine/cpu_workspace.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"

/* A fresh buffer of `count` items in place of the old one, contents undefined; 0 when out of
 * memory. */
static int renew(void *buffer, size_t count, size_t size) {
    void **slot = buffer;
    free(*slot);
    *slot = NULL;
    if (count > SIZE_MAX / 2 / size) return 0;
    *slot = aligned_alloc(64, (count * size + 64) / 64 * 64);
    return *slot != NULL;
}

/* Room for an eighth more than is needed now, so that small growth needs no new memory. */
static size_t with_room(size_t count) { return count + count / 8 + 1; }

static int reserve_nodes(workspace *ws, const umas_architecture *a, const umas_atoms *atoms) {
    size_t layers = a->layers, width = 9 * a->sphere_channels;
    node_arrays *node = &ws->node;
    if (!node->x) node->x = calloc(layers + 1, sizeof *node->x);
    if (!node->x_mid) node->x_mid = calloc(layers, sizeof *node->x_mid);
    if (!node->h) node->h = calloc(layers, sizeof *node->h);
    if (!node->x || !node->x_mid || !node->h) return 0;
    int ok = 1;
    if (atoms->owned >= ws->owned_capacity) {
        ws->owned_capacity = 0;
        size_t n = with_room(atoms->owned);
        for (size_t i = 0; i <= layers; i++) ok = ok && renew(&node->x[i], n * width, sizeof(real));
        for (size_t i = 0; i < layers; i++)
            ok = ok && renew(&node->x_mid[i], n * width, sizeof(real));
        ok = ok && renew(&node->g_x, n * width, sizeof(real)) &&
             renew(&node->g_target, n * width, sizeof(real)) &&
             renew(&ws->energy, n, sizeof *ws->energy) &&
             renew(&ws->chunk_first, n + 1, sizeof *ws->chunk_first);
        if (ok) ws->owned_capacity = (int)n;
    }
    if (ok && atoms->nodes >= ws->node_capacity) {
        ws->node_capacity = 0;
        size_t n = with_room(atoms->nodes);
        for (size_t i = 0; i < layers; i++) ok = ok && renew(&node->h[i], n * width, sizeof(real));
        ok = ok && renew(&node->g_source, n * width, sizeof(real)) &&
             renew(&ws->cursor, n, sizeof *ws->cursor);
        if (ok) ws->node_capacity = (int)n;
    }
    return ok;
}

/* Cut the targets into runs of about CHUNK_EDGES edges; returns the longest run. */
static int cut_chunks(workspace *ws, int owned) {
    const int64_t *first = ws->edges.first;
    int64_t longest = CHUNK_EDGES;
    ws->chunks = 0;
    ws->chunk_first[0] = 0;
    for (int i = 0, begin = 0; i < owned; i++) {
        if (i + 1 < owned && first[i + 2] - first[begin] <= CHUNK_EDGES) continue;
        if (first[i + 1] - first[begin] > longest) longest = first[i + 1] - first[begin];
        ws->chunk_first[++ws->chunks] = begin = i + 1;
    }
    return (int)longest;
}

static int renew_edge_buffers(edge_buffers *b, const umas_architecture *a, size_t n) {
    size_t C = a->sphere_channels, H = a->hidden_channels;
    size_t B = a->edge_channels, G = a->distance_functions;
    size_t rows = message_rows(a->mmax), radials = message_radials(rows), size = sizeof(real);
    return renew(&b->source_element, n, sizeof(int)) && renew(&b->target_element, n, sizeof(int)) &&
           renew(&b->chunk.wigner, n * WIGNER_ENTRIES, size) &&
           renew(&b->chunk.envelope, n, size) && renew(&b->chunk.envelope_slope, n, size) &&
           renew(&b->chunk.basis, n * G, size) && renew(&b->chunk.basis_slope, n * G, size) &&
           renew(&b->radial_act.linear[0], n * B, size) &&
           renew(&b->radial_act.linear[1], n * B, size) &&
           renew(&b->radial_act.hidden, n * B, size) &&
           renew(&b->radial_act.g_basis, n * G, size) &&
           renew(&b->radial, n * radials * 2 * C, size) &&
           renew(&b->g_radial, n * radials * 2 * C, size) &&
           renew(&b->message, n * rows * 2 * C, size) &&
           renew(&b->conv_1, n * (rows + 2) * H, size) && renew(&b->gated, n * rows * H, size) &&
           renew(&b->conv_2, n * rows * C, size) && renew(&b->g_conv_2, n * rows * C, size);
}

static int renew_node_buffers(node_buffers *b, const umas_architecture *a) {
    size_t C = a->sphere_channels, H = a->hidden_channels, n = CHUNK_NODES;
    size_t size = sizeof(real);
    return renew(&b->h, n * 9 * C, size) && renew(&b->g_h, n * 9 * C, size) &&
           renew(&b->act.scalar, n * 2 * H, size) && renew(&b->act.gates, n * 2 * H, size) &&
           renew(&b->act.pre, n * 9 * H, size) && renew(&b->act.post, n * 9 * H, size) &&
           renew(&b->head_linear[0], n * H, size) && renew(&b->head_linear[1], n * H, size) &&
           renew(&b->head_hidden, n * H, size) && renew(&b->energy, n, size);
}

static int reserve_threads(workspace *ws, const umas_architecture *a, int longest_chunk) {
    int threads = omp_get_max_threads();
    if (threads > ws->threads) {
        edge_buffers *edge = realloc(ws->edge, threads * sizeof *edge);
        if (edge) ws->edge = edge;
        node_buffers *block = realloc(ws->block, threads * sizeof *block);
        if (block) ws->block = block;
        if (!edge || !block) return 0;
        memset(edge + ws->threads, 0, (threads - ws->threads) * sizeof *edge);
        memset(block + ws->threads, 0, (threads - ws->threads) * sizeof *block);
        ws->threads = threads;
        ws->edge_capacity = 0;
    }
    if (longest_chunk <= ws->edge_capacity) return 1;
    ws->edge_capacity = 0;
    int ok = 1;
    for (int t = 0; t < ws->threads; t++)
        ok = ok && renew_edge_buffers(&ws->edge[t], a, longest_chunk) &&
             renew_node_buffers(&ws->block[t], a);
    if (ok) ws->edge_capacity = longest_chunk;
    return ok;
}

/* A wave is the chunks whose source gradients are summed together.  It has a few chunks a thread,
 * so that threads end it at about the same time. */
static int reserve_wave(workspace *ws, const umas_architecture *a, int longest_chunk) {
    ws->wave_chunks = 4 * ws->threads < ws->chunks ? 4 * ws->threads : ws->chunks;
    int64_t edges = (int64_t)ws->wave_chunks * longest_chunk;
    if (edges > ws->edges.count) edges = ws->edges.count;
    if (edges <= ws->wave_capacity) return 1;
    ws->wave_capacity = 0;
    if (!renew(&ws->wave_g_source, edges * 9 * a->sphere_channels, sizeof(real))) return 0;
    ws->wave_capacity = edges;
    return 1;
}

/* Which activations are kept for the backward pass: those of as many chunks as KEPT_BYTES hold, the
 * last layer's first, since the backward pass begins there. */
static int reserve_kept(workspace *ws, const umas_architecture *a) {
    if (ws->chunks > ws->chunk_capacity || !ws->kept_at) {
        size_t n = with_room(ws->chunks);
        ws->chunk_capacity = 0;
        if (!renew(&ws->kept_at, n * a->layers, sizeof *ws->kept_at)) return 0;
        ws->chunk_capacity = (int)n;
    }
    size_t used = 0;
    for (int layer = a->layers - 1; layer >= 0; layer--)
        for (int c = 0; c < ws->chunks; c++) {
            const int *begin = ws->chunk_first + c;
            size_t need = (ws->edges.first[begin[1]] - ws->edges.first[begin[0]]) * kept_width(a);
            int keep = (used + need) * sizeof(real) <= KEPT_BYTES;
            ws->kept_at[layer * (int64_t)ws->chunks + c] = keep ? used : NOT_KEPT;
            if (keep) used += need;
        }
    if (used <= ws->kept_capacity && ws->kept) return 1;
    size_t roomy = used + used / 8;
    if (roomy * sizeof(real) > KEPT_BYTES) roomy = KEPT_BYTES / sizeof(real);
    ws->kept_capacity = 0;
    if (!renew(&ws->kept, roomy, sizeof(real))) return 0;
    ws->kept_capacity = roomy;
    return 1;
}

static int reserve_gradient(workspace *ws) {
    if (ws->edges.count <= ws->gradient_capacity && ws->gradient) return 1;
    ws->gradient_capacity = 0;
    size_t n = with_room(ws->edges.count);
    if (!renew(&ws->gradient, n, sizeof *ws->gradient)) return 0;
    ws->gradient_capacity = (int64_t)n;
    return 1;
}

static int reserve_packed_rows(workspace *ws, const umas_architecture *a, const umas_atoms *atoms) {
    const umas_row_plan *plan = atoms->rows;
    const size_t rows = plan ? plan->send_first[plan->peers] : 0;
    if (rows <= ws->packed_capacity) return 1;
    ws->packed_capacity = 0;
    const size_t roomy = rows + rows / 8;
    if (!renew(&ws->packed_rows, roomy * 9 * a->sphere_channels, sizeof(real))) return 0;
    ws->packed_capacity = roomy;
    return 1;
}

umas_status workspace_reserve(workspace *ws, const umas_architecture *a, const umas_atoms *atoms,
                              umas_error *error) {
    int ok = reserve_nodes(ws, a, atoms) && reserve_packed_rows(ws, a, atoms);
    if (ok) {
        int longest_chunk = cut_chunks(ws, atoms->owned);
        ok = reserve_gradient(ws) && reserve_threads(ws, a, longest_chunk) &&
             reserve_wave(ws, a, longest_chunk) && reserve_kept(ws, a);
    }
    if (ok) return UMAS_OK;
    return umas_fail(error, UMAS_ERROR_MEMORY,
                     "no memory for %d atoms and %lld edges on this rank; use more ranks or nodes",
                     atoms->owned, (long long)ws->edges.count);
}

/* Bytes of a thread's buffers, for one edge and for one node. */
static size_t edge_buffer_bytes(const umas_architecture *a) {
    size_t C = a->sphere_channels, H = a->hidden_channels;
    size_t B = a->edge_channels, G = a->distance_functions;
    size_t rows = message_rows(a->mmax), radials = message_radials(rows);
    size_t geometry = WIGNER_ENTRIES + 2 + 3 * G + 3 * B;
    return 2 * sizeof(int) +
           (geometry + 4 * radials * C + 4 * rows * C + (2 * rows + 2) * H) * sizeof(real);
}

static size_t node_buffer_bytes(const umas_architecture *a) {
    size_t C = a->sphere_channels, H = a->hidden_channels;
    return (18 * C + 25 * H + 1) * sizeof(real);
}

size_t workspace_bytes(const workspace *ws, const umas_architecture *a) {
    size_t layers = a->layers, features = 9 * a->sphere_channels * sizeof(real);
    size_t an_owned = (2 * layers + 3) * features + sizeof *ws->energy + sizeof *ws->chunk_first;
    size_t a_node = (layers + 1) * features + sizeof *ws->cursor;
    size_t a_thread = sizeof *ws->edge + sizeof *ws->block +
                      ws->edge_capacity * edge_buffer_bytes(a) +
                      (ws->edge_capacity ? CHUNK_NODES * node_buffer_bytes(a) : 0);
    return umas_edges_bytes(&ws->edges) + (3 * layers + 1) * sizeof(real *) +
           ws->owned_capacity * an_owned + ws->node_capacity * a_node + ws->threads * a_thread +
           (ws->wave_capacity + ws->packed_capacity) * features +
           ws->gradient_capacity * sizeof *ws->gradient +
           ws->chunk_capacity * layers * sizeof *ws->kept_at + ws->kept_capacity * sizeof(real);
}

static void free_edge_buffers(edge_buffers *b) {
    free(b->source_element);
    free(b->target_element);
    real *reals[] = {b->chunk.wigner,
                     b->chunk.envelope,
                     b->chunk.envelope_slope,
                     b->chunk.basis,
                     b->chunk.basis_slope,
                     b->radial_act.linear[0],
                     b->radial_act.linear[1],
                     b->radial_act.hidden,
                     b->radial_act.g_basis,
                     b->radial,
                     b->g_radial,
                     b->message,
                     b->conv_1,
                     b->gated,
                     b->conv_2,
                     b->g_conv_2};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) free(reals[i]);
}

static void free_node_buffers(node_buffers *b) {
    real *reals[] = {b->h,           b->g_h,      b->act.scalar,     b->act.gates,
                     b->act.pre,     b->act.post, b->head_linear[0], b->head_linear[1],
                     b->head_hidden, b->energy};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) free(reals[i]);
}

void workspace_free(workspace *ws, const umas_architecture *a) {
    for (int t = 0; t < ws->threads; t++) {
        free_edge_buffers(&ws->edge[t]);
        free_node_buffers(&ws->block[t]);
    }
    free(ws->edge);
    free(ws->block);
    for (int i = 0; i <= a->layers && ws->node.x; i++) free(ws->node.x[i]);
    for (int i = 0; i < a->layers && ws->node.x_mid; i++) free(ws->node.x_mid[i]);
    for (int i = 0; i < a->layers && ws->node.h; i++) free(ws->node.h[i]);
    free(ws->node.x);
    free(ws->node.x_mid);
    free(ws->node.h);
    free(ws->node.g_x);
    free(ws->node.g_source);
    free(ws->node.g_target);
    free(ws->gradient);
    free(ws->chunk_first);
    free(ws->kept_at);
    free(ws->kept);
    free(ws->wave_g_source);
    free(ws->cursor);
    free(ws->energy);
    free(ws->packed_rows);
    umas_edges_free(&ws->edges);
}
