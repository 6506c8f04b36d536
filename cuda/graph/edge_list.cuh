/* The graph on the device: what core/graph/edges.h is on the host, rebuilt from the candidates at every
 * step without the host knowing its size. */
#ifndef UMAS_EDGE_LIST_CUH
#define UMAS_EDGE_LIST_CUH

#include "device.cuh"

/* Per edge: D_1 [3][3] (rows: the frame's x, n, z), D_2 [5][5], envelope, its slope in 1/A. */
constexpr int EDGE_RECORD = 36;
constexpr int RECORD_ENVELOPE = 34;

/* Radial tables: knots at equal steps from distance 0 to the cutoff, for every ordered pair of present
 * elements. */
constexpr int RADIAL_KNOTS = 1024;

/* Where an edge's distance lies in radial tables. */
struct alignas(8) radial_place {
    int knot; /* pair of (source element, target element) * RADIAL_KNOTS + the last knot before it */
    float beyond; /* from that knot on, in steps */
};

struct edge_list {
    int owned, nodes;
    int capacity;         /* edges there is room for */
    const int *count;     /* [1] edges, at most capacity */
    const int *first;     /* [nodes + 1] edges into a node, sorted by target; ghosts have none */
    const int *out_first; /* [nodes + 1] */
    const int *out;       /* edges out of a node, ascending */
    const radial_place *place; /* [capacity] */
    const float4 *vector;      /* [capacity] r_source - r_target and its length, A */
    const float *record;       /* [capacity][EDGE_RECORD] */
};

/* What the device tells the host after a step. */
struct step_report {
    int edges;        /* found, also when more than the capacity */
    int overlap[2];   /* rows of the lowest target (and its source) on top of each other */
    int not_finite;   /* a force, energy or virial is not finite */
    double energy;    /* eV */
    double virial[6]; /* eV */
};

/* Input of the list's construction, in device memory. */
struct candidate_list {
    int owned, nodes;
    const double *position;    /* [total][3] A */
    const int *element, *node; /* [total] */
    const long long *first;    /* [owned + 1] */
    const int *neighbour;
    const int *element_slot; /* [UMAS_ELEMENTS] index among present elements */
    int elements_present;
    double cutoff;
};

/* Buffers of the construction, all written by it. */
struct edge_list_buffers {
    int capacity;
    int *count, *first, *out_first, *out;
    radial_place *place;
    int *out_unsorted, *cursor; /* [capacity], [nodes + 1] */
    float4 *vector;
    float *record;
    void *scan_scratch;
    size_t scan_bytes;
};

/* Bytes of scan_scratch for this many nodes. */
size_t edge_list_scan_bytes(int nodes);
/* Queue the construction.  report->edges and ->overlap are written (overlap -1: none).  With more
 * edges than the capacity the list is empty: the step must then be repeated with more. */
void edge_list_build(cudaStream_t stream, const candidate_list &from, const edge_list_buffers &to,
                     step_report *report);
/* Only report->edges, for choosing the first capacity. */
void edge_list_count(cudaStream_t stream, const candidate_list &from, const edge_list_buffers &to,
                     step_report *report);

#endif
