/* Forces and virials from the gradients of all edges, docs/model.md (37), (38). */
#ifndef UMAS_EDGE_FORCES_CUH
#define UMAS_EDGE_FORCES_CUH

#include "edge_stages/edge_stages.cuh"

/* outer: the edges from atoms of other ranks, without any on one rank; it has all nodes.
 * force [nodes][3] eV/A: of an owned atom with all its images, or of a ghost's row;
 * virial [6] eV; atom_virial [nodes][6] or NULL; edge_vector [edges]: scratch;
 * partial: force_partials(nodes) * 6 doubles.  scale turns gradients into eV and A.
 * report->virial and ->not_finite are written.  Counterpart: core/graph/edges.c. */
int force_partials(int nodes);
void edges_to_forces(cudaStream_t stream, const edge_list &inner, const edge_list &outer,
                     edge_gradient gradient, double scale, float4 *edge_vector, double *force,
                     double *atom_virial, double *partial, step_report *report);

#endif
