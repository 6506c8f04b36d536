/* The graph: which candidates become edges, in what order, what is refused; and forces and virials
 * from a gradient made by hand. */
#include "graph/edges.h"

#include <string.h>

#include "arrays.h"
#include "check.h"
#include "small_systems.h"
#include "tolerances.h"

static const double CUTOFF = 6;

/* Candidates of every owned atom: all other rows.  `node` is NULL unless given. */
typedef struct cloud {
    umas_atoms atoms;
    int64_t *first;
    int *neighbour;
} cloud;

static cloud cloud_create(int owned, int total, const int *element, const double *position) {
    cloud c;
    c.first = malloc((size_t)(owned + 1) * sizeof *c.first);
    c.neighbour = malloc((size_t)owned * (size_t)total * sizeof *c.neighbour + 1);
    if (c.first == NULL || c.neighbour == NULL) exit(EXIT_FAILURE);
    int64_t count = 0;
    for (int i = 0; i < owned; i++) {
        c.first[i] = count;
        for (int j = total - 1; j >= 0; j--)
            if (j != i) c.neighbour[count++] = j;
    }
    c.first[owned] = count;
    c.atoms = (umas_atoms){.owned = owned,
                           .total = total,
                           .nodes = total,
                           .element = element,
                           .position = position,
                           .first = c.first,
                           .neighbour = c.neighbour,
                           .list_changed = 1};
    return c;
}

static void cloud_free(cloud *c) {
    free(c->first);
    free(c->neighbour);
}

/* The distance itself is no edge, the next smaller number is one. */
static void test_cutoff(void) {
    const int element[4] = {1, 2, 3, 4};
    const double position[12] = {0, 0, 0, 6, 0, 0, 0, nextafter(6, 0), 0, 0, 0, -6.5};
    cloud c = cloud_create(1, 4, element, position);
    umas_edges edges = {0};
    umas_error error;
    CHECK(umas_edges_build(&edges, &c.atoms, CUTOFF, 0, &error) == UMAS_OK);
    CHECK(edges.count == 1 && edges.first[0] == 0 && edges.first[1] == 1);
    CHECK(edges.source[0] == 2 && edges.source_node[0] == 2 && edges.target[0] == 0);
    CHECK(edges.vector[0][0] == 0 && edges.vector[0][1] == nextafter(6, 0));
    umas_edges_free(&edges);
    cloud_free(&c);
}

static void test_null_elements(void) {
    const int element[4] = {1, 0, 2, 0};
    /* the atoms without element lie on top of others */
    const double position[12] = {0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 0};
    cloud c = cloud_create(3, 4, element, position);
    umas_edges edges = {0};
    umas_error error;
    CHECK(umas_edges_build(&edges, &c.atoms, CUTOFF, 0, &error) == UMAS_OK);
    CHECK(edges.count == 2);
    CHECK(edges.first[1] == 1 && edges.first[2] == 1 && edges.first[3] == 2);
    CHECK(edges.source[0] == 2 && edges.target[0] == 0);
    CHECK(edges.source[1] == 0 && edges.target[1] == 2);
    CHECK(edges.vector[0][0] == 1 && edges.vector[0][1] == 1 && edges.vector[0][2] == 0);
    CHECK(edges.vector[1][0] == -1 && edges.vector[1][1] == -1);
    umas_edges_free(&edges);
    cloud_free(&c);
}

static void test_overlaps(void) {
    const int element[4] = {1, 1, 1, 1};
    double position[12] = {0, 0, 0, 3, 0, 0, 0, 3, 0, 3, 0, 0};
    cloud c = cloud_create(2, 4, element, position);
    umas_edges edges = {0};
    for (int i = 0; i < 3; i++) {
        const double apart[3] = {0, 0.9e-3, 1.1e-3};
        umas_error error = {0};
        position[11] = apart[i];
        const umas_status status = umas_edges_build(&edges, &c.atoms, CUTOFF, 0, &error);
        CHECK(status == (i < 2 ? UMAS_ERROR_GEOMETRY : UMAS_OK));
        if (i == 2) continue;
        CHECK(error.status == UMAS_ERROR_GEOMETRY && error.row[0] == 1 && error.row[1] == 3);
        CHECK(strstr(error.message, "on top of each other") != NULL);
    }
    umas_edges_free(&edges);
    cloud_free(&c);
}

static void test_positions(void) {
    const int element[4] = {1, 1, 1, 0};
    const double wrong[3] = {NAN, INFINITY, -INFINITY};
    cloud c = cloud_create(2, 4, element, NULL);
    umas_edges edges = {0};
    for (int i = 0; i < 12; i++) {
        double position[12] = {0, 0, 0, 3, 0, 0, 0, 3, 0, 3, 3, 0};
        umas_error error = {0};
        c.atoms.position = position;
        position[i] = wrong[i % 3];
        CHECK(umas_edges_build(&edges, &c.atoms, CUTOFF, 0, &error) == UMAS_ERROR_GEOMETRY);
        CHECK(error.row[0] == i / 3 && error.row[1] == -1);
        CHECK(strstr(error.message, "not finite") != NULL);
    }
    umas_edges_free(&edges);
    cloud_free(&c);
}

/* Edges by target as the candidates have them, and by source in ascending order. */
static void check_order(const umas_edges *e, const umas_atoms *atoms) {
    int64_t seen = 0;
    for (int i = 0; i < atoms->owned; i++) {
        for (int64_t k = atoms->first[i]; k < atoms->first[i + 1]; k++) {
            const double *a = atoms->position + 3L * i,
                         *b = atoms->position + 3L * atoms->neighbour[k];
            const double d[3] = {b[0] - a[0], b[1] - a[1], b[2] - a[2]};
            if (!(dot(d, d, 3) < CUTOFF * CUTOFF)) continue;
            CHECK(seen < e->count && e->target[seen] == i);
            CHECK(e->source[seen] == atoms->neighbour[k]);
            CHECK(e->source_node[seen] ==
                  (atoms->node ? atoms->node[atoms->neighbour[k]] : atoms->neighbour[k]));
            CHECK(memcmp(e->vector[seen], d, sizeof d) == 0);
            seen++;
        }
        CHECK(e->first[i + 1] == seen);
    }
    CHECK(e->count == seen && e->out_first[0] == 0 && e->out_first[atoms->nodes] == seen);
    for (int n = 0; n < atoms->nodes; n++)
        for (int64_t k = e->out_first[n]; k < e->out_first[n + 1]; k++) {
            CHECK(e->source_node[e->out[k]] == n);
            CHECK(k == e->out_first[n] || e->out[k - 1] < e->out[k]);
        }
}

/* One set of edges for systems that grow and shrink; half of the ghosts are images of owned
 * atoms. */
static void test_order_and_capacity(void) {
    const int owned[8] = {5, 40, 3, 0, 41, 1, 60, 20}, ghosts[8] = {5, 7, 0, 9, 0, 30, 50, 1};
    umas_edges edges = {0};
    uint64_t state = 9;
    for (int i = 0; i < 8; i++) {
        const int total = owned[i] + ghosts[i];
        double *position = array_random(3L * total, &state);
        for (int k = 0; k < 3 * total; k++) position[k] *= 6;
        int *element = malloc((size_t)total * 2 * sizeof *element), *node = element + total;
        if (element == NULL) exit(EXIT_FAILURE);
        cloud c = cloud_create(owned[i], total, element, position);
        c.atoms.nodes = owned[i];
        for (int k = 0; k < total; k++) {
            element[k] = 1 + k % 5;
            node[k] = k < owned[i] || k % 2 || owned[i] == 0 ? k : k % owned[i];
            if (node[k] >= owned[i]) node[k] = c.atoms.nodes++;
        }
        umas_error error;
        for (int with_node = 1; with_node >= 0; with_node--) {
            c.atoms.node = with_node ? node : NULL;
            if (!with_node) c.atoms.nodes = total;
            CHECK(umas_edges_build(&edges, &c.atoms, CUTOFF, 0, &error) == UMAS_OK);
            check_order(&edges, &c.atoms);
        }
        cloud_free(&c);
        free(element);
    }
    umas_edges_free(&edges);
    CHECK(arrays_free() == 0);
}

/* Two edges into atom 0: along y with a pull only, and along x with torques only.  Frames: x is a
 * coordinate axis less its part along n, z = x cross n. */
static void test_forces(void) {
    const int element[3] = {1, 1, 1};
    const double position[9] = {0, 0, 0, 0, 2, 0, 4, 0, 0};
    const int64_t first[2] = {0, 2};
    const int neighbour[2] = {1, 2};
    const umas_atoms atoms = {.owned = 1,
                              .total = 3,
                              .nodes = 3,
                              .element = element,
                              .position = position,
                              .first = first,
                              .neighbour = neighbour,
                              .list_changed = 1};
    const umas_edge_gradient gradient[2] = {{5, 0, 0}, {0, 3, -7}};
    umas_edges edges = {0};
    umas_error error;
    umas_result r = {.force = array_poisoned(9), .atom_virial = array_poisoned(18)};
    for (int i = 0; i < 6; i++) r.virial[i] = NAN;
    CHECK(umas_edges_build(&edges, &atoms, CUTOFF, 0, &error) == UMAS_OK && edges.count == 2);
    umas_edges_to_forces(&edges, &atoms, gradient, 10, &r);

    /* Edge 1 has n = x; its frame's x axis is e_z and its z axis e_z cross e_x = e_y, so
     * dE/dvector = 10 (torque_z e_z - torque_x e_y) / 4 = (0, -7.5, -17.5). */
    const double force[9] = {0, 50 - 7.5, -17.5, 0, -50, 0, 0, 7.5, 17.5};
    const double virial[6] = {0, -100, 0, 15, 35, 0};
    double half[18];
    for (int i = 0; i < 6; i++) {
        const int is_first = i == 1;
        half[i] = virial[i] / 2;
        half[6 + i] = is_first ? virial[i] / 2 : 0;
        half[12 + i] = is_first ? 0 : virial[i] / 2;
    }
    check_close("force", r.force, force, 9, 100 * TOLERANCE_DOUBLE_SUM, 0);
    check_close("virial", r.virial, virial, 6, 100 * TOLERANCE_DOUBLE_SUM, 0);
    check_close("atom virial", r.atom_virial, half, 18, 100 * TOLERANCE_DOUBLE_SUM, 0);

    double *without = array_poisoned(9);
    umas_result plain = {.force = without};
    umas_edges_to_forces(&edges, &atoms, gradient, 10, &plain);
    CHECK(memcmp(without, r.force, 9 * sizeof *without) == 0);
    CHECK(memcmp(plain.virial, r.virial, sizeof r.virial) == 0);
    umas_edges_free(&edges);
    CHECK(arrays_free() == 0);
}

static int descending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Of an atom with more neighbours than the limit stay those that are no farther than the next one
 * after the nearest `limit`, and its ties: the expected ones come from a sorted list. */
static void test_limit(void) {
    enum { ATOMS = 40, LIMIT = 9 };
    structure s = random_cluster(ATOMS, 91);
    umas_atoms atoms = neighbours_create(&s, CUTOFF, 0);
    umas_edges all = {0}, some = {0};
    umas_error error;
    CHECK(umas_edges_build(&all, &atoms, CUTOFF, 0, &error) == UMAS_OK && all.crowded == 0);
    CHECK(umas_edges_build(&some, &atoms, CUTOFF, LIMIT, &error) == UMAS_OK);
    int crowded = 0;
    for (int i = 0; i < ATOMS; i++) {
        double squared[ATOMS];
        const int count = (int)(all.first[i + 1] - all.first[i]);
        for (int k = 0; k < count; k++) {
            const double *v = all.vector[all.first[i] + k];
            squared[k] = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
        }
        qsort(squared, (size_t)count, sizeof *squared, descending);
        int expected = count;
        if (count > LIMIT) {
            crowded++;
            while (squared[count - expected] > squared[count - 1 - LIMIT] + 0.01) expected--;
        }
        CHECK(some.first[i + 1] - some.first[i] == expected);
        double farthest = 0;
        for (int64_t e = some.first[i]; e < some.first[i + 1]; e++) {
            const double *v = some.vector[e];
            farthest = fmax(farthest, v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
        }
        CHECK(farthest == squared[count - expected]);
    }
    CHECK(some.crowded == crowded && crowded > ATOMS / 2 && some.count < all.count);
    umas_edges_free(&all);
    umas_edges_free(&some);
    neighbours_free(&atoms);
    structure_free(&s);
}

/* Pointers into arrays of no edges are formed, too (tests/fuzz found null ones). */
static void test_no_edges(void) {
    structure s = structure_create(1);
    s.element[0] = 14;
    umas_atoms atoms = neighbours_create(&s, CUTOFF, 0);
    umas_edges edges = {0};
    umas_error error;
    CHECK(umas_edges_build(&edges, &atoms, CUTOFF, 0, &error) == UMAS_OK && edges.count == 0);
    CHECK(edges.source != NULL && edges.source_node != NULL && edges.target != NULL);
    CHECK(edges.vector != NULL && edges.out != NULL);
    umas_edges_free(&edges);
    neighbours_free(&atoms);
    structure_free(&s);
}

int main(void) {
    test_cutoff();
    test_null_elements();
    test_overlaps();
    test_positions();
    test_order_and_capacity();
    test_forces();
    test_limit();
    test_no_edges();
    return check_report();
}
