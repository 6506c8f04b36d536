/* A chunk of edges and what their vectors give: Wigner matrices, envelope and distance basis,
 * docs/model.md (3) to (6). */
#ifndef UMAS_EDGE_GEOMETRY_H
#define UMAS_EDGE_GEOMETRY_H

#include "precision.h"

#define edge_chunk PRECISE(umas_edge_chunk)
#define edge_geometry_forward PRECISE(umas_edge_geometry_forward)

/* Numbers of an edge's Wigner matrix that are stored: D_1 [3][3], then D_2 [5][5], m = -l..l.
 * D_0 = 1 is not stored. */
#define WIGNER_ENTRIES 34

/* A run of edges whose targets follow each other. */
typedef struct edge_chunk {
    int edges;
    const int *source, *target;                 /* [edges] rows of the features */
    const int *source_element, *target_element; /* [edges] */
    real *wigner;                               /* [edges][WIGNER_ENTRIES] */
    real *envelope, *envelope_slope;            /* [edges] 1, 1/A */
    real *basis, *basis_slope;                  /* [edges][G] 1, 1/A */
} edge_chunk;

/* Fill the last five arrays of the chunk from vector [edges][3] A.
 * Source: docs/uma_energy_reference.py, edge_frames, wigner, and `env`, `basis` of energies(). */
void edge_geometry_forward(const umas_architecture *a, const double (*vector)[3],
                           edge_chunk *chunk);

#endif
