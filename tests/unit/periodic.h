/* Crystals and molecules for tests: a cell's atoms, their images as ghosts, and neighbour lists. */
#ifndef UMAS_PERIODIC_H
#define UMAS_PERIODIC_H

#include "umas.h"

typedef struct structure {
    int atoms;
    int *element;      /* [atoms] */
    double *position;  /* [atoms][3] A */
    double cell[3][3]; /* rows: lattice vectors, A */
    int periodic[3];
} structure;

/* Room for `atoms` atoms, not periodic, all at the origin. */
structure structure_create(int atoms);
structure structure_copy(const structure *s);
void structure_free(structure *s);

/* The umas_atoms of one rank for a structure: every image within the cutoff of the cell is a ghost,
 * every pair within cutoff + skin a candidate. */
umas_atoms neighbours_create(const structure *s, double cutoff, double skin);
/* Move the atoms of `a` to those of a structure with the same list. */
void neighbours_move(umas_atoms *a, const structure *from, const structure *to);
void neighbours_free(umas_atoms *a);

/* Energy, forces [atoms][3] and virial [6] of a structure on one rank; exits the test on failure.
 * force and virial may be NULL. */
double evaluate_structure(umas_engine *engine, const structure *s, double *force, double *virial);

/* An engine for a model, task, charge, spin and precision on the CPU; exits the test on failure. */
umas_engine *create_engine(const umas_model *model, const char *task, int charge, int spin,
                           umas_precision precision);

#endif
