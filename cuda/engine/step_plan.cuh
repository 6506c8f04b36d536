/* How a step's edges are cut into chunks, and which chunks keep their activations. */
#ifndef UMAS_STEP_PLAN_CUH
#define UMAS_STEP_PLAN_CUH

#include <algorithm>
#include <cstddef>

#include "graph/edge_list.cuh"

/* What the memory was made for, and how the edges are cut.  Activations stay for the backward
 * pass of the last layers, of each its first chunks: as many as the memory has room for. */
struct step_plan {
    int owned = -1, nodes = -1; /* none yet */
    int node_capacity = 0;      /* rows of the nodes' arrays */
    int inner = 0, outer = 0;   /* room for edges of either kind (edge_list.cuh) */
    int chunk = 0;              /* edges worked on at a time */
    int kept_gated = 0;         /* chunks, over all layers, that keep what the gate leaves, ... */
    int kept_conv_2 = 0;        /* ... what conv2 leaves, ... */
    int kept_radials = 0;       /* ... and their radial functions */
    bool kept_h = false;        /* h of every layer stays */
    size_t bytes = 0;           /* all of it */
    int edges() const { return inner + outer; }
    int inner_chunks() const { return chunk > 0 ? (inner + chunk - 1) / chunk : 0; }
    int outer_chunks() const { return chunk > 0 ? (outer + chunk - 1) / chunk : 0; }
    int chunks() const { return inner_chunks() + outer_chunks(); }
    /* Chunks of inner edges come first. */
    bool is_outer(int i) const { return i >= inner_chunks(); }
    edge_span span(int i) const {
        const int at = (is_outer(i) ? i - inner_chunks() : i) * chunk;
        return is_outer(i) ? edge_span{inner + at, std::min(chunk, outer - at)}
                           : edge_span{at, std::min(chunk, inner - at)};
    }
    /* Of `kept` chunks those of a layer that has `later` layers behind it, and their edges. */
    int kept_of_layer(int kept, int later) const {
        return std::clamp(kept - later * chunks(), 0, chunks());
    }
    int kept_edges(int kept, int later) const {
        const int count = kept_of_layer(kept, later);
        return count == 0 ? 0 : span(count - 1).begin + span(count - 1).size;
    }
};

#endif
