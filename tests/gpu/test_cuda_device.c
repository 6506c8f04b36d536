/* The CUDA engine beside others: it leaves the caller's device and context as they were, is not
 * disturbed by errors of the caller's, and plans with memory that is there. */
#include <cuda.h>
#include <cuda_runtime_api.h>

#include "engine_outcome.h"

/* Write the address of a function of the driver's to *function, a pointer to it. */
static void find_function(const char *name, unsigned version, void *function) {
    void *address = NULL;
    enum cudaDriverEntryPointQueryResult found;
    if (cudaGetDriverEntryPointByVersion(name, &address, version, cudaEnableDefault, &found) !=
            cudaSuccess ||
        found != cudaDriverEntryPointSuccess) {
        fprintf(stderr, "the driver has no %s\n", name);
        exit(EXIT_FAILURE);
    }
    memcpy(function, &address, sizeof address);
}

/* What is to stay as it is, looked at after every call. */
typedef struct surroundings {
    CUresult (*get_context)(CUcontext *);
    CUcontext context;
    int device;
} surroundings;

static void check_unchanged(const surroundings *s, const char *after) {
    CUcontext context = NULL;
    int device = -1;
    if (!CHECK(s->get_context(&context) == CUDA_SUCCESS && context == s->context) ||
        !CHECK(cudaGetDevice(&device) == cudaSuccess && device == s->device))
        fprintf(stderr, "    after %s\n", after);
}

/* An error that the caller's own call left behind and nobody has looked at. */
static void leave_error(void) {
    CHECK(cudaSetDevice(1 << 20) != cudaSuccess);
    CHECK(cudaPeekAtLastError() != cudaSuccess);
}

/* Every call of an engine on GPU 0. */
static void check_calls(const surroundings *s, umas_precision precision) {
    umas_architecture a = architecture(2, 2);
    umas_model *model = open_random_model(&a, 31);
    umas_engine_options options = cuda_options(precision);
    structure cell = scatter(12, 6, 0.1), other = structure_copy(&cell);
    for (int i = 0; i < other.atoms; i++) other.element[i] = 8;
    umas_atoms atoms = neighbours_create(&cell, 6, 1);
    umas_atoms others = neighbours_create(&other, 6, 1);
    umas_engine *engine = NULL;
    umas_error error = {.message = ""};
    char text[512];
    options.device = 0;

    leave_error();
    CHECK(umas_device_count() > 0);
    check_unchanged(s, "umas_device_count");
    leave_error();
    if (!CHECK(umas_engine_create(model, &options, &engine, &error) == UMAS_OK)) exit(EXIT_FAILURE);
    check_unchanged(s, "umas_engine_create");
    for (int step = 0; step < 3; step++) { /* composition and memory, then neither, then both */
        outcome o;
        leave_error();
        const umas_status status = step < 2 ? try_run(engine, &cell, &atoms, &o, &error)
                                            : try_run(engine, &other, &others, &o, &error);
        if (CHECK(status == UMAS_OK))
            outcome_free(&o);
        else
            fprintf(stderr, "    %s\n", error.message);
        check_unchanged(s, "umas_engine_evaluate");
        CHECK(cudaPeekAtLastError() == cudaSuccess);
    }
    double *force = malloc(sizeof(double) * 3 * (size_t)others.total);
    umas_result r = {.force = force};
    umas_stage_time stages[UMAS_MOST_STAGES];
    umas_device_rates rates;
    int count;
    leave_error();
    CHECK(umas_engine_profile(engine, &others, &r, stages, UMAS_MOST_STAGES, &count, &error) ==
          UMAS_OK);
    check_unchanged(s, "umas_engine_profile");
    leave_error();
    CHECK(umas_engine_device_rates(engine, &rates, &error) == UMAS_OK);
    check_unchanged(s, "umas_engine_device_rates");
    umas_engine_describe(engine, text, sizeof text);
    check_unchanged(s, "umas_engine_describe");
    ((double *)others.position)[0] = NAN;
    CHECK(umas_engine_evaluate(engine, &others, &r, &error) == UMAS_ERROR_GEOMETRY);
    check_unchanged(s, "an evaluation that failed");
    umas_engine_destroy(engine);
    check_unchanged(s, "umas_engine_destroy");
    options.device = umas_device_count();
    CHECK(umas_engine_create(model, &options, &engine, &error) == UMAS_ERROR_DEVICE);
    check_unchanged(s, "an engine that could not be created");
    free(force);
    neighbours_free(&atoms);
    neighbours_free(&others);
    structure_free(&cell);
    structure_free(&other);
    umas_model_close(model);
}

/* A caller with a context of its own on the engine's GPU, and one that works on another GPU. */
static void test_surroundings(umas_precision precision) {
    CUresult (*create)(CUcontext *, unsigned, CUdevice) = NULL;
    CUresult (*destroy)(CUcontext) = NULL;
    surroundings s = {NULL, NULL, 0};
    find_function("cuCtxCreate", 3020, &create);
    find_function("cuCtxDestroy", 4000, &destroy);
    find_function("cuCtxGetCurrent", 4000, &s.get_context);
    int devices = 0;
    CHECK(cudaGetDeviceCount(&devices) == cudaSuccess && cudaFree(NULL) == cudaSuccess);
    if (!CHECK(create(&s.context, 0, 0) == CUDA_SUCCESS)) return;
    check_calls(&s, precision);
    CHECK(destroy(s.context) == CUDA_SUCCESS);
    CHECK(cudaSetDevice(devices - 1) == cudaSuccess && cudaFree(NULL) == cudaSuccess);
    s.device = devices - 1;
    CHECK(s.get_context(&s.context) == CUDA_SUCCESS && s.context != NULL);
    check_calls(&s, precision);
    CHECK(cudaSetDevice(0) == cudaSuccess);
}

/* ---- memory ------------------------------------------------------------------------------- */

/* Bytes that the engine may plan with. */
static double share_of(const umas_engine *engine) {
    char text[512];
    double share = 0;
    umas_engine_describe(engine, text, sizeof text);
    const char *at = strstr(text, "an atom) of ");
    CHECK(at != NULL && sscanf(at, "an atom) of %lf", &share) == 1);
    return share * (1 << 30);
}

/* Somebody takes `taken` of the free memory between an engine's creation and its first evaluation.
 * Returns the engine's share of what was free. */
static double share_beside(const umas_model *model, double fraction, double taken) {
    umas_engine_options options = cuda_options(UMAS_MIXED);
    structure cell = scatter(12, 6, 0.1);
    umas_atoms atoms = neighbours_create(&cell, 6, 1);
    size_t available = 0, all = 0;
    void *memory = NULL;
    CHECK(cudaMemGetInfo(&available, &all) == cudaSuccess);
    options.memory_fraction = fraction;
    umas_engine *engine = cuda_engine(model, options);
    CHECK(cudaMalloc(&memory, (size_t)(taken * (double)available)) == cudaSuccess);
    outcome o = run(engine, &cell, &atoms);
    const double share = share_of(engine) / (double)available;
    printf("  a fraction of %.2f beside %.2f: %.3f\n", fraction, taken, share);
    CHECK(cudaFree(memory) == cudaSuccess);
    outcome again = run(engine, &cell, &atoms); /* what is planned stays */
    CHECK(same_bits(&o, &again, cell.atoms));
    CHECK(fabs(share_of(engine) / (double)available - share) < 1e-6);
    umas_engine_destroy(engine);
    outcome_free(&o);
    outcome_free(&again);
    neighbours_free(&atoms);
    structure_free(&cell);
    return share;
}

static void test_share(void) {
    const double slack = 0.03; /* kernels and the like take memory, too */
    umas_architecture a = architecture(2, 2);
    umas_model *model = open_random_model(&a, 32);
    printf("share\n");
    CHECK(fabs(share_beside(model, 0.9, 0) - 0.9) < slack);
    /* another engine has taken its share: nine tenths of the rest */
    CHECK(fabs(share_beside(model, 0.9, 0.8) - 0.9 * 0.2) < slack);
    /* ranks that share the GPU have taken theirs, and left this one's */
    CHECK(fabs(share_beside(model, 0.3, 0.6) - 0.3) < slack);
    umas_model_close(model);
}

int main(void) {
    if (umas_device_count() == 0) {
        printf("skipped: no CUDA device\n");
        return CHECK_SKIPPED;
    }
    srand(10);
    test_surroundings(UMAS_SINGLE);
    test_surroundings(UMAS_MIXED);
    test_share();
    return check_report();
}
