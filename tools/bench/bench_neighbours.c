/* Ghosts and candidates of a periodic structure by cells: bench_neighbours.h. */
#include "bench_neighbours.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Fractional coordinates: where the bins begin and how large they are. */
typedef struct grid {
    double reciprocal[3][3]; /* fraction k of r is reciprocal[k] . r */
    double margin[3];        /* `reach` across the faces of the cell, as a fraction */
    double low[3], length[3];
    int bins[3];
    int *start; /* [bins + 1] */
    int *row;   /* rows of bin b: row[start[b] .. start[b + 1]) */
} grid;

static double dot(const double *a, const double *b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void set_axes(const bench_structure *s, double reach, grid *g) {
    for (int k = 0; k < 3; k++) {
        const double *b = s->cell[(k + 1) % 3], *c = s->cell[(k + 2) % 3];
        const double normal[3] = {b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2],
                                  b[0] * c[1] - b[1] * c[0]};
        const double volume = dot(s->cell[k], normal);
        for (int d = 0; d < 3; d++) g->reciprocal[k][d] = normal[d] / volume;
        g->margin[k] = reach * sqrt(dot(g->reciprocal[k], g->reciprocal[k]));
    }
}

/* The atom's position, moved into the cell along its periodic vectors, and its fractions. */
static void wrap(const bench_structure *s, const grid *g, int i, double r[3], double fraction[3]) {
    memcpy(r, s->position + 3 * (size_t)i, 3 * sizeof *r);
    for (int k = 0; k < 3; k++) {
        fraction[k] = dot(g->reciprocal[k], s->position + 3 * (size_t)i);
        if (!s->periodic[k]) continue;
        const double cells = floor(fraction[k]);
        fraction[k] -= cells;
        for (int d = 0; d < 3; d++) r[d] -= cells * s->cell[k][d];
    }
}

/* Images of an atom along vector k: how many cells to shift it by, first to last. */
static void image_range(const bench_structure *s, const grid *g, const double fraction[3],
                        double shift[3][2]) {
    for (int k = 0; k < 3; k++) {
        shift[k][0] = s->periodic[k] ? ceil(-g->margin[k] - fraction[k]) : 0;
        shift[k][1] = s->periodic[k] ? floor(1 + g->margin[k] - fraction[k]) : 0;
    }
}

/* Atoms and ghosts, as a double because a tiny cell has more than any integer holds. */
static double count_rows(const bench_structure *s, const grid *g) {
    double total = 0;
    for (int i = 0; i < s->atoms; i++) {
        double r[3], fraction[3], shift[3][2];
        wrap(s, g, i, r, fraction);
        image_range(s, g, fraction, shift);
        total += (shift[0][1] - shift[0][0] + 1) * (shift[1][1] - shift[1][0] + 1) *
                 (shift[2][1] - shift[2][0] + 1);
    }
    return total;
}

static void add_images(const bench_structure *s, int i, double shift[3][2], bench_neighbours *n,
                       int *total) {
    const double *owner = n->origin + 3 * (size_t)i;
    for (int x = (int)shift[0][0]; x <= (int)shift[0][1]; x++)
        for (int y = (int)shift[1][0]; y <= (int)shift[1][1]; y++)
            for (int z = (int)shift[2][0]; z <= (int)shift[2][1]; z++) {
                if (x == 0 && y == 0 && z == 0) continue;
                double *r = n->origin + 3 * (size_t)*total;
                for (int d = 0; d < 3; d++)
                    r[d] = owner[d] + x * s->cell[0][d] + y * s->cell[1][d] + z * s->cell[2][d];
                n->element[*total] = s->element[i];
                n->node[*total] = i;
                (*total)++;
            }
}

static umas_status no_memory(umas_error *error, int rows) {
    (void)bench_fail(error, UMAS_ERROR_MEMORY, "no memory for the list of %d atoms and ghosts",
                     rows);
    return UMAS_ERROR_MEMORY;
}

static umas_status place_atoms(const bench_structure *s, const grid *g, bench_neighbours *n,
                               umas_error *error) {
    const double rows = count_rows(s, g);
    if (rows > INT_MAX) {
        (void)bench_fail(error, UMAS_ERROR_ARGUMENT,
                         "%d atoms have %.3g periodic images within reach: the cell is too small",
                         s->atoms, rows);
        return UMAS_ERROR_ARGUMENT;
    }
    const size_t total = (size_t)rows;
    n->element = malloc(total * sizeof *n->element);
    n->node = malloc(total * sizeof *n->node);
    n->origin = malloc(total * 3 * sizeof *n->origin);
    n->position = malloc(total * 3 * sizeof *n->position);
    n->first = malloc(((size_t)s->atoms + 1) * sizeof *n->first);
    if (!n->element || !n->node || !n->origin || !n->position || !n->first)
        return no_memory(error, (int)rows);
    int filled = s->atoms;
    for (int i = 0; i < s->atoms; i++) {
        double fraction[3], shift[3][2];
        wrap(s, g, i, n->origin + 3 * (size_t)i, fraction);
        image_range(s, g, fraction, shift);
        n->element[i] = s->element[i];
        n->node[i] = i;
        add_images(s, i, shift, n, &filled);
    }
    n->atoms.owned = n->atoms.nodes = s->atoms;
    n->atoms.total = filled;
    return UMAS_OK;
}

/* Bins at least `reach` wide, so that a pair is in the same one or in adjacent ones, and no more of
 * them than there are rows, so that atoms far apart cost nothing. */
static void choose_bins(const bench_structure *s, const bench_neighbours *n, grid *g) {
    for (int k = 0; k < 3; k++) {
        double low = -g->margin[k], high = 1 + g->margin[k];
        if (!s->periodic[k]) {
            low = INFINITY;
            high = -INFINITY;
            for (int i = 0; i < s->atoms; i++) {
                const double fraction = dot(g->reciprocal[k], n->origin + 3 * (size_t)i);
                low = fmin(low, fraction);
                high = fmax(high, fraction);
            }
        }
        g->low[k] = low;
        g->length[k] = high - low;
        g->bins[k] = (int)fmax(1, fmin(1024, floor(g->length[k] / g->margin[k])));
    }
    while ((int64_t)g->bins[0] * g->bins[1] * g->bins[2] > (int64_t)n->atoms.total + 27) {
        int k = g->bins[0] > g->bins[1] ? 0 : 1;
        if (g->bins[2] > g->bins[k]) k = 2;
        g->bins[k] = (g->bins[k] + 1) / 2;
    }
}

static void bin_of(const grid *g, const double *r, int bin[3]) {
    for (int k = 0; k < 3; k++) {
        const double fraction = dot(g->reciprocal[k], r) - g->low[k];
        const double at = g->length[k] > 0 ? fraction / g->length[k] * g->bins[k] : 0;
        bin[k] = (int)fmax(0, fmin(g->bins[k] - 1, floor(at)));
    }
}

static int index_of(const grid *g, const int bin[3]) {
    return (bin[0] * g->bins[1] + bin[1]) * g->bins[2] + bin[2];
}

static umas_status fill_bins(const bench_neighbours *n, grid *g, umas_error *error) {
    const int total = n->atoms.total, bins = g->bins[0] * g->bins[1] * g->bins[2];
    g->start = calloc((size_t)bins + 2, sizeof *g->start);
    g->row = malloc((size_t)total * sizeof *g->row);
    if (!g->start || !g->row) return no_memory(error, total);
    int bin[3], *end = g->start + 1; /* end[b] is where bin b begins until its rows are in */
    for (int i = 0; i < total; i++) {
        bin_of(g, n->origin + 3 * (size_t)i, bin);
        end[index_of(g, bin) + 1]++;
    }
    for (int b = 0; b < bins; b++) end[b + 1] += end[b];
    for (int i = 0; i < total; i++) {
        bin_of(g, n->origin + 3 * (size_t)i, bin);
        g->row[end[index_of(g, bin)]++] = i;
    }
    return UMAS_OK;
}

static double square_distance(const double *a, const double *b) {
    const double v[3] = {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
    return dot(v, v);
}

/* Rows closer than `reach` to atom i, appended from `count` on; returns the new count.  There must
 * be room for all rows of the bins around it. */
static int64_t gather(const grid *g, const bench_neighbours *n, int i, double reach,
                      int64_t count) {
    const double *r = n->origin + 3 * (size_t)i;
    int bin[3], low[3], high[3];
    bin_of(g, r, bin);
    for (int k = 0; k < 3; k++) {
        low[k] = bin[k] > 0 ? bin[k] - 1 : 0;
        high[k] = bin[k] < g->bins[k] - 1 ? bin[k] + 1 : bin[k];
    }
    for (int x = low[0]; x <= high[0]; x++)
        for (int y = low[1]; y <= high[1]; y++) {
            const int from = index_of(g, (int[3]){x, y, low[2]});
            const int to = index_of(g, (int[3]){x, y, high[2]});
            for (int at = g->start[from]; at < g->start[to + 1]; at++) {
                const int j = g->row[at];
                if (j != i && square_distance(r, n->origin + 3 * (size_t)j) < reach * reach)
                    n->neighbour[count++] = j;
            }
        }
    return count;
}

static umas_status list_candidates(const grid *g, double reach, bench_neighbours *n,
                                   umas_error *error) {
    int64_t capacity = 0, count = 0, fullest = 0;
    for (int b = 0; b < g->bins[0] * g->bins[1] * g->bins[2]; b++)
        if (g->start[b + 1] - g->start[b] > fullest) fullest = g->start[b + 1] - g->start[b];
    for (int i = 0; i < n->atoms.owned; i++) {
        n->first[i] = count;
        if (count + 27 * fullest > capacity) {
            capacity = 3 * capacity / 2 + 27 * fullest;
            int *larger = realloc(n->neighbour, (size_t)capacity * sizeof *larger);
            if (!larger) return no_memory(error, n->atoms.total);
            n->neighbour = larger;
        }
        count = gather(g, n, i, reach, count);
    }
    n->first[n->atoms.owned] = count;
    return UMAS_OK;
}

umas_status bench_neighbours_create(const bench_structure *s, double reach, bench_neighbours *n,
                                    umas_error *error) {
    grid g = {.start = NULL};
    *n = (bench_neighbours){.element = NULL};
    set_axes(s, reach, &g);
    umas_status status = place_atoms(s, &g, n, error);
    if (status == UMAS_OK) {
        choose_bins(s, n, &g);
        status = fill_bins(n, &g, error);
    }
    if (status == UMAS_OK) status = list_candidates(&g, reach, n, error);
    free(g.start);
    free(g.row);
    if (status != UMAS_OK) {
        bench_neighbours_free(n);
        return status;
    }
    n->atoms.element = n->element;
    n->atoms.position = n->position;
    n->atoms.node = n->node;
    n->atoms.first = n->first;
    n->atoms.neighbour = n->neighbour;
    n->atoms.list_changed = 1;
    bench_neighbours_displace(n, NULL);
    return UMAS_OK;
}

void bench_neighbours_free(bench_neighbours *n) {
    free(n->element);
    free(n->position);
    free(n->origin);
    free(n->node);
    free(n->first);
    free(n->neighbour);
}

void bench_neighbours_displace(bench_neighbours *n, const double *displacement) {
    for (int i = 0; i < n->atoms.total; i++)
        for (int d = 0; d < 3; d++)
            n->position[3 * (size_t)i + d] =
                n->origin[3 * (size_t)i + d] +
                (displacement ? displacement[3 * (size_t)n->node[i] + d] : 0);
}

int64_t bench_neighbours_edges(const bench_neighbours *n, double cutoff) {
    int64_t edges = 0;
    for (int i = 0; i < n->atoms.owned; i++)
        for (int64_t at = n->first[i]; at < n->first[i + 1]; at++)
            edges += square_distance(n->position + 3 * (size_t)i,
                                     n->position + 3 * (size_t)n->neighbour[at]) < cutoff * cutoff;
    return edges;
}

void bench_neighbours_fold(const bench_neighbours *n, double *force) {
    for (int i = n->atoms.owned; i < n->atoms.total; i++)
        for (int d = 0; d < 3; d++) force[3 * (size_t)n->node[i] + d] += force[3 * (size_t)i + d];
}
