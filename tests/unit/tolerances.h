/* What tests compare with, each with its reason. */
#ifndef UMAS_TOLERANCES_H
#define UMAS_TOLERANCES_H

/* Mean and variance of n random weights, relative to their spread: five standard deviations, which
 * a right generator exceeds for one seed in a million (tests use fixed seeds). */
#define TOLERANCE_SAMPLE(n) (5.0 / sqrt((double)(n)))

/* Against fairchem in float64, eV/atom and eV/A: what the contract promises (rounding alone is
 * 1e-13). */
#define TOLERANCE_GOLDEN_ENERGY 1e-9
#define TOLERANCE_GOLDEN_FORCE 1e-8

/* The same in single precision: energies of some eV and forces of some eV/A through a few hundred
 * rounded sums of 6e-8 each. */
#define TOLERANCE_SINGLE_ENERGY 2e-5
#define TOLERANCE_SINGLE_FORCE 1e-4

/* A CUDA stage in fp32 against the CPU's in double, in units of the array's largest number: some
 * ten roundings of 6e-8 each, and 2 to 7 of them in the fast exponential. */
#define TOLERANCE_STAGE 2e-6

/* Its numbers where they are stored in 16 bits: half a unit in the last of 11 bits. */
#define TOLERANCE_HALF 4.9e-4

/* A radial function from a table in fp32, in units of the largest: its distance is rounded to
 * 4e-7 A, over which it changes by as much times its slope. */
#define TOLERANCE_TABLE 1e-5

/* Its slope, which changes with the rounded distance as the value does. */
#define TOLERANCE_TABLE_SLOPE 1e-5

/* A product of rows of up to 1024 numbers of order one with fp32 sums, in units of the largest:
 * some sixty roundings of 6e-8, as they are of random sign. */
#define TOLERANCE_PRODUCT 4e-6

/* A sum in double in another order, for each number of size one, or relative: 1e-16 a rounding. */
#define TOLERANCE_DOUBLE_SUM 1e-14

/* Central differences of fourth order of functions of order one that vary over lengths of order
 * one: 1e-12 of them is cut off, and rounding of 1e-15 is divided by the step. */
#define DIFFERENCE_STEP 1e-3
#define TOLERANCE_DIFFERENCE 1e-9

/* The same for energies of small systems, some 10 eV, which vary over shorter lengths. */
#define TOLERANCE_DIFFERENCE_ENERGY 1e-8

/* The same for energies of eight atoms in fp32, which are rounded to some 1e-6 eV; relative to the
 * step that is less than what is cut off. */
#define DIFFERENCE_STEP_SINGLE 1e-2
#define TOLERANCE_DIFFERENCE_SINGLE 1e-3

/* The same system evaluated in another frame, order or number of ranks in double, eV and eV/A for
 * energies an atom and forces of order one: layers of rounded sums of 1e-16 each. */
#define TOLERANCE_SAME 1e-12

/* The CUDA engine against CPU double, relative; energies to the sum of the atoms' absolute ones.
 * Single: fp32 products and sums, through gradients that cancel about a hundredfold.  Mixed: 11-bit
 * operands, errors of random sign that sums over 128 channels average (docs/accuracy.md, "Where
 * 16 bits stand"). */
#define TOLERANCE_CUDA_SINGLE_FORCE 1e-5
#define TOLERANCE_CUDA_SINGLE_VIRIAL 1e-4
#define TOLERANCE_CUDA_SINGLE_ENERGY 5e-7
#define TOLERANCE_CUDA_MIXED_FORCE 7e-4
#define TOLERANCE_CUDA_MIXED_VIRIAL 5e-3
#define TOLERANCE_CUDA_MIXED_ENERGY 1e-4

#endif
