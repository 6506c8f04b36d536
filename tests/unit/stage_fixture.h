/* What the tests of stages in double start from: weights of a random model, and a chunk of edges
 * whose geometry can be moved in the three ways a umas_edge_gradient speaks of. */
#ifndef UMAS_STAGE_FIXTURE_H
#define UMAS_STAGE_FIXTURE_H

#define UMAS_REAL_IS_DOUBLE
#include "stages.h"

/* An architecture of these sizes, dense, with 6 elements. */
umas_architecture small_architecture(int C, int H, int B, int G, int mmax);

/* Weights of a random model; exits the test on failure. */
dense_weights *random_weights(const umas_architecture *a, uint64_t seed);

typedef struct edge_fixture {
    umas_architecture a;
    int nodes;
    edge_chunk chunk;
    int *index;          /* storage of the chunk's rows and elements */
    double (*vector)[3]; /* [edges] A */
    double *stretch;     /* [edges] A, added to the distance */
    double *turn;        /* [edges][2] the frame's turns about its x and z axes */
} edge_fixture;

/* Random edges between `nodes` nodes; its numbers live until arrays_free. */
edge_fixture edge_fixture_create(const umas_architecture *a, int edges, int nodes, uint64_t *state);
void edge_fixture_free(edge_fixture *f);

/* Fill the chunk for the present vectors, stretches and turns. */
void edge_fixture_move(edge_fixture *f);

/* D_1 and D_2 of a rotation, from their definition in docs/uma_energy_reference.py. */
void wigner_by_definition(double rotation[3][3], double *wigner);

#endif
