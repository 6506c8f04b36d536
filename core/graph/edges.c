/* The graph, docs/model.md (1) and (2), edge frames, (5), and the end of the backward pass: from
 * the gradients of edges to forces and virials, (37) and (38).  Positions and vectors in A, all in
 * double. */
#include "graph/edges.h"

#include <math.h>
#include <stdlib.h>

#include "status.h"

static double distance_squared(const double *a, const double *b) {
    double x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
    return x * x + y * y + z * z;
}

static const double *position(const umas_atoms *atoms, int i) {
    return atoms->position + 3 * (int64_t)i;
}

static int is_usable(double coordinate) { return fabs(coordinate) <= UMAS_LARGEST_COORDINATE; }

umas_status umas_positions_check(const umas_atoms *atoms, umas_error *error) {
    for (int i = 0; i < atoms->total; i++) {
        const double *r = position(atoms, i);
        if (!is_usable(r[0]) || !is_usable(r[1]) || !is_usable(r[2]))
            return umas_fail_rows(
                error, UMAS_ERROR_GEOMETRY, i, -1,
                "atom position (%g, %g, %g) is not finite or beyond %g A, where distances are lost "
                "to rounding: check the forces and the time step before it",
                r[0], r[1], r[2], UMAS_LARGEST_COORDINATE);
    }
    return UMAS_OK;
}

static int reserve(void **buffer, int64_t count, size_t size) {
    void *grown = realloc(*buffer, (size_t)count * size);
    if (grown) *buffer = grown;
    return grown != NULL;
}

/* A capacity is noted only once all arrays have it, so that the next call can rely on it even if
 * this one runs out of memory. */
static int reserve_rows(umas_edges *e, const umas_atoms *atoms) {
    if (atoms->owned + 1 > e->owned_capacity) {
        const int64_t n = atoms->owned + 1 + atoms->owned / 8;
        if (!reserve((void **)&e->first, n, sizeof *e->first) ||
            !reserve((void **)&e->reach, n, sizeof *e->reach))
            return 0;
        e->owned_capacity = n;
    }
    if (atoms->nodes + 1 > e->node_capacity) {
        const int64_t n = atoms->nodes + 1 + atoms->nodes / 8;
        if (!reserve((void **)&e->out_first, n, sizeof *e->out_first)) return 0;
        e->node_capacity = n;
    }
    return 1;
}

/* Room for an edge more, so that arrays without edges are there, too. */
static int reserve_edges(umas_edges *e) {
    if (e->count < e->edge_capacity) return 1;
    const int64_t n = e->count + e->count / 8 + 1;
    if (!reserve((void **)&e->source, n, sizeof *e->source) ||
        !reserve((void **)&e->source_node, n, sizeof *e->source_node) ||
        !reserve((void **)&e->target, n, sizeof *e->target) ||
        !reserve((void **)&e->vector, n, sizeof *e->vector) ||
        !reserve((void **)&e->out, n, sizeof *e->out))
        return 0;
    e->edge_capacity = n;
    return 1;
}

/* Candidates of owned atom i that can be edges and are no farther than this, A^2. */
static int64_t count_within(const umas_atoms *atoms, int i, double squared) {
    int64_t count = 0;
    for (int64_t k = atoms->first[i]; k < atoms->first[i + 1]; k++) {
        const int j = atoms->neighbour[k];
        count += j != i && atoms->element[j] != 0 &&
                 distance_squared(position(atoms, j), position(atoms, i)) <= squared;
    }
    return count;
}

/* The squared distance of the `count`-th nearest candidate of owned atom i, which is within the
 * cutoff.  Bisection over all doubles from 0 to the cutoff's square: the bits of positive doubles,
 * read as integers, have the order of the doubles. */
static double reach_of(const umas_atoms *atoms, int i, double cutoff_squared, int64_t count) {
    union {
        double value;
        uint64_t bits;
    } low = {0}, high = {cutoff_squared}, middle;
    while (low.bits < high.bits) {
        middle.bits = low.bits + (high.bits - low.bits) / 2;
        if (count_within(atoms, i, middle.value) >= count)
            high = middle;
        else
            low.bits = middle.bits + 1;
    }
    return low.value;
}

/* Write owned atom i's edges from `at` on, or only count them when at < 0. */
static int64_t collect(umas_edges *e, const umas_atoms *atoms, int i, double cutoff_squared,
                       int64_t at) {
    const double *here = position(atoms, i);
    int64_t kept = 0;
    if (atoms->element[i] == 0) return 0;
    for (int64_t k = atoms->first[i]; k < atoms->first[i + 1]; k++) {
        int j = atoms->neighbour[k];
        if (j == i || atoms->element[j] == 0) continue;
        const double *r = position(atoms, j);
        const double squared = distance_squared(r, here);
        if (!(squared < cutoff_squared && squared <= e->reach[i])) continue;
        if (at >= 0) {
            int64_t edge = at + kept;
            e->source[edge] = j;
            e->source_node[edge] = atoms->node ? atoms->node[j] : j;
            e->target[edge] = i;
            for (int d = 0; d < 3; d++) e->vector[edge][d] = r[d] - here[d];
        }
        kept++;
    }
    return kept;
}

/* The number of edges into owned atom i, after its reach has been found. */
static int64_t count_edges(umas_edges *e, const umas_atoms *atoms, int i, double cutoff_squared,
                           int max_neighbors) {
    e->reach[i] = cutoff_squared;
    const int64_t count = collect(e, atoms, i, cutoff_squared, -1);
    if (max_neighbors == 0 || count <= max_neighbors) return count;
    e->reach[i] = reach_of(atoms, i, cutoff_squared, max_neighbors + 1) + UMAS_TIE;
    return collect(e, atoms, i, cutoff_squared, -1);
}

static umas_status check_overlaps(const umas_edges *e, umas_error *error) {
    const double origin[3] = {0, 0, 0};
    for (int64_t k = 0; k < e->count; k++) {
        double d = sqrt(distance_squared(e->vector[k], origin));
        if (!(d > UMAS_SMALLEST_DISTANCE))
            return umas_fail_rows(error, UMAS_ERROR_GEOMETRY, e->target[k], e->source[k],
                                  "two atoms are on top of each other (%.3g A apart)", d);
    }
    return UMAS_OK;
}

/* Counting sort of the edges by source node; ascending within a node. */
static void sort_by_source(umas_edges *e, int nodes) {
    for (int n = 0; n <= nodes; n++) e->out_first[n] = 0;
    for (int64_t k = 0; k < e->count; k++) e->out_first[e->source_node[k] + 1]++;
    for (int n = 0; n < nodes; n++) e->out_first[n + 1] += e->out_first[n];
    for (int64_t k = 0; k < e->count; k++) e->out[e->out_first[e->source_node[k]]++] = k;
    for (int n = nodes; n > 0; n--) e->out_first[n] = e->out_first[n - 1];
    e->out_first[0] = 0;
}

umas_status umas_edges_build(umas_edges *edges, const umas_atoms *atoms, double cutoff,
                             int max_neighbors, umas_error *error) {
    umas_status status = umas_positions_check(atoms, error);
    if (status != UMAS_OK) return status;
    if (!reserve_rows(edges, atoms))
        return umas_fail(error, UMAS_ERROR_MEMORY, "no memory for the edges of %d atoms",
                         atoms->owned);
    double cutoff_squared = cutoff * cutoff;
    int crowded = 0;
#pragma omp parallel for schedule(static) reduction(+ : crowded)
    for (int i = 0; i < atoms->owned; i++) {
        edges->first[i + 1] = count_edges(edges, atoms, i, cutoff_squared, max_neighbors);
        crowded += edges->reach[i] != cutoff_squared;
    }
    edges->crowded = crowded;
    edges->first[0] = 0;
    for (int i = 0; i < atoms->owned; i++) edges->first[i + 1] += edges->first[i];
    edges->count = edges->first[atoms->owned];
    if (!reserve_edges(edges))
        return umas_fail(error, UMAS_ERROR_MEMORY, "no memory for %lld edges",
                         (long long)edges->count);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < atoms->owned; i++)
        (void)collect(edges, atoms, i, cutoff_squared, edges->first[i]);
    status = check_overlaps(edges, error);
    if (status == UMAS_OK) sort_by_source(edges, atoms->nodes);
    return status;
}

void umas_edges_free(umas_edges *edges) {
    free(edges->first);
    free(edges->reach);
    free(edges->source);
    free(edges->source_node);
    free(edges->target);
    free(edges->vector);
    free(edges->out_first);
    free(edges->out);
}

size_t umas_edges_bytes(const umas_edges *e) {
    return e->owned_capacity * sizeof *e->first + e->node_capacity * sizeof *e->out_first +
           e->edge_capacity * (sizeof *e->source + sizeof *e->source_node + sizeof *e->target +
                               sizeof *e->vector + sizeof *e->out);
}

double umas_edge_frame(const double vector[3], double frame[3][3]) {
    double *x = frame[0], *n = frame[1], *z = frame[2];
    double d = sqrt(vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]);
    for (int i = 0; i < 3; i++) n[i] = vector[i] / d;
    /* x: the part of a coordinate axis that is perpendicular to n and far from zero */
    int axis = fabs(n[0]) < 0.7 ? 0 : 2;
    for (int i = 0; i < 3; i++) x[i] = (i == axis) - n[axis] * n[i];
    double length = sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]);
    for (int i = 0; i < 3; i++) x[i] /= length;
    z[0] = x[1] * n[2] - x[2] * n[1];
    z[1] = x[2] * n[0] - x[0] * n[2];
    z[2] = x[0] * n[1] - x[1] * n[0];
    return d;
}

/* dE/dvector, docs/model.md (37): the derivative by the distance acts along n; a small turn of the
 * frame by (-w_x, -w_z), right-hand rule, moves the direction by w_z x - w_x z. */
static void vector_gradient(const double vector[3], const umas_edge_gradient *g, double scale,
                            double out[3]) {
    double frame[3][3], d = umas_edge_frame(vector, frame);
    for (int i = 0; i < 3; i++)
        out[i] = scale * (g->distance * frame[1][i] +
                          (g->torque_z * frame[0][i] - g->torque_x * frame[2][i]) / d);
}

void umas_edges_to_forces(const umas_edges *edges, const umas_atoms *atoms,
                          const umas_edge_gradient *gradient, double scale, umas_result *result) {
    for (int i = 0; i < 6; i++) result->virial[i] = 0;
    for (int64_t i = 0; i < 3 * (int64_t)atoms->total; i++) result->force[i] = 0;
    if (result->atom_virial)
        for (int64_t i = 0; i < 6 * (int64_t)atoms->total; i++) result->atom_virial[i] = 0;
    for (int64_t k = 0; k < edges->count; k++) {
        const double *v = edges->vector[k];
        double g[3];
        vector_gradient(v, &gradient[k], scale, g);
        double *source = result->force + 3 * (int64_t)edges->source[k];
        double *target = result->force + 3 * (int64_t)edges->target[k];
        for (int i = 0; i < 3; i++) {
            source[i] -= g[i];
            target[i] += g[i];
        }
        /* Symmetrised: an edge's own r f need not be symmetric, but the sum over all edges is,
         * since the energy does not change under rotations. */
        const double share[6] = {-v[0] * g[0],
                                 -v[1] * g[1],
                                 -v[2] * g[2],
                                 -0.5 * (v[0] * g[1] + v[1] * g[0]),
                                 -0.5 * (v[0] * g[2] + v[2] * g[0]),
                                 -0.5 * (v[1] * g[2] + v[2] * g[1])};
        for (int i = 0; i < 6; i++) result->virial[i] += share[i];
        if (!result->atom_virial) continue;
        for (int i = 0; i < 6; i++) {
            result->atom_virial[6 * (int64_t)edges->source[k] + i] += 0.5 * share[i];
            result->atom_virial[6 * (int64_t)edges->target[k] + i] += 0.5 * share[i];
        }
    }
}
