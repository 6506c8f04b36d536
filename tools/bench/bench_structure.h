/* Atoms to time: generated crystals, or what an extended XYZ file holds. */
#ifndef UMAS_BENCH_STRUCTURE_H
#define UMAS_BENCH_STRUCTURE_H

#include "umas.h"

typedef struct bench_structure {
    int atoms;
    int *element;      /* [atoms] atomic number */
    double *position;  /* [atoms][3] A */
    double cell[3][3]; /* rows: lattice vectors, A; independent also where not periodic */
    int periodic[3];
} bench_structure;

typedef enum bench_crystal {
    BENCH_FCC,      /* carbon, a = 3.8 A: the smallest n x n x n primitive cells with enough sites,
                     * sites emptied at random until `atoms` remain */
    BENCH_FCC_FULL, /* carbon, a = 3.8 A: the n x n x n cubic cells nearest to `atoms`, every site
                     * moved by 0.05 A (standard deviation of each coordinate) */
    BENCH_SI        /* silicon, diamond structure, a = 5.43 A, cubic cells, moved likewise */
} bench_crystal;

/* Each fills *s, which bench_structure_free releases; on failure there is nothing to release.
 * Status: ARGUMENT, IO, FORMAT, MEMORY. */

/* atoms: 1 .. BENCH_MOST_ATOMS; the same seed gives the same structure. */
#define BENCH_MOST_ATOMS 100000000
umas_status bench_structure_crystal(bench_crystal crystal, int atoms, uint64_t seed,
                                    bench_structure *s, umas_error *error);

/* Extended XYZ: number of atoms; a line with Lattice="nine numbers" and pbc="T T F" (without them
 * nothing is periodic, without pbc all is); lines of element and position, and columns that are
 * ignored. */
umas_status bench_structure_read(const char *path, bench_structure *s, umas_error *error);

/* The same format, with energy and virial (nine numbers) in its second line and force [atoms][3] in
 * three more columns, all with 17 digits. */
umas_status bench_structure_write(const char *path, const bench_structure *s, double energy,
                                  const double virial[6], const double *force, umas_error *error);

void bench_structure_free(bench_structure *s);

/* Set *error as the library does (printf style); returns status. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
umas_status
bench_fail(umas_error *error, umas_status status, const char *format, ...);

#endif
