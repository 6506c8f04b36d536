/* Memory that cannot be had, once, whichever it is: the call that needed it says so, and the next
 * one gives the bits of an engine that never failed.  What the CUDA engine allocates on the device or pins on the
 * host goes through here (the linker's --wrap). */
#include <cuda_runtime_api.h>

#include "engine_outcome.h"

static long allocations, failing; /* which one fails; 0: none */

/* NOLINTBEGIN(bugprone-reserved-identifier): --wrap makes these names */
cudaError_t __real_cudaMalloc(void **memory, size_t size);
cudaError_t __real_cudaMallocHost(void **memory, size_t size);
cudaError_t __wrap_cudaMalloc(void **memory, size_t size);
cudaError_t __wrap_cudaMallocHost(void **memory, size_t size);
/* NOLINTEND(bugprone-reserved-identifier) */

cudaError_t __wrap_cudaMalloc(void **memory, size_t size) {
    if (++allocations == failing) return cudaErrorMemoryAllocation;
    return __real_cudaMalloc(memory, size);
}

cudaError_t __wrap_cudaMallocHost(void **memory, size_t size) {
    if (++allocations == failing) return cudaErrorMemoryAllocation;
    return __real_cudaMallocHost(memory, size);
}

/* ---- a course ----------------------------------------------------------------------------- */

enum { SYSTEMS = 3 };

/* Systems one after the other: the second has other elements and more atoms, the third is the
 * second drawn together within the same list. */
typedef struct course {
    const umas_model *model;
    umas_engine_options options;
    structure s[SYSTEMS];
    umas_atoms atoms[SYSTEMS];
    outcome want[SYSTEMS];
    int failures;
} course;

static umas_status compose(umas_engine *engine, const structure *s) {
    int64_t counts[UMAS_ELEMENTS] = {0};
    for (int i = 0; i < s->atoms; i++) counts[s->element[i]]++;
    return umas_engine_set_composition(engine, counts, NULL);
}

static course course_create(const umas_model *model, umas_engine_options options) {
    course c = {.model = model, .options = options};
    c.s[0] = scatter(6, 5.5, 0.1);
    for (int i = 0; i < c.s[0].atoms; i++) c.s[0].element[i] = i % 3 ? 8 : 14;
    c.s[1] = scatter(80, 20, 0);
    memset(c.s[1].periodic, 0, sizeof c.s[1].periodic);
    c.s[2] = structure_copy(&c.s[1]);
    for (int i = 0; i < 3 * c.s[2].atoms; i++) c.s[2].position[i] *= 0.62;
    c.atoms[0] = neighbours_create(&c.s[0], 6, 1);
    c.atoms[1] = neighbours_create(&c.s[1], 6, 60);
    c.atoms[2] = neighbours_create(&c.s[2], 6, 60);
    c.atoms[2].list_changed = 0;
    umas_engine *engine = cuda_engine(model, options);
    for (int i = 0; i < SYSTEMS; i++) c.want[i] = run(engine, &c.s[i], &c.atoms[i]);
    umas_engine_destroy(engine);
    return c;
}

static void course_free(course *c) {
    for (int i = 0; i < SYSTEMS; i++) {
        outcome_free(&c->want[i]);
        neighbours_free(&c->atoms[i]);
        structure_free(&c->s[i]);
    }
}

/* Did the call fail?  It may for want of memory alone, and is then made again. */
static int failed(course *c, umas_status status) {
    if (status == UMAS_OK) return 0;
    CHECK(status == UMAS_ERROR_MEMORY && failing > 0 && failing <= allocations);
    c->failures++;
    failing = 0;
    return 1;
}

static void evaluate(course *c, umas_engine *engine, int system) {
    umas_error error;
    outcome got;
    umas_atoms atoms = c->atoms[system];
    if (failed(c, compose(engine, &c->s[system]))) CHECK(compose(engine, &c->s[system]) == UMAS_OK);
    if (failed(c, try_run(engine, &c->s[system], &atoms, &got, &error))) {
        printf("    %s\n", error.message);
        atoms.list_changed = 0; /* the failed call was given it */
        got = run(engine, &c->s[system], &atoms);
    }
    CHECK(same_bits(&got, &c->want[system], atoms.owned));
    outcome_free(&got);
}

/* All systems with one engine; the k-th allocation fails.  Is there one? */
static int run_course(course *c, long k) {
    umas_engine *engine = NULL;
    umas_error error;
    const int failures = c->failures;
    allocations = 0;
    failing = k;
    const umas_status status = umas_engine_create(c->model, &c->options, &engine, &error);
    CHECK((status == UMAS_OK) == (engine != NULL));
    if (failed(c, status)) engine = cuda_engine(c->model, c->options);
    for (int i = 0; i < SYSTEMS; i++) evaluate(c, engine, i);
    failing = 0;
    umas_engine_destroy(engine);
    return c->failures > failures;
}

static int rows_stay(void *context, void *rows, int width, umas_scalar scalar, umas_memory where) {
    (void)context, (void)rows, (void)width, (void)scalar, (void)where;
    return 0;
}

static int sum_stays(void *context, double *values, int count) {
    (void)context, (void)values, (void)count;
    return 0;
}

static void test_every_allocation(umas_precision precision, int ranks) {
    const umas_exchange exchange = {NULL, rows_stay, rows_stay, sum_stays};
    umas_architecture a = architecture(2, 2);
    umas_model *model = open_random_model(&a, 23);
    umas_engine_options options = cuda_options(precision);
    if (ranks > 1) options.exchange = &exchange;
    course c = course_create(model, options);
    long k = 1;
    printf("every allocation\n");
    while (run_course(&c, k)) k++;
    printf("  %ld allocations, %s\n", k - 1, precision == UMAS_SINGLE ? "single" : "mixed");
    CHECK(c.failures == k - 1); /* each was found out */
    CHECK(k > 60);
    course_free(&c);
    umas_model_close(model);
}

/* ---- a list that was refused -------------------------------------------------------------- */

/* The call after one that failed may rely on the list that one was given. */
static void test_refused_list(umas_precision precision) {
    umas_architecture a = architecture(2, 2);
    umas_model *model = open_random_model(&a, 24);
    course c = course_create(model, cuda_options(precision));
    umas_engine *engine = cuda_engine(model, c.options);
    umas_atoms atoms = c.atoms[1];
    double *force = malloc(sizeof(double) * 3 * (size_t)atoms.total);
    umas_result r = {.force = force};
    outcome first = run(engine, &c.s[0], &c.atoms[0]);
    CHECK(umas_engine_evaluate(engine, &atoms, &r, NULL) == UMAS_ERROR_ARGUMENT);
    atoms.list_changed = 0;
    outcome second = run(engine, &c.s[1], &atoms);
    CHECK(same_bits(&first, &c.want[0], c.s[0].atoms));
    CHECK(same_bits(&second, &c.want[1], c.s[1].atoms));
    outcome_free(&first);
    outcome_free(&second);
    free(force);
    umas_engine_destroy(engine);
    course_free(&c);
    umas_model_close(model);
}

int main(void) {
    if (umas_device_count() == 0) {
        printf("skipped: no CUDA device\n");
        return CHECK_SKIPPED;
    }
    srand(9);
    for (int p = 0; p < 2; p++) {
        const umas_precision precision = p ? UMAS_MIXED : UMAS_SINGLE;
        test_refused_list(precision);
        test_every_allocation(precision, 1);
        test_every_allocation(precision, 2);
    }
    return check_report();
}
