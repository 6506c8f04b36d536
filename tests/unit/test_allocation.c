/* An allocation that fails once, whichever it is: the call that needed it says so, and the next one
 * finds nothing half done.  What the core allocates goes through here (the linker's --wrap), with a
 * guard behind every block. */
#include <omp.h>
#include <string.h>

#include "check.h"
#include "model_writer.h"
#include "small_systems.h"

/* ---- memory ------------------------------------------------------------------------------- */

/* NOLINTBEGIN(bugprone-reserved-identifier): --wrap makes these names */
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *memory);
/* NOLINTEND(bugprone-reserved-identifier) */

enum { MOST_BLOCKS = 4096, GUARD = 64, GUARD_BYTE = 0x5a };

static struct {
    void *memory;
    size_t size;
} block[MOST_BLOCKS]; /* those in use */
static int blocks, overruns;
static long allocations, failing; /* which one fails; 0: none */

static void check_guard(int i) {
    const unsigned char *guard = (unsigned char *)block[i].memory + block[i].size;
    for (int k = 0; k < GUARD; k++)
        if (guard[k] != GUARD_BYTE) {
            overruns++;
            return;
        }
}

static int find(const void *memory) {
    int i = 0;
    while (i < blocks && block[i].memory != memory) i++;
    return i;
}

static void *allocate(size_t size, int byte) {
    const size_t whole = (size + GUARD + 63) / 64 * 64;
    if (++allocations == failing) return NULL;
    unsigned char *memory = __real_aligned_alloc(64, whole);
    if (memory == NULL || blocks == MOST_BLOCKS) {
        fprintf(stderr, "out of memory\n");
        exit(EXIT_FAILURE);
    }
    memset(memory, byte, size);
    memset(memory + size, GUARD_BYTE, GUARD);
    block[blocks].memory = memory;
    block[blocks++].size = size;
    return memory;
}

void *__wrap_malloc(size_t size) { return allocate(size, 0xff); /* floats and doubles: NaN */ }

void *__wrap_calloc(size_t count, size_t size) { return allocate(count * size, 0); }

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    CHECK(alignment <= 64);
    return allocate(size, 0xff);
}

void __wrap_free(void *memory) {
    const int i = find(memory);
    if (memory != NULL && i < blocks) {
        check_guard(i);
        block[i] = block[--blocks];
    }
    __real_free(memory);
}

void *__wrap_realloc(void *memory, size_t size) {
    void *moved = allocate(size, 0xff);
    if (moved == NULL || memory == NULL) return moved;
    const size_t before = block[find(memory)].size;
    memcpy(moved, memory, before < size ? before : size);
    __wrap_free(memory);
    return moved;
}

/* Of all blocks but the first so many. */
static double bytes_behind(int first) {
    double bytes = 0;
    for (int i = first; i < blocks; i++) bytes += (double)block[i].size;
    return bytes;
}

static int no_overruns(void) {
    for (int i = 0; i < blocks; i++) check_guard(i);
    return overruns == 0;
}

/* ---- an engine's life --------------------------------------------------------------------- */

enum { SYSTEMS = 3 };

/* Systems one after the other, with more atoms, edges and threads each time. */
typedef struct course {
    const umas_model *model;
    umas_precision precision;
    umas_atoms atoms[SYSTEMS];
    int64_t counts[SYSTEMS][UMAS_ELEMENTS];
    umas_result want[SYSTEMS]; /* from engines of their own */
    int failures;
} course;

static umas_result room_for(const umas_atoms *a) {
    umas_result r = {0};
    r.force = calloc((size_t)a->total * 3 + 1, sizeof *r.force);
    r.atom_energy = calloc((size_t)a->owned + 1, sizeof *r.atom_energy);
    r.atom_virial = calloc((size_t)a->total * 6 + 1, sizeof *r.atom_virial);
    return r;
}

static void result_free(umas_result *r) {
    free(r->force);
    free(r->atom_energy);
    free(r->atom_virial);
}

static int is_same(const umas_atoms *a, const umas_result *x, const umas_result *y) {
    const size_t total = (size_t)a->total, owned = (size_t)a->owned;
    return memcmp(&x->energy, &y->energy, sizeof x->energy) == 0 &&
           memcmp(x->virial, y->virial, sizeof x->virial) == 0 &&
           memcmp(x->force, y->force, 3 * total * sizeof *x->force) == 0 &&
           memcmp(x->atom_energy, y->atom_energy, owned * sizeof *x->atom_energy) == 0 &&
           memcmp(x->atom_virial, y->atom_virial, 6 * total * sizeof *x->atom_virial) == 0;
}

static umas_status create(course *c, umas_engine **engine) {
    umas_engine_options options = umas_engine_default_options();
    umas_error error;
    options.task = "omat";
    options.precision = c->precision;
    const umas_status status = umas_engine_create(c->model, &options, engine, &error);
    CHECK((status == UMAS_OK) == (*engine != NULL));
    return status;
}

/* Did the call fail?  It may for want of memory alone, and is then made again. */
static int failed(course *c, umas_status status) {
    if (status == UMAS_OK) return 0;
    CHECK(status == UMAS_ERROR_MEMORY && failing > 0 && failing <= allocations);
    c->failures++;
    failing = 0;
    return 1;
}

static void evaluate(course *c, umas_engine *engine, int system, umas_result *r) {
    umas_atoms atoms = c->atoms[system];
    omp_set_num_threads(1 + system);
    if (failed(c, umas_engine_set_composition(engine, c->counts[system], NULL))) {
        CHECK(umas_engine_evaluate(engine, &atoms, r, NULL) == UMAS_ERROR_ARGUMENT);
        CHECK(umas_engine_set_composition(engine, c->counts[system], NULL) == UMAS_OK);
    }
    if (!failed(c, umas_engine_evaluate(engine, &atoms, r, NULL))) return;
    atoms.list_changed = 0; /* the failed call was given it */
    CHECK(umas_engine_evaluate(engine, &atoms, r, NULL) == UMAS_OK);
}

/* All systems, from `first` on, with one engine; the k-th allocation fails.  Is there one? */
static int run(course *c, int first, long k) {
    umas_engine *engine = NULL;
    umas_result got[SYSTEMS];
    for (int i = first; i < SYSTEMS; i++) got[i] = room_for(&c->atoms[i]);
    const int before = blocks, failures = c->failures;
    allocations = 0;
    failing = k;
    if (failed(c, create(c, &engine))) CHECK(create(c, &engine) == UMAS_OK);
    for (int i = first; i < SYSTEMS; i++) {
        evaluate(c, engine, i, &got[i]);
        /* each buffer may be rounded up to whole cache lines */
        CHECK(fabs((double)umas_engine_bytes(engine) - bytes_behind(before)) <=
              64.0 * (blocks - before));
    }
    const int reached = c->failures > failures;
    failing = 0;
    umas_engine_destroy(engine);
    CHECK(blocks == before); /* nothing is lost */
    CHECK(no_overruns());
    for (int i = first; i < SYSTEMS; i++) {
        CHECK(is_same(&c->atoms[i], &got[i], &c->want[i]));
        result_free(&got[i]);
    }
    return reached;
}

static void add_system(course *c, int system, umas_atoms atoms) {
    umas_engine *engine = NULL;
    c->atoms[system] = atoms;
    for (int i = 0; i < atoms.owned; i++) c->counts[system][atoms.element[i]]++;
    for (int i = atoms.owned; i < atoms.total && atoms.owned == 0; i++)
        c->counts[system][atoms.element[i]]++; /* atoms of another rank */
    c->want[system] = room_for(&atoms);
    if (!CHECK(create(c, &engine) == UMAS_OK)) exit(EXIT_FAILURE);
    evaluate(c, engine, system, &c->want[system]);
    umas_engine_destroy(engine);
}

static void test_engine(const umas_model *model, umas_precision precision) {
    static const int element[2] = {1, 3}, node[2] = {0, 1};
    static const double position[6] = {0, 0, 0, 1, 2, 3};
    static const int64_t none[1] = {0};
    const umas_atoms empty = {.total = 2,
                              .nodes = 2,
                              .element = element,
                              .position = position,
                              .node = node,
                              .first = none,
                              .list_changed = 1};
    course c = {.model = model, .precision = precision};
    structure small = random_crystal(6, 21), large = random_cluster(30, 22);
    failing = 0;
    add_system(&c, 0, empty);
    add_system(&c, 1, neighbours_create(&small, 6, 0.5));
    add_system(&c, 2, neighbours_create(&large, 6, 0.5));
    for (int first = 0; first < SYSTEMS; first += 2) { /* what grows, and what is new */
        long k = 1;
        while (run(&c, first, k)) k++;
        CHECK(c.failures == k - 1); /* each was found out */
        CHECK(k > 50);
        c.failures = 0;
    }
    for (int i = 0; i < SYSTEMS; i++) {
        result_free(&c.want[i]);
        if (i > 0) neighbours_free(&c.atoms[i]);
    }
    structure_free(&small);
    structure_free(&large);
}

/* ---- a model file ------------------------------------------------------------------------- */

static void test_model(void) {
    static const char path[] = "allocation.safetensors";
    umas_model *model = NULL;
    umas_error error;
    long k = 0;
    failing = 0;
    if (!CHECK(write_random_model(path, &plain_architecture, 1) == 0)) return;
    const int before = blocks;
    do {
        CHECK(model == NULL && blocks == before);
        allocations = 0;
        failing = ++k;
        const umas_status status = umas_model_open(path, &model, &error);
        CHECK(status == (k <= allocations ? UMAS_ERROR_MEMORY : UMAS_OK));
    } while (model == NULL && k < 1000);
    CHECK(k > 5);
    umas_model_close(model);
    CHECK(blocks == before && no_overruns());
    (void)remove(path);
}

int main(void) {
    umas_model *plain = open_random_model(&plain_architecture, 71);
    test_engine(plain, UMAS_DOUBLE);
    test_engine(plain, UMAS_SINGLE);
    umas_model_close(plain);
    test_model();
    return check_report();
}
