/* The graph, docs/model.md (1), (2): directed edges source -> target within the cutoff, sorted by
 * target, chosen from the candidates of a neighbour list.  And its way back: forces and virials
 * from the gradients of edges, (37), (38). */
#ifndef UMAS_EDGES_H
#define UMAS_EDGES_H

#include "umas.h"

/* Atoms closer than this are taken to be on top of each other, A. */
#define UMAS_SMALLEST_DISTANCE 1e-3
/* How much farther than the last neighbour that counts others may be that count, too: ties.  A^2.
 */
#define UMAS_TIE 0.01

/* The largest coordinate, A.  Beyond it neighbouring doubles are 1e-7 A apart or more, and
 * distances between atoms are lost to rounding. */
#define UMAS_LARGEST_COORDINATE 1e9

typedef struct umas_edges {
    int64_t count;
    int crowded;         /* owned atoms with more neighbours than are kept */
    int64_t *first;      /* [owned + 1] edges into owned atom i: first[i] .. first[i + 1] */
    double *reach;       /* [owned] A^2, the largest squared distance of an edge into it */
    int *source;         /* [count] row of the source in umas_atoms */
    int *source_node;    /* [count] row of its features */
    int *target;         /* [count] */
    double (*vector)[3]; /* [count] A, r_source - r_target */
    int64_t *out_first;  /* [nodes + 1] edges out of a node: out[out_first[n]] .., ascending */
    int64_t *out;        /* [count] */
    int64_t edge_capacity, owned_capacity, node_capacity;
} umas_edges;

/* Are all coordinates finite and not beyond UMAS_LARGEST_COORDINATE?  Status: GEOMETRY. */
umas_status umas_positions_check(const umas_atoms *atoms, umas_error *error);

/* Keep the candidates that are strictly within the cutoff.  Where an atom has more than
 * max_neighbors of them (0: no limit), keep the nearest max_neighbors + 1, and ties with the last.
 * Buffers only grow.  Status: GEOMETRY for positions that are not finite or too large, or atoms on
 * top of each other, MEMORY.  Source of the limit: fairchem.core.graph.radius_graph_pbc,
 * get_max_neighbors_mask, which is not strict in UMA's backbone. */
umas_status umas_edges_build(umas_edges *edges, const umas_atoms *atoms, double cutoff,
                             int max_neighbors, umas_error *error);
void umas_edges_free(umas_edges *edges);
size_t umas_edges_bytes(const umas_edges *edges); /* that it holds */

/* Gradient of the energy by an edge's geometry, docs/model.md (32) to (36): per A, and per radian.
 */
typedef struct umas_edge_gradient {
    double distance; /* by |vector|, at fixed direction */
    /* by a small turn of the edge about its frame's x and z axes, left-handed */
    double torque_x, torque_z;
} umas_edge_gradient;

/* Forces [total][3], the global virial and, unless NULL, atom virials [total][6], from the
 * gradients of all edges times `scale`.  Sums run in edge order: the same bits on every run. */
void umas_edges_to_forces(const umas_edges *edges, const umas_atoms *atoms,
                          const umas_edge_gradient *gradient, double scale, umas_result *result);

/* The edge frame, docs/model.md (5): rows x, n, z of a rotation R with R n = +y, n the direction of
 * `vector`.
 * Returns |vector|.  Source: docs/uma_energy_reference.py, edge_frames. */
double umas_edge_frame(const double vector[3], double frame[3][3]);

#endif
