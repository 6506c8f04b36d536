/* Checking and timing the evaluations of one structure: bench_measure.h. */
#if !defined(_POSIX_C_SOURCE) || _POSIX_C_SOURCE < 200809L
#define _POSIX_C_SOURCE 200809L
#endif
#include "bench_measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench_neighbours.h"
#include "bench_random.h"

/* One structure's run. */
typedef struct run {
    const bench_settings *settings;
    umas_engine *engine;
    bench_neighbours list;
    umas_result result;
    double *displacement; /* [owned][3] */
    double *ms;           /* [steps] */
    bench_random random;
} run;

double bench_products(const umas_architecture *a) {
    const double C = a->sphere_channels, H = a->hidden_channels;
    const double K = 2 * C; /* a message has the features of both ends */
    const double orders = a->mmax == 2 ? 1 : 0;
    const double conv_1 = 3 * K * (3 * H + 2 * H) + 16 * K * H + orders * 4 * K * H;
    const double conv_2 = 9 * H * C + 16 * H * C + orders * 4 * H * C;
    return conv_1 + conv_2;
}

static umas_status no_memory(const run *r, umas_error *error) {
    return bench_fail(error, UMAS_ERROR_MEMORY, "no memory for the forces of %d atoms and ghosts",
                      r->list.atoms.total);
}

static umas_status start(run *r, const bench_structure *s, umas_error *error) {
    const bench_settings *settings = r->settings;
    const double reach = umas_model_architecture(settings->model)->cutoff + BENCH_SKIN;
    int64_t counts[UMAS_ELEMENTS] = {0};
    for (int i = 0; i < s->atoms; i++) counts[s->element[i]]++;
    umas_status status = bench_neighbours_create(s, reach, &r->list, error);
    if (status != UMAS_OK) return status;
    r->result.force = malloc((size_t)r->list.atoms.total * 3 * sizeof *r->result.force);
    r->displacement = malloc((size_t)s->atoms * 3 * sizeof *r->displacement);
    r->ms = malloc((size_t)settings->steps * sizeof *r->ms);
    if (!r->result.force || !r->displacement || !r->ms) return no_memory(r, error);
    status = umas_engine_create(settings->model, &settings->options, &r->engine, error);
    if (status == UMAS_OK) status = umas_engine_set_composition(r->engine, counts, error);
    return status;
}

static void finish(run *r) {
    umas_engine_destroy(r->engine);
    bench_neighbours_free(&r->list);
    free(r->result.force);
    free(r->displacement);
    free(r->ms);
}

/* From new positions to forces on the owned atoms. */
static umas_status evaluate(run *r, umas_error *error) {
    const umas_status status = umas_engine_evaluate(r->engine, &r->list.atoms, &r->result, error);
    if (status == UMAS_OK) {
        bench_neighbours_fold(&r->list, r->result.force);
        r->list.atoms.list_changed = 0;
    }
    return status;
}

/* ---- checks ------------------------------------------------------------------------------- */

/* Edges pull their ends with opposite forces, so only rounding keeps the sum from zero. */
static umas_status check_sum(const run *r, umas_error *error) {
    const double rounding = r->settings->options.precision == UMAS_DOUBLE ? 1e-10 : 1e-6;
    double sum[3] = {0}, scale = 0;
    for (int i = 0; i < r->list.atoms.owned; i++) {
        const double *f = r->result.force + 3 * (size_t)i;
        for (int d = 0; d < 3; d++) sum[d] += f[d];
        scale += 1 + fabs(f[0]) + fabs(f[1]) + fabs(f[2]); /* 1 eV/A: where edges cancel */
    }
    for (int d = 0; d < 3; d++)
        if (!(fabs(sum[d]) <= rounding * scale))
            return bench_fail(error, UMAS_ERROR_OVERFLOW,
                              "forces along %c sum to %.3g eV/A, not to zero within %.3g", 'x' + d,
                              sum[d], rounding * scale);
    return UMAS_OK;
}

static int same_bits(const void *a, const void *b, size_t bytes) {
    return memcmp(a, b, bytes) == 0;
}

static umas_status check(run *r, const bench_structure *s, umas_error *error) {
    const size_t bytes = (size_t)s->atoms * 3 * sizeof(double);
    umas_status status = evaluate(r, error);
    if (status == UMAS_OK) status = check_sum(r, error); /* NaN and infinity fail here */
    if (status == UMAS_OK && r->settings->forces)
        status = bench_structure_write(r->settings->forces, s, r->result.energy, r->result.virial,
                                       r->result.force, error);
    if (status != UMAS_OK) return status;
    double *force = malloc(bytes), virial[6];
    const double energy = r->result.energy;
    if (!force) return no_memory(r, error);
    memcpy(force, r->result.force, bytes);
    memcpy(virial, r->result.virial, sizeof virial);
    status = evaluate(r, error);
    if (status == UMAS_OK && !(same_bits(&energy, &r->result.energy, sizeof energy) &&
                               same_bits(virial, r->result.virial, sizeof virial) &&
                               same_bits(force, r->result.force, bytes)))
        status = bench_fail(error, UMAS_ERROR_OVERFLOW,
                            "a second evaluation of the same positions gave other bits");
    free(force);
    return status;
}

/* ---- times -------------------------------------------------------------------------------- */

static double milliseconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static umas_status measure(run *r, umas_error *error) {
    const int coordinates = 3 * r->list.atoms.owned;
    for (int step = -r->settings->warmup; step < r->settings->steps; step++) {
        for (int i = 0; i < coordinates; i++)
            r->displacement[i] = r->settings->move * random_normal(&r->random);
        bench_neighbours_displace(&r->list, r->displacement);
        const double begin = milliseconds();
        const umas_status status = evaluate(r, error);
        if (status != UMAS_OK) return status;
        if (step >= 0) r->ms[step] = milliseconds() - begin;
    }
    return UMAS_OK;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the two nearest of the sorted times. */
static double percentile(const run *r, double share) {
    const int last = r->settings->steps - 1;
    const double at = share * last;
    const int below = at < last ? (int)at : last, above = below < last ? below + 1 : last;
    return r->ms[below] + (at - below) * (r->ms[above] - r->ms[below]);
}

static void summarize(run *r, bench_row *row) {
    const umas_architecture *a = umas_model_architecture(r->settings->model);
    struct rusage usage;
    qsort(r->ms, (size_t)r->settings->steps, sizeof *r->ms, ascending);
    row->atoms = r->list.atoms.owned;
    row->edges = bench_neighbours_edges(&r->list, a->cutoff);
    row->ms = percentile(r, 0.5);
    row->ms_low = percentile(r, 0.1);
    row->ms_high = percentile(r, 0.9);
    row->steps_per_second = 1e3 / row->ms;
    row->ns_per_day = row->steps_per_second * 86400 * 1e-6;
    row->us_per_atom = 1e3 * row->ms / row->atoms;
    const double operations = 4 * bench_products(a) * a->layers * (double)row->edges;
    row->tflops = operations / (1e9 * row->ms);
    row->host_gib = getrusage(RUSAGE_SELF, &usage) == 0 ? (double)usage.ru_maxrss / (1 << 20) : NAN;
}

umas_status bench_measure(const bench_settings *settings, const bench_structure *s, bench_row *row,
                          bench_profile *profile, umas_error *error) {
    run r = {.settings = settings, .random = {settings->seed}};
    umas_status status = start(&r, s, error);
    if (status == UMAS_OK && profile)
        status = umas_engine_device_rates(r.engine, &profile->rates, error);
    if (status == UMAS_OK) status = check(&r, s, error);
    if (status == UMAS_OK) status = measure(&r, error);
    if (status == UMAS_OK) summarize(&r, row);
    if (status == UMAS_OK && profile)
        status = bench_profile_take(r.engine, &r.list.atoms, &r.result, profile, error);
    finish(&r);
    return status;
}
