/* A random model and a chunk of edges for tests of stages: stage_fixture.h. */
#include "stage_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arrays.h"
#include "model_writer.h"

static void stop(void) {
    fprintf(stderr, "stage_fixture: out of memory\n");
    exit(EXIT_FAILURE);
}

umas_architecture small_architecture(int C, int H, int B, int G, int mmax) {
    return (umas_architecture){.sphere_channels = C,
                               .hidden_channels = H,
                               .edge_channels = B,
                               .layers = 1,
                               .lmax = 2,
                               .mmax = mmax,
                               .distance_functions = G,
                               .elements = 6,
                               .embeddings = 1,
                               .heads = 1,
                               .cutoff = 6};
}

dense_weights *random_weights(const umas_architecture *a, uint64_t seed) {
    const int64_t counts[UMAS_ELEMENTS] = {0};
    umas_error error;
    umas_model *model = open_random_model(a, seed);
    dense_weights *weights = dense_weights_create(a);
    if (weights == NULL ||
        merge_experts(model, umas_model_task(model, 0), 0, 0, counts, weights, &error) != UMAS_OK)
        stop();
    umas_model_close(model);
    return weights;
}

/* ---- edges -------------------------------------------------------------------------------- */

static int random_below(int limit, uint64_t *state) {
    return (int)((random_uniform(state) + 1) / 2 * 0.999999 * limit);
}

edge_fixture edge_fixture_create(const umas_architecture *a, int edges, int nodes,
                                 uint64_t *state) {
    edge_fixture f = {.a = *a, .nodes = nodes};
    f.index = malloc((size_t)edges * 4 * sizeof *f.index + 1);
    if (f.index == NULL) stop();
    for (int e = 0; e < edges; e++) {
        f.index[e] = random_below(nodes, state);
        f.index[edges + e] = e * nodes / edges; /* ascending, as the edges of a chunk */
        f.index[2 * edges + e] = random_below(a->elements, state);
        f.index[3 * edges + e] = random_below(a->elements, state);
    }
    f.vector = (double(*)[3])array_random(3L * edges, state);
    for (int e = 0; e < edges; e++) {
        const double d = 1.5 + 2 * (random_uniform(state) + 1); /* 1.5 .. 5.5 A */
        const double *v = f.vector[e];
        const double length = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
        for (int i = 0; i < 3; i++) f.vector[e][i] *= d / length;
    }
    f.stretch = array_zero(edges);
    f.turn = array_zero(2L * edges);
    f.chunk = (edge_chunk){.edges = edges,
                           .source = f.index,
                           .target = f.index + edges,
                           .source_element = f.index + 2L * edges,
                           .target_element = f.index + 3L * edges,
                           .wigner = array_poisoned((long)WIGNER_ENTRIES * edges),
                           .envelope = array_poisoned(edges),
                           .envelope_slope = array_poisoned(edges),
                           .basis = array_poisoned((long)a->distance_functions * edges),
                           .basis_slope = array_poisoned((long)a->distance_functions * edges)};
    edge_fixture_move(&f);
    return f;
}

void edge_fixture_free(edge_fixture *f) { free(f->index); }

/* r = turn about x, then about z, of r; rows are the frame's axes. */
static void turn_frame(double r[3][3], const double turn[2]) {
    for (int k = 0; k < 3; k++) {
        const double y = cos(turn[0]) * r[1][k] - sin(turn[0]) * r[2][k];
        const double z = sin(turn[0]) * r[1][k] + cos(turn[0]) * r[2][k];
        const double x = cos(turn[1]) * r[0][k] - sin(turn[1]) * y;
        r[1][k] = sin(turn[1]) * r[0][k] + cos(turn[1]) * y;
        r[0][k] = x;
        r[2][k] = z;
    }
}

void edge_fixture_move(edge_fixture *f) {
    const int edges = f->chunk.edges;
    double(*moved)[3] = malloc((size_t)edges * sizeof *moved + 1);
    if (moved == NULL) stop();
    for (int e = 0; e < edges; e++) {
        const double *v = f->vector[e];
        const double length = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
        for (int i = 0; i < 3; i++) moved[e][i] = v[i] * (1 + f->stretch[e] / length);
    }
    edge_geometry_forward(&f->a, (const double(*)[3])moved, &f->chunk);
    free(moved);
    for (int e = 0; e < edges; e++) {
        double frame[3][3];
        if (f->turn[2 * e] == 0 && f->turn[2 * e + 1] == 0) continue;
        (void)umas_edge_frame(f->vector[e], frame);
        turn_frame(frame, f->turn + 2L * e);
        wigner_by_definition(frame, f->chunk.wigner + (long)WIGNER_ENTRIES * e);
    }
}

void wigner_by_definition(double rotation[3][3], double *wigner) {
    const double s = sqrt(0.5), t = sqrt(1.0 / 6);
    const double L2[5][3][3] = {{{0, 0, s}, {0, 0, 0}, {s, 0, 0}},
                                {{0, s, 0}, {s, 0, 0}, {0, 0, 0}},
                                {{-t, 0, 0}, {0, 2 * t, 0}, {0, 0, -t}},
                                {{0, 0, 0}, {0, 0, s}, {0, s, 0}},
                                {{-s, 0, 0}, {0, 0, 0}, {0, 0, s}}};
    memcpy(wigner, rotation, 9 * sizeof *wigner);
    for (int ab = 0; ab < 25; ab++) {
        double sum = 0;
        for (int ijkl = 0; ijkl < 81; ijkl++) {
            const int i = ijkl / 27, j = ijkl / 9 % 3, k = ijkl / 3 % 3, l = ijkl % 3;
            sum += L2[ab / 5][i][j] * rotation[i][k] * L2[ab % 5][k][l] * rotation[j][l];
        }
        wigner[9 + ab] = sum;
    }
}
