/* Random small models and structures, and evaluations with everything an engine returns. */
#ifndef UMAS_SMALL_SYSTEMS_H
#define UMAS_SMALL_SYSTEMS_H

#include "periodic.h"

/* Two layers, few channels of distinct numbers, three experts, mmax 2, nothing balanced. */
extern const umas_architecture plain_architecture;
/* The same with mmax 1, and two channels balanced to the charge and one to the spin. */
extern const umas_architecture balanced_architecture;

/* Atoms of elements 1 to 5, none closer than 1.1 A to another or to an image: in a triclinic
 * periodic cell of 12 A^3 an atom, or as a cluster as dense as that. */
structure random_crystal(int atoms, uint64_t seed);
structure random_cluster(int atoms, uint64_t seed);

typedef struct evaluation {
    int atoms;
    double energy, virial[6];
    double *force;       /* [atoms][3], ghosts' parts included */
    double *atom_energy; /* [atoms] */
    double *atom_virial; /* [atoms][6], ghosts' parts included */
} evaluation;

/* Tell the engine the structure's composition and evaluate it; exits the test on failure. */
evaluation evaluate_all(umas_engine *engine, const structure *s);
void evaluation_free(evaluation *e);

/* Are all numbers the same, bit for bit? */
int is_same_evaluation(const evaluation *a, const evaluation *b);

#endif
