/* A rank's atoms, ghosts and candidates for a structure, found with cells in time that grows with
 * the number of atoms. */
#ifndef UMAS_BENCH_NEIGHBOURS_H
#define UMAS_BENCH_NEIGHBOURS_H

#include "bench_structure.h"

typedef struct bench_neighbours {
    umas_atoms atoms; /* points into the arrays below */
    int *element;     /* [total] */
    double *position; /* [total][3] A: `origin` displaced */
    double *origin;   /* [total][3] A: of the structure; owned atoms are wrapped into its cell */
    int *node;        /* [total] */
    int64_t *first;   /* [owned + 1] */
    int *neighbour;
} bench_neighbours;

/* Ghosts are the periodic images less than `reach` (A) outside the cell, measured across each pair
 * of its faces, however small the cell; candidates are the pairs closer than `reach`.  Status:
 * MEMORY, ARGUMENT for a cell so small that its images are too many. */
umas_status bench_neighbours_create(const bench_structure *s, double reach, bench_neighbours *n,
                                    umas_error *error);
void bench_neighbours_free(bench_neighbours *n);

/* Move atom i to its place in the structure plus displacement [owned][3] A; NULL: back to it. */
void bench_neighbours_displace(bench_neighbours *n, const double *displacement);

/* Candidates closer than the cutoff, A. */
int64_t bench_neighbours_edges(const bench_neighbours *n, double cutoff);

/* Add the ghosts' parts of force [total][3] to those of the atoms they are images of. */
void bench_neighbours_fold(const bench_neighbours *n, double *force);

#endif
