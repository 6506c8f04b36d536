/* The graph on the device, docs/model.md (1), (2), and the geometry of its edges, (3), (5), (6):
 * what core/graph/ is on the host.  It is built from the candidates at every step, and the host
 * does not know how many edges there are.
 *
 * In: positions [total][3] in A, in double, and each owned atom's candidates.
 * Out: edges sorted by target, a list of them by source, and of each edge its vector in A, its
 * record (Wigner matrix, envelope, slope of the envelope in 1/A) and where its distance lies in
 * tables of radial functions.
 *
 * Edges whose source is an owned atom, or an image of one, are inner edges.  Those that come from
 * an atom of another rank are outer edges: they wait for its features.  Both kinds share the
 * arrays: inner edges begin at 0, outer ones behind the room for inner ones, and each kind is
 * sorted by target. */
#ifndef UMAS_EDGE_LIST_CUH
#define UMAS_EDGE_LIST_CUH

#include "device.cuh"

/* Per edge: D_1 [3][3] (rows: the frame's x, n, z), D_2 [5][5], envelope, its slope in 1/A. */
constexpr int EDGE_RECORD = 36;
constexpr int RECORD_ENVELOPE = 34;

/* Radial tables: knots at equal steps from distance 0 to the cutoff, for every ordered pair of
 * present elements. */
constexpr int RADIAL_KNOTS = 1024;

/* Where an edge's distance lies in radial tables. */
struct alignas(8) radial_index {
    /* pair of (source element, target element) * RADIAL_KNOTS + the last knot before it */
    int knot;
    float fraction; /* from that knot on, in steps */
};

/* A node that a chunk concerns, and what the chunk has of its edges. */
struct node_visit {
    int node, in_begin, in_end; /* edges into it */
    int out_begin, out_end;     /* places in `out` of those out of it */
};
/* ... how many there are, and the targets among them, which follow each other. */
struct chunk_extent {
    int visits, first_target, end_target;
};

/* Edges of one kind.  Inner edges concern owned nodes alone: nodes is owned then. */
struct edge_list {
    int owned, nodes;
    int begin, capacity;  /* their places: begin .. begin + capacity - 1 */
    const int *end;       /* [1] one past the last edge */
    const int *first;     /* [nodes + 1] edges into a node, sorted by target; ghosts have none */
    const int *out_first; /* [nodes + 1] */
    const int *out;       /* edges out of a node, ascending */
    const radial_index *table_index; /* of edges of both kinds, like the next two */
    const float4 *vector;            /* r_source - r_target and its length, A */
    const float *record;             /* [][EDGE_RECORD] */
    /* Where the list is worked on in chunks: of the chunk at work (chunk_nodes_find), [nodes],
     * in any order, and [1].  NULL: all nodes have all their edges. */
    node_visit *visit;
    chunk_extent *extent;
};

/* What the device tells the host after a step. */
struct step_report {
    int edges[2];     /* inner and outer ones found, also when more than there is room for */
    int crowded;      /* owned atoms with more neighbours than max_neighbors */
    int overlap[2];   /* rows of the lowest target (and its source) on top of each other */
    int not_finite;   /* a force, energy or virial is not finite */
    double energy;    /* eV */
    double virial[6]; /* eV */
};

/* Input of the list's construction, in device memory. */
struct candidate_list {
    int owned, nodes;
    const double *position;    /* [total][3] A */
    const int *element, *node; /* [total]; node: -1 for what is no candidate */
    const long long *first;    /* [owned + 1] */
    const int *neighbour;
    const int *element_slot; /* [UMAS_ELEMENTS] index among present elements */
    int elements_present;
    double cutoff;
    int max_neighbors; /* edges into an atom: the nearest (core/graph/edges.h); 0: all */
};

/* Buffers of the construction, all written by it. */
struct edge_list_buffers {
    int inner, outer; /* room for edges of either kind */
    int *end;         /* [2] one past the last inner and the last outer edge */
    int *first,
        *outer_first; /* [nodes + 1]; outer_first is NULL on one rank, where none is outer */
    double *reach;    /* [owned] A^2: farther candidates are left out */
    int *out_first, *out;
    radial_index *table_index;
    int *out_unsorted, *cursor; /* [inner + outer], [nodes + 1] */
    float4 *vector;
    float *record;
    void *scan_scratch;
    size_t scan_bytes;
};

/* Bytes of scan_scratch for this many nodes. */
size_t edge_list_scan_bytes(int nodes);
/* Queue the construction.  report->edges and ->overlap are written (overlap -1: none).  With more
 * edges of a kind than there is room for the list is empty: the step must then be repeated. */
void edge_list_build(cudaStream_t stream, const candidate_list &from, const edge_list_buffers &to,
                     step_report *report);
/* Only report->edges, for choosing the first capacity. */
void edge_list_count(cudaStream_t stream, const candidate_list &from, const edge_list_buffers &to,
                     step_report *report);

/* One chunk of the edge list. */
struct edge_span {
    int begin, size; /* edges begin .. min(begin + size, end of the list) */
};

/* Queue the search for the nodes that a chunk concerns: edges.visit and .extent are written. */
void chunk_nodes_find(cudaStream_t stream, const edge_list &edges, edge_span span);

#endif
