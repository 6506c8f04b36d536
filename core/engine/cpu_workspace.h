/* The memory of the CPU engine: it grows with atoms, threads and the longest neighbour list, plus
 * a bounded store of edge activations; never with the number of edges times channels. */
#ifndef UMAS_CPU_WORKSPACE_H
#define UMAS_CPU_WORKSPACE_H

#include "row_order.h"
#include "stages.h"

#define node_arrays PRECISE(umas_node_arrays)
#define edge_buffers PRECISE(umas_edge_buffers)
#define node_buffers PRECISE(umas_node_buffers)
#define workspace PRECISE(umas_workspace)
#define workspace_reserve PRECISE(umas_workspace_reserve)
#define workspace_bytes PRECISE(umas_workspace_bytes)
#define workspace_free PRECISE(umas_workspace_free)

/* A thread works on a chunk of edges at a time, whole targets with up to so many edges (more if a
 * single one has more), and on a block of so many nodes. */
#define CHUNK_EDGES 128
#define CHUNK_NODES 32

/* Bytes of edge activations that are kept for the backward pass; what does not fit is computed
 * again there (tests/unit/test_workspace.c has another limit). */
#ifndef KEPT_BYTES
#define KEPT_BYTES ((size_t)384 << 20)
#endif

/* Features and gradients of all nodes, each [nodes][9][C]. */
typedef struct node_arrays {
    real **x;                  /* [layers + 1] what enters a layer, what leaves the last */
    real **x_mid;              /* [layers] between the edge and the atom-wise part */
    real **h;                  /* [layers] normalised: what edges read */
    real *g_x;                 /* gradient by the current x or x_mid */
    real *g_source, *g_target; /* gradient by h, as source and as target of edges */
} node_arrays;

/* One thread's buffers for a chunk of edges. */
typedef struct edge_buffers {
    edge_chunk chunk;
    int *source_element, *target_element;
    radial_activations radial_act;
    real *radial, *g_radial; /* [edges][6][2 C] */
    real *message;           /* [edges][rows][2 C]; its gradient in the backward pass */
    real *conv_1;            /* [edges][2 H + rows H] */
    real *gated;             /* [edges][rows][H] */
    real *conv_2;            /* [edges][rows][C] */
    real *g_conv_2;          /* [edges][rows][C] */
} edge_buffers;

/* One thread's buffers for a chunk of nodes. */
typedef struct node_buffers {
    real *h, *g_h; /* [nodes][9][C] */
    atomwise_activations act;
    real *head_linear[2], *head_hidden, *energy;
} node_buffers;

typedef struct workspace {
    umas_edges edges;
    umas_edge_gradient *gradient; /* [edges] */
    int chunks;
    int *chunk_first; /* [chunks + 1] owned atom a chunk begins with */
    size_t *kept_at;  /* [layers][chunks] where they begin in `kept`, or NOT_KEPT */
    real *kept;
    node_arrays node;
    int threads;
    edge_buffers *edge;  /* [threads] */
    node_buffers *block; /* [threads] */
    int wave_chunks;     /* chunks whose source gradients are summed together */
    real *wave_g_source; /* [edges of a wave][9][C] */
    int64_t *cursor;     /* [nodes] next of a node's outgoing edges */
    double *energy;      /* [owned] */
    real *packed_rows;   /* [rows sent][9][C] what goes to other ranks, or comes back from them */
    /* what the buffers were made for */
    int64_t gradient_capacity, wave_capacity;
    int node_capacity, owned_capacity, chunk_capacity, edge_capacity;
    size_t kept_capacity, packed_capacity;
} workspace;

#define NOT_KEPT ((size_t)-1)

/* Activations kept an edge: conv_1 and conv_2. */
static inline size_t kept_width(const umas_architecture *a) {
    size_t rows = message_rows(a->mmax);
    return (rows + 2) * a->hidden_channels + rows * a->sphere_channels;
}

/* Make room for the atoms and for ws->edges, cut the edges into chunks and decide which
 * activations are kept.  Buffers only grow.  Status: MEMORY. */
umas_status workspace_reserve(workspace *ws, const umas_architecture *a, const umas_atoms *atoms,
                              umas_error *error);
void workspace_free(workspace *ws, const umas_architecture *a);
/* What it holds, but for what rounds a buffer up to whole cache lines. */
size_t workspace_bytes(const workspace *ws, const umas_architecture *a);

#endif
