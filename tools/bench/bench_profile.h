/* Where the time of a step goes on the GPU, against what the GPU could do. */
#ifndef UMAS_BENCH_PROFILE_H
#define UMAS_BENCH_PROFILE_H

#include "umas.h"

typedef struct bench_profile {
    char engine[256];        /* umas_engine_describe: GPU, chunks, memory */
    umas_device_rates rates; /* the caller's */
    int count;
    umas_stage_time stages[UMAS_MOST_STAGES]; /* means of several steps */
} bench_profile;

/* All but the rates, after an evaluation of these atoms.  Status: umas_engine_profile's. */
umas_status bench_profile_take(umas_engine *engine, const umas_atoms *atoms, umas_result *result,
                               bench_profile *profile, umas_error *error);

/* A table on standard output; step_ms: what a step without clocks takes, with the host's part. */
void bench_profile_print(const bench_profile *profile, double step_ms);

#endif
