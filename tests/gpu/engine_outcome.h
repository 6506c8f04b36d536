/* What the tests of whole CUDA engines are written with: models, structures, engines, and results
 * that are compared. */
#ifndef UMAS_ENGINE_OUTCOME_H
#define UMAS_ENGINE_OUTCOME_H

#include <string.h>

#include "check.h"
#include "model_writer.h"
#include "periodic.h"
#include "tolerances.h"

static inline double uniform(void) { return rand() / (double)RAND_MAX; }

static inline umas_architecture architecture(int mmax, int experts) {
    umas_architecture a = {.sphere_channels = 128,
                           .hidden_channels = 128,
                           .edge_channels = 128,
                           .layers = 2,
                           .lmax = 2,
                           .mmax = mmax,
                           .distance_functions = 32,
                           .elements = 100,
                           .experts = experts,
                           .routing_channels = 2 * experts,
                           .embeddings = 2,
                           .heads = 2,
                           .cutoff = 6};
    return a;
}

/* Atoms of up to four elements, no two closer than 1.2 A, in a cell of this edge (0: no cell). */
static inline structure scatter(int atoms, double edge, double tilt) {
    static const int elements[4] = {8, 14, 12, 26};
    structure s = structure_create(atoms);
    double box = edge > 0 ? edge : 3 + atoms;
    for (int d = 0; d < 3; d++) {
        s.cell[d][d] = box;
        s.periodic[d] = edge > 0;
    }
    s.cell[1][0] = tilt * box;
    s.cell[2][1] = -tilt * box;
    for (int i = 0; i < atoms; i++) {
        s.element[i] = elements[i % 4];
        double nearest;
        do {
            double f[3] = {uniform(), uniform(), uniform()};
            for (int d = 0; d < 3; d++)
                s.position[3 * i + d] =
                    f[0] * s.cell[0][d] + f[1] * s.cell[1][d] + f[2] * s.cell[2][d];
            nearest = INFINITY;
            for (int j = 0; j < i; j++) {
                double r = 0;
                for (int d = 0; d < 3; d++)
                    r += pow(s.position[3 * i + d] - s.position[3 * j + d], 2);
                nearest = fmin(nearest, r);
            }
        } while (nearest < 1.44);
    }
    return s;
}

typedef struct outcome {
    double energy, virial[6], *force, *atom_energy, *atom_virial;
    int total;
} outcome;

static inline void outcome_free(outcome *o) {
    free(o->force);
    free(o->atom_energy);
    free(o->atom_virial);
}

/* *o is to be freed where the status is OK. */
static inline umas_status try_run(umas_engine *engine, const structure *s, const umas_atoms *a,
                                  outcome *o, umas_error *error) {
    int64_t counts[UMAS_ELEMENTS] = {0};
    for (int i = 0; i < s->atoms; i++) counts[s->element[i]]++;
    *o = (outcome){.total = a->total};
    o->force = malloc(sizeof(double) * 3 * (size_t)a->total);
    o->atom_virial = malloc(sizeof(double) * 6 * (size_t)a->total);
    o->atom_energy = malloc(sizeof(double) * (size_t)a->owned);
    umas_result r = {.force = o->force,
                     .atom_energy = o->atom_energy,
                     .atom_virial = o->atom_virial};
    umas_status status = umas_engine_set_composition(engine, counts, error);
    if (status == UMAS_OK) status = umas_engine_evaluate(engine, a, &r, error);
    if (status != UMAS_OK) {
        outcome_free(o);
        return status;
    }
    o->energy = r.energy;
    memcpy(o->virial, r.virial, sizeof o->virial);
    /* ghosts' parts go to their owners, as the caller of the engine does */
    for (int i = a->owned; i < a->total; i++) {
        for (int d = 0; d < 3; d++) o->force[3 * a->node[i] + d] += o->force[3 * i + d];
        for (int d = 0; d < 6; d++) o->atom_virial[6 * a->node[i] + d] += o->atom_virial[6 * i + d];
    }
    return UMAS_OK;
}

/* Exits the test on failure. */
static inline outcome run(umas_engine *engine, const structure *s, const umas_atoms *a) {
    outcome o;
    umas_error error;
    if (try_run(engine, s, a, &o, &error) == UMAS_OK) return o;
    fprintf(stderr, "%s: %s\n", umas_status_name(error.status), error.message);
    exit(EXIT_FAILURE);
}

static inline double norm(const double *v, long n) {
    double sum = 0;
    for (long i = 0; i < n; i++) sum += v[i] * v[i];
    return sqrt(sum);
}

static inline double distance(const double *a, const double *b, long n) {
    double sum = 0;
    for (long i = 0; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrt(sum);
}

/* Forces of a few atoms, or of symmetric ones, nearly cancel; their errors do not.  They are then
 * held against edges' gradients of about this size, eV/A. */
#define FORCE_FLOOR 1.0

/* |got - want| <= tolerance * |want| (+ floor for vectors that vanish by symmetry) */
static inline void check_vector(const char *what, const double *got, const double *want, long n,
                                double tolerance, double floor) {
    double error = distance(got, want, n), scale = norm(want, n);
    printf("    %-12s relative error %.2e of %.3g\n", what, error / (scale + 1e-300), scale);
    if (!CHECK(error <= tolerance * scale + floor)) fprintf(stderr, "    %s is off\n", what);
}

static inline void compare(const char *name, const outcome *got, const outcome *want, int atoms,
                           umas_precision precision) {
    int single = precision == UMAS_SINGLE;
    double force = single ? TOLERANCE_CUDA_SINGLE_FORCE : TOLERANCE_CUDA_MIXED_FORCE;
    double energy = single ? TOLERANCE_CUDA_SINGLE_ENERGY : TOLERANCE_CUDA_MIXED_ENERGY;
    double virial = single ? TOLERANCE_CUDA_SINGLE_VIRIAL : TOLERANCE_CUDA_MIXED_VIRIAL;
    double energies = 0, edges = FORCE_FLOOR * force * atoms;
    for (int i = 0; i < atoms; i++) energies += fabs(want->atom_energy[i]);
    printf("  %s, %s: energy off by %.2e of %.3g eV\n", name, single ? "single" : "mixed",
           fabs(got->energy - want->energy), energies);
    CHECK(fabs(got->energy - want->energy) <= energy * energies);
    check_vector("force", got->force, want->force, 3L * atoms, force, edges);
    check_vector("virial", got->virial, want->virial, 6, virial, edges);
    check_vector("atom energy", got->atom_energy, want->atom_energy, atoms, energy, 0);
    check_vector("atom virial", got->atom_virial, want->atom_virial, 6L * atoms, virial, edges);
}

static inline int same_bits(const outcome *a, const outcome *b, int atoms) {
    size_t n = (size_t)atoms;
    return memcmp(&a->energy, &b->energy, sizeof a->energy) == 0 &&
           memcmp(a->virial, b->virial, sizeof a->virial) == 0 &&
           memcmp(a->force, b->force, 3 * n * sizeof *a->force) == 0 &&
           memcmp(a->atom_energy, b->atom_energy, n * sizeof *a->atom_energy) == 0 &&
           memcmp(a->atom_virial, b->atom_virial, 6 * n * sizeof *a->atom_virial) == 0;
}

static inline umas_engine_options cuda_options(umas_precision precision) {
    umas_engine_options o = umas_engine_default_options();
    o.backend = UMAS_CUDA;
    o.precision = precision;
    o.task = "omat";
    return o;
}

static inline umas_engine *cuda_engine(const umas_model *model, umas_engine_options options) {
    umas_engine *engine;
    umas_error error;
    if (umas_engine_create(model, &options, &engine, &error) == UMAS_OK) return engine;
    fprintf(stderr, "%s: %s\n", umas_status_name(error.status), error.message);
    exit(EXIT_FAILURE);
}

/* A model with the weights of these tensors 2^power times larger. */
static inline umas_model *scaled_model(const char *tensor, int power) {
    umas_architecture a = architecture(2, 0);
    model_draft draft;
    int found = 0;
    draft_tensors(&draft, &a, 16);
    for (int i = 0; i < draft.tensors; i++) {
        size_t n = 1;
        if (strstr(draft.shape[i].name, tensor) == NULL) continue;
        found = 1;
        for (int d = 0; d < draft.shape[i].dimensions; d++) n *= (size_t)draft.shape[i].shape[d];
        for (size_t k = 0; k < n; k++) draft.value[i][k] = ldexpf(draft.value[i][k], power);
    }
    CHECK(found);
    umas_model *model = draft_open(&draft);
    draft_free(&draft);
    return model;
}

#endif
