/* How a step is laid out in GPU memory: buffers for the atoms and the list of edges, how many edges
 * are worked on at a time (a chunk), and which activations stay for the backward pass. */
#ifndef UMAS_MEMORY_PLAN_CUH
#define UMAS_MEMORY_PLAN_CUH

#include "engine/cuda_engine.cuh"

/* GiB, for messages. */
inline double gib(size_t bytes) { return double(bytes) / (1 << 30); }

/* Say what the engine may take, as long as nothing is planned: others that share the GPU may
 * have made their plans since it was created. */
template <typename S> void settle_share(cuda_engine<S> &e);

/* Candidates of all owned atoms; a rank without atoms may have no list at all. */
size_t candidate_count(const umas_atoms *atoms);

/* Buffers for these atoms' input, and what counting their edges takes; e.plan.owned and .nodes are
 * those of `atoms`.  A captured step is dropped, here and below.  Status: MEMORY. */
template <typename S>
umas_status reserve_input(cuda_engine<S> &e, const umas_atoms *atoms, umas_error *error);

/* Give back what depends on the number of edges; the plan has none then. */
template <typename S> void release_edges(cuda_engine<S> &e);

/* Buffers for the planned atoms with these numbers of inner and outer edges on this rank.  What
 * is there stays where it suffices within the share of memory; else all is planned anew with
 * some room for more edges: the list, then chunks, then what they keep for the backward pass, as
 * much as fits.  Status: MEMORY, with the number of atoms that would fit; the
 * plan has no edges where memory that was planned could not be had. */
template <typename S>
umas_status plan_memory(cuda_engine<S> &e, const int edges[2], umas_error *error);

#endif
