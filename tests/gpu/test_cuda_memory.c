/* The CUDA engine's memory.  It holds its share, with the tables of many elements, too.  What
 * cannot be had, once, whichever it is: the call that needed it says so, and the next one gives
 * the bits of an engine that never failed.  What the engine allocates on the device or pins on
 * the host goes through here (the linker's --wrap). */
#include <cuda_runtime_api.h>

#include "engine_outcome.h"

static long allocations, failing; /* which one fails; 0: none */
static int on_host;               /* is the one that failed? */

enum { MOST_BLOCKS = 4096 };

static struct {
    void *memory;
    size_t size;
} block[MOST_BLOCKS]; /* in use */
static int blocks;
static double held, most_held; /* bytes in them */
static double pinned;          /* bytes of the host */

/* NOLINTBEGIN(bugprone-reserved-identifier): --wrap makes these names */
cudaError_t __real_cudaMalloc(void **memory, size_t size);
cudaError_t __real_cudaFree(void *memory);
cudaError_t __real_cudaMallocHost(void **memory, size_t size);
cudaError_t __real_cudaFreeHost(void *memory);
cudaError_t __wrap_cudaFreeHost(void *memory);
cudaError_t __wrap_cudaMalloc(void **memory, size_t size);
cudaError_t __wrap_cudaFree(void *memory);
cudaError_t __wrap_cudaMallocHost(void **memory, size_t size);
/* NOLINTEND(bugprone-reserved-identifier) */

static void enter(void *memory, size_t size) {
    if (!CHECK(blocks < MOST_BLOCKS)) exit(EXIT_FAILURE);
    block[blocks].memory = memory;
    block[blocks++].size = size;
}

/* The bytes of a block, which is in use no more. */
static double leave(const void *memory) {
    int i = 0;
    while (i < blocks && block[i].memory != memory) i++;
    if (memory == NULL || i == blocks) return 0;
    const double size = (double)block[i].size;
    block[i] = block[--blocks];
    return size;
}

cudaError_t __wrap_cudaMalloc(void **memory, size_t size) {
    if (++allocations == failing) return cudaErrorMemoryAllocation;
    const cudaError_t status = __real_cudaMalloc(memory, size);
    if (status != cudaSuccess) return status;
    enter(*memory, size);
    held += (double)size;
    most_held = fmax(most_held, held);
    return status;
}

cudaError_t __wrap_cudaFree(void *memory) {
    held -= leave(memory);
    return __real_cudaFree(memory);
}

cudaError_t __wrap_cudaMallocHost(void **memory, size_t size) {
    if (++allocations == failing) {
        on_host = 1;
        return cudaErrorMemoryAllocation;
    }
    const cudaError_t status = __real_cudaMallocHost(memory, size);
    if (status != cudaSuccess) return status;
    enter(*memory, size);
    pinned += (double)size;
    return status;
}

cudaError_t __wrap_cudaFreeHost(void *memory) {
    pinned -= leave(memory);
    return __real_cudaFreeHost(memory);
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

static umas_status compose(umas_engine *engine, const structure *s, umas_error *error) {
    int64_t counts[UMAS_ELEMENTS] = {0};
    for (int i = 0; i < s->atoms; i++) counts[s->element[i]]++;
    return umas_engine_set_composition(engine, counts, error);
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

/* Did the call fail?  It may for want of memory alone, of which it says where, and is then made
 * again. */
static int failed(course *c, umas_status status, const umas_error *error) {
    if (status == UMAS_OK) return 0;
    printf("    %s\n", error->message);
    CHECK(status == UMAS_ERROR_MEMORY && failing > 0 && failing <= allocations);
    CHECK(strstr(error->message, on_host ? "host memory" : "GPU memory") != NULL);
    c->failures++;
    failing = 0;
    return 1;
}

static void evaluate(course *c, umas_engine *engine, int system) {
    umas_error error;
    outcome got;
    umas_atoms atoms = c->atoms[system];
    if (failed(c, compose(engine, &c->s[system], &error), &error))
        CHECK(compose(engine, &c->s[system], &error) == UMAS_OK);
    if (failed(c, try_run(engine, &c->s[system], &atoms, &got, &error), &error)) {
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
    on_host = 0;
    const umas_status status = umas_engine_create(c->model, &c->options, &engine, &error);
    CHECK((status == UMAS_OK) == (engine != NULL));
    if (failed(c, status, &error)) engine = cuda_engine(c->model, c->options);
    for (int i = 0; i < SYSTEMS; i++) evaluate(c, engine, i);
    failing = 0;
    umas_engine_destroy(engine);
    CHECK(held == 0 && pinned == 0);
    return c->failures > failures;
}

static int nothing_travels(void *context, const umas_swap *rows) {
    (void)context, (void)rows;
    return 0;
}

static int no_gathering(void *context, const void *mine, void *all, size_t bytes) {
    (void)context, (void)mine, (void)all, (void)bytes;
    return 1;
}

static int sum_stays(void *context, double *values, int count) {
    (void)context, (void)values, (void)count;
    return 0;
}

static void test_every_allocation(umas_precision precision, int ranks) {
    const umas_exchange exchange = {NULL, 0, 1, nothing_travels, sum_stays, no_gathering};
    umas_architecture a = architecture(2, 2);
    umas_model *model = open_random_model(&a, 23);
    umas_engine_options options = cuda_options(precision);
    options.transport = UMAS_TRANSPORT_HOST;
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

/* ---- growth ------------------------------------------------------------------------------- */

/* Atoms and edges that become a few more from list to list rarely need other memory; the engine
 * knows how much it has. */
static void test_growth(umas_precision precision) {
    enum { FEWEST = 400, MOST = 440 };
    umas_architecture a = architecture(2, 2);
    umas_model *model = open_random_model(&a, 26);
    umas_engine *cpu = create_engine(model, "omat", 0, 0, UMAS_SINGLE);
    const double weights = (double)umas_engine_bytes(cpu); /* merged ones, on the host */
    umas_engine *engine = cuda_engine(model, cuda_options(precision));
    structure s = scatter(MOST, 30, 0);
    memset(s.periodic, 0, sizeof s.periodic);
    for (int i = 0; i < MOST; i++) s.element[i] = 8;
    int grown = 0;
    for (s.atoms = FEWEST; s.atoms <= MOST; s.atoms++) {
        umas_atoms atoms = neighbours_create(&s, 6, 1);
        allocations = 0;
        outcome got = run(engine, &s, &atoms);
        grown += allocations > 0;
        /* what is not counted: the few places where buffers are written down */
        CHECK(fabs((double)umas_engine_bytes(engine) - (held + pinned + weights)) < 32e3);
        if (s.atoms == MOST) {
            umas_engine *fresh = cuda_engine(model, cuda_options(precision));
            outcome want = run(fresh, &s, &atoms);
            compare("grown", &got, &want, s.atoms, precision);
            outcome_free(&want);
            umas_engine_destroy(fresh);
        }
        outcome_free(&got);
        neighbours_free(&atoms);
    }
    printf("growth: other memory in %d of %d steps\n", grown, MOST - FEWEST + 1);
    CHECK(grown > 0 && grown <= (MOST - FEWEST) / 2);
    umas_engine_destroy(engine);
    umas_engine_destroy(cpu);
    structure_free(&s);
    umas_model_close(model);
}

/* ---- the share ---------------------------------------------------------------------------- */

/* A compressed fcc lattice of atoms of the first so many elements, some 130 neighbours each. */
static structure crystal(int cells, int elements) {
    static const double basis[4][3] = {{0, 0, 0}, {0, 0.5, 0.5}, {0.5, 0, 0.5}, {0.5, 0.5, 0}};
    const double a = 3.0;
    structure s = structure_create(4 * cells * cells * cells);
    for (int i = 0; i < s.atoms; i++) {
        const int cell[3] = {i / 4 % cells, i / 4 / cells % cells, i / 4 / cells / cells};
        s.element[i] = 1 + i % elements;
        for (int d = 0; d < 3; d++)
            s.position[3 * i + d] = a * (cell[d] + basis[i % 4][d]) + 0.2 * (uniform() - 0.5);
    }
    for (int d = 0; d < 3; d++) {
        s.cell[d][d] = cells * a;
        s.periodic[d] = 1;
    }
    return s;
}

/* The bytes that the engine may plan with. */
static double share_of(const umas_engine *engine) {
    char text[512];
    double share = 0;
    umas_engine_describe(engine, text, sizeof text);
    printf("    %s\n", text);
    const char *at = strstr(text, "an atom) of ");
    CHECK(at != NULL && sscanf(at, "an atom) of %lf", &share) == 1);
    return share * (1 << 30);
}

/* The tables of many elements are of the share: where they leave less, fewer chunks are kept. */
static void test_many_elements(umas_precision precision) {
    umas_architecture a = architecture(2, 0);
    umas_model *model = open_random_model(&a, 25);
    umas_engine_options options = cuda_options(precision);
    structure many = crystal(6, 30), few = crystal(3, 2);
    umas_atoms atoms = neighbours_create(&many, 6, 0.5), few_atoms = neighbours_create(&few, 6, 1);
    umas_engine *engine = cuda_engine(model, options);
    outcome alone = run(engine, &few, &few_atoms);
    const double of_few = held;
    umas_engine_destroy(engine);
    outcome_free(&alone);

    engine = cuda_engine(model, options);
    outcome want = run(engine, &many, &atoms);
    const double whole = held, share = 0.9 * whole;
    printf("many elements: %.2f GB\n", whole / 1e9);
    CHECK(whole > 6e9); /* tables of 30 elements */

    /* those of two elements are small, and the rest is given back */
    outcome small = run(engine, &few, &few_atoms);
    printf("  then two: %.2f GB, alone %.2f\n", held / 1e9, of_few / 1e9);
    CHECK(held < of_few + 0.5e9); /* nodes and lists keep the room they had */
    umas_engine_destroy(engine);

    engine = cuda_engine(model, options);
    options.memory_fraction *= share / share_of(engine);
    umas_engine_destroy(engine);
    most_held = 0;
    engine = cuda_engine(model, options);
    outcome got = run(engine, &many, &atoms);
    printf("  %.2f GB of a share of %.2f\n", most_held / 1e9, share / 1e9);
    CHECK(share_of(engine) < whole);
    CHECK(most_held <= 1.01 * share); /* the input and cuBLAS' own are none of the plan's */
    compare("within the share", &got, &want, many.atoms, precision);
    umas_engine_destroy(engine);

    /* what the tables alone overfill is refused */
    umas_error error = {.message = ""};
    options.memory_fraction *= 0.3;
    engine = cuda_engine(model, options);
    CHECK(compose(engine, &many, &error) == UMAS_ERROR_MEMORY);
    printf("  %s\n", error.message);
    CHECK(strstr(error.message, "30 elements") != NULL);
    CHECK(compose(engine, &few, &error) == UMAS_OK);
    umas_engine_destroy(engine);
    outcome_free(&want);
    outcome_free(&small);
    outcome_free(&got);
    neighbours_free(&atoms);
    neighbours_free(&few_atoms);
    structure_free(&many);
    structure_free(&few);
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
        test_growth(precision);
        test_many_elements(precision);
        test_refused_list(precision);
        test_every_allocation(precision, 1);
        test_every_allocation(precision, 2);
    }
    return check_report();
}
