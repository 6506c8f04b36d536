/* The table of --profile: bench_profile.h. */
#include "bench_profile.h"

#include <math.h>
#include <stdio.h>

enum { PROFILED_STEPS = 5 };

umas_status bench_profile_take(umas_engine *engine, const umas_atoms *atoms, umas_result *result,
                               bench_profile *profile, umas_error *error) {
    double sum[UMAS_MOST_STAGES] = {0};
    for (int step = 0; step < PROFILED_STEPS; step++) {
        const umas_status status = umas_engine_profile(engine, atoms, result, profile->stages,
                                                       UMAS_MOST_STAGES, &profile->count, error);
        if (status != UMAS_OK) return status;
        for (int i = 0; i < profile->count; i++) sum[i] += profile->stages[i].milliseconds;
    }
    for (int i = 0; i < profile->count; i++)
        profile->stages[i].milliseconds = sum[i] / PROFILED_STEPS;
    umas_engine_describe(engine, profile->engine, sizeof profile->engine);
    return UMAS_OK;
}

/* The time in ms that nothing on this GPU can go below. */
static double floor_of(const umas_device_rates *rates, const umas_stage_time *stage) {
    return 1e3 * fmax(stage->bytes / rates->copy, stage->operations / rates->products);
}

static void print_line(const umas_stage_time *line, double floor_ms, double step_ms) {
    printf("  %-41s", line->name);
    if (line->calls > 0)
        printf("%6d", line->calls);
    else
        printf("%6s", "");
    printf(" %10.4f %6.1f %8.0f", line->milliseconds, 100 * line->milliseconds / step_ms,
           line->bytes / (1e6 * line->milliseconds));
    if (line->operations > 0)
        printf(" %8.2f", line->operations / (1e9 * line->milliseconds));
    else
        printf(" %8s", "");
    printf(" %8.2f\n", floor_ms / line->milliseconds);
}

void bench_profile_print(const bench_profile *profile, double step_ms) {
    umas_stage_time total = {.name = "all stages"};
    double floors = 0;
    for (int i = 0; i < profile->count; i++) {
        total.milliseconds += profile->stages[i].milliseconds;
        total.bytes += profile->stages[i].bytes;
        total.operations += profile->stages[i].operations;
        floors += floor_of(&profile->rates, &profile->stages[i]);
    }
    printf("\n  %s\n", profile->engine);
    printf("  floors: copies of %.0f GB/s, products of %.1f TFLOP/s, measured before this size\n",
           1e-9 * profile->rates.copy, 1e-12 * profile->rates.products);
    printf("  %-41s%6s %10s %6s %8s %8s %8s\n", "stage", "calls", "ms", "%", "GB/s", "TFLOP/s",
           "floor/ms");
    for (int i = 0; i < profile->count; i++)
        print_line(&profile->stages[i], floor_of(&profile->rates, &profile->stages[i]),
                   total.milliseconds);
    print_line(&total, floors, total.milliseconds);
    umas_stage_time step = total;
    (void)snprintf(step.name, sizeof step.name, "step without clocks, with the host's part");
    step.milliseconds = step_ms;
    print_line(&step, floors, total.milliseconds);
    (void)fflush(stdout);
}
