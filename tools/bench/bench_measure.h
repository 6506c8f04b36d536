/* Time the evaluations of one structure, after checking them. */
#ifndef UMAS_BENCH_MEASURE_H
#define UMAS_BENCH_MEASURE_H

#include "bench_profile.h"
#include "bench_structure.h"

#define BENCH_SKIN 1.0                    /* A, beyond the model's cutoff */
#define BENCH_MOST_MOVE (BENCH_SKIN / 20) /* A; the list then misses no edge */

typedef struct bench_settings {
    const umas_model *model;
    umas_engine_options options;
    int warmup, steps;  /* evaluations before and with the clock running */
    double move;        /* A, standard deviation of a coordinate's displacement in a step,
                         * 0 to BENCH_MOST_MOVE */
    uint64_t seed;      /* of the displacements */
    const char *forces; /* write the structure's energy, virial and forces there, or NULL */
} bench_settings;

typedef struct bench_row {
    int atoms;
    int64_t edges;          /* pairs within the cutoff in the last step, from both ends */
    double ms;              /* median time of a step ... */
    double ms_low, ms_high; /* ... and its 10th and 90th percentile */
    double steps_per_second;
    double ns_per_day; /* at a timestep of 1 fs */
    double us_per_atom;
    double tflops;   /* rate of the layers' products over edges, bench_products' count */
    double host_gib; /* most memory this process had so far */
} bench_row;

/* Evaluate the structure twice: forces must be finite and sum to zero, and the second result must
 * have the same bits as the first.  Then move every atom a little around its place in each step and
 * time from new positions to forces on the owned atoms, in the host's memory; the list stays.
 * At last profile the last step, unless `profile` is NULL.
 * Status: the engine's, OVERFLOW where a check fails, IO, MEMORY. */
umas_status bench_measure(const bench_settings *settings, const bench_structure *s, bench_row *row,
                          bench_profile *profile, umas_error *error);

/* Multiply-adds of an edge in a layer's two convolutions, forward; engines tabulate some or all
 * of the radial network.  The gradient by the input takes as many again. */
double bench_products(const umas_architecture *a);

#endif
