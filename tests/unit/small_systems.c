/* Small models and structures, and their evaluation: small_systems.h. */
#include "small_systems.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arrays.h"

#define SMALL_SIZES                                                                                \
    .sphere_channels = 5, .hidden_channels = 7, .edge_channels = 6, .layers = 2, .lmax = 2,        \
    .distance_functions = 8, .elements = 10, .experts = 3, .routing_channels = 4, .embeddings = 2, \
    .heads = 2, .cutoff = 6

const umas_architecture plain_architecture = {SMALL_SIZES, .mmax = 2};
const umas_architecture balanced_architecture = {SMALL_SIZES, .mmax = 1, .charge_channel = {0, 2},
                                                 .spin_channel = {3, 4}};

static void stop(const char *what) {
    fprintf(stderr, "small_systems: %s\n", what);
    exit(EXIT_FAILURE);
}

/* ---- structures --------------------------------------------------------------------------- */

static const double SMALLEST_DISTANCE = 1.1;

/* Is atom `at` far enough from those before it, in all neighbouring cells? */
static int is_free(const structure *s, int at) {
    for (int j = 0; j <= at; j++)
        for (int image = 0; image < 27; image++) {
            const int shift[3] = {image / 9 - 1, image / 3 % 3 - 1, image % 3 - 1};
            double squared = 0;
            if (j == at && image == 13) continue;
            for (int d = 0; d < 3; d++) {
                double r = s->position[3 * at + d] - s->position[3 * j + d];
                for (int k = 0; k < 3; k++) r += shift[k] * s->periodic[k] * s->cell[k][d];
                squared += r * r;
            }
            if (j == at && !s->periodic[0]) continue;
            if (squared < SMALLEST_DISTANCE * SMALLEST_DISTANCE) return 0;
        }
    return 1;
}

static structure random_structure(int atoms, int periodic, uint64_t seed) {
    static const double shape[3][3] = {{1.05, 0, 0}, {0.2, 0.95, 0}, {-0.1, 0.15, 1.01}};
    structure s = structure_create(atoms);
    const double edge = cbrt(12.0 * atoms);
    for (int k = 0; k < 9; k++) s.cell[k / 3][k % 3] = edge * shape[k / 3][k % 3];
    for (int k = 0; k < 3; k++) s.periodic[k] = periodic;
    for (int i = 0; i < atoms; i++) {
        s.element[i] = 1 + i * i % 7 % 5;
        do {
            double place[3];
            for (int k = 0; k < 3; k++) place[k] = (random_uniform(&seed) + 1) / 2;
            for (int d = 0; d < 3; d++) {
                s.position[3 * i + d] = 0;
                for (int k = 0; k < 3; k++) s.position[3 * i + d] += place[k] * s.cell[k][d];
            }
        } while (!is_free(&s, i));
    }
    return s;
}

structure random_crystal(int atoms, uint64_t seed) { return random_structure(atoms, 1, seed); }

structure random_cluster(int atoms, uint64_t seed) { return random_structure(atoms, 0, seed); }

/* ---- evaluations -------------------------------------------------------------------------- */

static double *zeros(size_t count) {
    double *zero = calloc(count ? count : 1, sizeof *zero);
    if (zero == NULL) stop("out of memory");
    return zero;
}

evaluation evaluate_all(umas_engine *engine, const structure *s) {
    const size_t n = (size_t)s->atoms;
    umas_atoms a = neighbours_create(s, 6.0, 0.5);
    evaluation e = {.atoms = s->atoms};
    umas_error error;
    int64_t counts[UMAS_ELEMENTS] = {0};
    e.force = zeros(3 * n);
    e.atom_energy = zeros(n);
    e.atom_virial = zeros(6 * n);
    umas_result r = {.atom_energy = e.atom_energy};
    r.force = zeros(3 * (size_t)a.total);
    r.atom_virial = zeros(6 * (size_t)a.total);
    for (size_t i = 0; i < n; i++) counts[s->element[i]]++;
    if (umas_engine_set_composition(engine, counts, &error) != UMAS_OK) stop(error.message);
    if (umas_engine_evaluate(engine, &a, &r, &error) != UMAS_OK) stop(error.message);
    e.energy = r.energy;
    memcpy(e.virial, r.virial, sizeof e.virial);
    for (int i = 0; i < a.total; i++) {
        for (int d = 0; d < 3; d++) e.force[3 * a.node[i] + d] += r.force[3 * i + d];
        for (int d = 0; d < 6; d++) e.atom_virial[6 * a.node[i] + d] += r.atom_virial[6 * i + d];
    }
    free(r.force);
    free(r.atom_virial);
    neighbours_free(&a);
    return e;
}

void evaluation_free(evaluation *e) {
    free(e->force);
    free(e->atom_energy);
    free(e->atom_virial);
}

int is_same_evaluation(const evaluation *a, const evaluation *b) {
    const size_t n = (size_t)a->atoms;
    return a->atoms == b->atoms && memcmp(&a->energy, &b->energy, sizeof a->energy) == 0 &&
           memcmp(a->virial, b->virial, sizeof a->virial) == 0 &&
           memcmp(a->force, b->force, 3 * n * sizeof *a->force) == 0 &&
           memcmp(a->atom_energy, b->atom_energy, n * sizeof *a->atom_energy) == 0 &&
           memcmp(a->atom_virial, b->atom_virial, 6 * n * sizeof *a->atom_virial) == 0;
}
