/* However the CUDA engine goes through a step, it comes to the same: at once or in chunks, as a
 * graph or not, in memory that suffices or has to grow; what cannot fit is refused. */
#include "engine_outcome.h"

static const umas_precision PRECISIONS[2] = {UMAS_SINGLE, UMAS_MIXED};

/* What umas_engine_describe says. */
typedef struct step_plan {
    int atoms, edges, chunks;
    int gated, messages, radials; /* % kept for gradients; radials: -1 where there are none */
    double taken, an_atom, share; /* GiB, KiB, GiB */
} step_plan;

static step_plan plan_of(const umas_engine *engine) {
    char text[512];
    step_plan p = {0};
    umas_engine_describe(engine, text, sizeof text);
    printf("    %s\n", text);
    const char *numbers = strstr(text, "): ");
    int begin = 0, end = 0;
    p.radials = -1;
    if (!CHECK(numbers != NULL &&
               sscanf(numbers,
                      "): %d atoms, %d edges in %d chunks; kept for gradients: %d %% of gated "
                      "features, %d %% of messages%n",
                      &p.atoms, &p.edges, &p.chunks, &p.gated, &p.messages, &begin) == 5))
        return p;
    numbers += begin;
    if (sscanf(numbers, ", %d %% of radial functions%n", &p.radials, &end) == 1) numbers += end;
    CHECK(sscanf(numbers, "; %lf GiB (%lf KiB an atom) of %lf", &p.taken, &p.an_atom, &p.share) ==
          3);
    return p;
}

/* An engine that may take this much of the GPU's memory. */
static umas_engine *engine_within(const umas_model *model, umas_precision precision, double bytes) {
    umas_engine_options o = cuda_options(precision);
    umas_engine *engine = cuda_engine(model, o);
    o.memory_fraction *= bytes / (plan_of(engine).share * (1 << 30));
    umas_engine_destroy(engine);
    return cuda_engine(model, o);
}

/* A compressed fcc lattice of 108 atoms, none at its place, with some 130 neighbours each. */
static structure crystal(void) {
    static const double basis[4][3] = {{0, 0, 0}, {0, 0.5, 0.5}, {0.5, 0, 0.5}, {0.5, 0.5, 0}};
    const double a = 3.0;
    structure s = structure_create(108);
    for (int i = 0; i < s.atoms; i++) {
        const int cell[3] = {i / 4 % 3, i / 12 % 3, i / 36};
        s.element[i] = i % 5 == 0 ? 8 : 14;
        for (int d = 0; d < 3; d++)
            s.position[3 * i + d] = a * (cell[d] + basis[i % 4][d]) + 0.2 * (uniform() - 0.5);
    }
    for (int d = 0; d < 3; d++) {
        s.cell[d][d] = 3 * a;
        s.periodic[d] = 1;
    }
    return s;
}

/* ---- chunks ------------------------------------------------------------------------------- */

/* The same result from every share of memory that suffices, be it for several chunks of which none
 * keeps its activations, some do, or for all. */
static void test_chunks(umas_precision precision) {
    umas_architecture a = architecture(2, 0);
    a.layers = 4;
    umas_model *model = open_random_model(&a, 11);
    structure s = crystal();
    umas_atoms atoms = neighbours_create(&s, 6, 1);
    umas_engine *engine = cuda_engine(model, cuda_options(precision));
    outcome want = run(engine, &s, &atoms);
    step_plan whole = plan_of(engine);
    CHECK(whole.edges > 12000 && whole.chunks == 1);
    CHECK(whole.gated == 100 && whole.messages == 100);
    CHECK(whole.radials == (precision == UMAS_SINGLE ? 100 : -1));
    umas_engine_destroy(engine);
    int several_chunks = 0, some_gated = 0, some_messages = 0, some_radials = 0, everything = 0;
    printf("chunks\n");
    for (double bytes = 32e6; bytes < 8e9 && !everything; bytes *= 1.15) {
        outcome got;
        umas_error error;
        engine = engine_within(model, precision, bytes);
        umas_status status = try_run(engine, &s, &atoms, &got, &error);
        if (status == UMAS_OK) {
            step_plan p = plan_of(engine);
            several_chunks += p.chunks >= 3 && p.gated < 50;
            some_gated += p.gated > 0 && p.gated < 100 && p.gated % 25 != 0; /* part of a layer */
            some_messages += p.messages > 0 && p.messages < p.gated;
            some_radials += p.radials > 0 && p.radials < p.messages;
            everything += p.chunks == 1 && p.messages == 100 && p.radials == whole.radials;
            CHECK(p.taken * (1 << 30) <= bytes * 1.05);
            compare("in chunks", &got, &want, s.atoms, precision);
            outcome_free(&got);
        } else {
            CHECK(status == UMAS_ERROR_MEMORY && !several_chunks);
        }
        umas_engine_destroy(engine);
    }
    CHECK(several_chunks && some_gated && some_messages && some_radials && everything);
    outcome_free(&want);
    neighbours_free(&atoms);
    structure_free(&s);
    umas_model_close(model);
}

/* ---- graphs ------------------------------------------------------------------------------- */

static int nothing_travels(void *context, const umas_swap *rows) {
    (void)context, (void)rows;
    return 0;
}

static int sum_stays(void *context, double *values, int count) {
    (void)context, (void)values, (void)count;
    return 0;
}

static int no_gathering(void *context, const void *mine, void *all, size_t bytes) {
    (void)context, (void)mine, (void)all, (void)bytes;
    return 1;
}

/* A rank whose rows go through host memory to others, of which there are none: its step is no
 * graph. */
static void test_graph(umas_precision precision, int balanced) {
    const umas_exchange exchange = {NULL, 0, 1, nothing_travels, sum_stays, no_gathering};
    umas_architecture a = architecture(2, 2);
    a.charge_channel[1] = balanced;
    umas_model *model = open_random_model(&a, 12);
    umas_engine_options options = cuda_options(precision);
    umas_engine *graph = cuda_engine(model, options);
    options.exchange = &exchange;
    options.transport = UMAS_TRANSPORT_HOST;
    umas_engine *plain = cuda_engine(model, options);
    structure s = scatter(24, 7.5, 0.1), moved = structure_copy(&s);
    umas_atoms atoms = neighbours_create(&s, 6, 2);
    double *force = malloc(sizeof(double) * 3 * (size_t)atoms.total);
    printf("graph\n");
    for (int step = 0; step < 4; step++) {
        outcome got = run(graph, &s, &atoms), want = run(plain, &s, &atoms);
        if (balanced)
            compare("graph", &got, &want, s.atoms, precision);
        else
            CHECK(same_bits(&got, &want, s.atoms));
        /* a step that is not asked for the atoms' virials is another graph */
        umas_error error;
        umas_result r = {.force = force};
        CHECK(umas_engine_evaluate(graph, &atoms, &r, &error) == UMAS_OK);
        CHECK(r.energy == got.energy);
        CHECK(memcmp(r.virial, got.virial, sizeof r.virial) == 0);
        outcome_free(&got);
        outcome_free(&want);
        for (int i = 0; i < 3 * s.atoms; i++) moved.position[i] = s.position[i] + 0.1 * uniform();
        neighbours_move(&atoms, &s, &moved);
        memcpy(s.position, moved.position, sizeof(double) * 3 * (size_t)s.atoms);
        atoms.list_changed = 0;
    }
    free(force);
    neighbours_free(&atoms);
    structure_free(&s);
    structure_free(&moved);
    umas_engine_destroy(plain);
    umas_engine_destroy(graph);
    umas_model_close(model);
}

/* A rank that owns no atom, only ghosts of other ranks, takes part all the same. */
static void test_no_atoms(umas_precision precision) {
    static const int element[2] = {8, 14}, node[2] = {0, 1};
    static const double position[6] = {0, 0, 0, 1, 2, 3};
    static const int64_t first[1] = {0}, counts[UMAS_ELEMENTS] = {[8] = 4, [14] = 2};
    const umas_exchange exchange = {NULL, 0, 1, nothing_travels, sum_stays, no_gathering};
    static const int peer[1] = {1}, none[2] = {0, 0}, both[2] = {0, 2};
    const umas_row_plan rows = {1, peer, none, none, both};
    const umas_atoms atoms = {.total = 2,
                              .rows = &rows,
                              .nodes = 2,
                              .element = element,
                              .position = position,
                              .node = node,
                              .first = first,
                              .list_changed = 1};
    umas_architecture a = architecture(2, 0);
    a.charge_channel[1] = 3;
    umas_model *model = open_random_model(&a, 17);
    umas_engine_options options = cuda_options(precision);
    options.exchange = &exchange;
    options.transport = UMAS_TRANSPORT_HOST;
    umas_engine *engine = cuda_engine(model, options);
    double force[6];
    umas_result r = {.force = force};
    umas_error error = {.message = ""};
    CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_OK);
    if (!CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_OK))
        fprintf(stderr, "    %s\n", error.message);
    CHECK(r.energy == 0);
    for (int i = 0; i < 6; i++) CHECK(r.virial[i] == 0 && force[i] == 0);
    umas_engine_destroy(engine);
    umas_model_close(model);
}

/* ---- growth ------------------------------------------------------------------------------- */

/* Atoms draw together and move apart again within one neighbour list. */
static void test_capacity(umas_precision precision) {
    static const double size[] = {1, 0.8, 0.62, 0.9, 0.5};
    umas_architecture a = architecture(2, 0);
    umas_model *model = open_random_model(&a, 13);
    umas_engine *reference = create_engine(model, "omat", 0, 0, UMAS_DOUBLE);
    umas_engine *engine = cuda_engine(model, cuda_options(precision));
    structure s = scatter(80, 20, 0), moved = structure_copy(&s);
    memset(s.periodic, 0, sizeof s.periodic);
    umas_atoms atoms = neighbours_create(&s, 6, 60);
    int capacity[5];
    printf("capacity\n");
    for (int step = 0; step < 5; step++) {
        structure now = structure_copy(&s);
        for (int i = 0; i < 3 * s.atoms; i++) now.position[i] *= size[step];
        neighbours_move(&atoms, &moved, &now);
        memcpy(moved.position, now.position, sizeof(double) * 3 * (size_t)s.atoms);
        atoms.list_changed = step == 0;
        outcome want = run(reference, &s, &atoms), got = run(engine, &s, &atoms);
        compare("cluster", &got, &want, s.atoms, precision);
        capacity[step] = plan_of(engine).edges;
        outcome_free(&want);
        outcome_free(&got);
        structure_free(&now);
    }
    CHECK(capacity[0] < capacity[1] && capacity[1] < capacity[2]);
    CHECK(capacity[3] == capacity[2] && capacity[4] > capacity[3]);
    neighbours_free(&atoms);
    structure_free(&s);
    structure_free(&moved);
    umas_engine_destroy(engine);
    umas_engine_destroy(reference);
    umas_model_close(model);
}

/* A chain of carbon atoms with 20 neighbours each: a list of any length in no time. */
static umas_atoms chain(int atoms) {
    const double spacing = 0.55; /* A */
    const int reach = 12;
    int *element = malloc(sizeof *element * (size_t)atoms);
    int *neighbour = malloc(sizeof *neighbour * (size_t)atoms * 2 * (size_t)reach);
    double *position = calloc((size_t)atoms * 3, sizeof *position);
    int64_t *first = calloc((size_t)atoms + 1, sizeof *first), count = 0;
    for (int i = 0; i < atoms; i++) {
        element[i] = 6;
        position[3 * i] = spacing * i;
        for (int j = i - reach; j <= i + reach; j++)
            if (j >= 0 && j < atoms && j != i) neighbour[count++] = j;
        first[i + 1] = count;
    }
    return (umas_atoms){.owned = atoms,
                        .total = atoms,
                        .nodes = atoms,
                        .element = element,
                        .position = position,
                        .first = first,
                        .neighbour = neighbour,
                        .list_changed = 1};
}

static umas_status run_chain(umas_engine *engine, int length, umas_error *error) {
    const int64_t counts[UMAS_ELEMENTS] = {[6] = length};
    umas_atoms atoms = chain(length);
    double *force = malloc(sizeof(double) * 3 * (size_t)length);
    umas_result r = {.force = force};
    umas_status status = umas_engine_set_composition(engine, counts, error);
    if (status == UMAS_OK) status = umas_engine_evaluate(engine, &atoms, &r, error);
    free(force);
    neighbours_free(&atoms);
    return status;
}

/* The number of atoms that fit, as the message says, or -1. */
static int named(const umas_error *error) {
    const char *at = strstr(error->message, "about ");
    printf("    %s\n", error->message);
    return at ? atoi(at + strlen("about ")) : -1;
}

/* Too many atoms are refused with a number of them that is not. */
static void test_memory(umas_precision precision) {
    umas_architecture a = architecture(2, 0);
    umas_model *model = open_random_model(&a, 14);
    umas_engine *engine = engine_within(model, precision, 256e6);
    umas_error error;
    int fits = 0, length = 500;
    printf("memory\n");
    while (length < 100000 && run_chain(engine, length, &error) == UMAS_OK) {
        fits = length;
        length += length / 10;
    }
    CHECK(fits > 0);
    /* first there is no room for edges, then none for atoms */
    for (; length < 100000; length *= 6) {
        if (!CHECK(run_chain(engine, length, &error) == UMAS_ERROR_MEMORY)) break;
        const int count = named(&error);
        CHECK(count >= fits - fits / 100 && count < length);
        if (count > 0) CHECK(run_chain(engine, count, &error) == UMAS_OK);
    }
    umas_engine_destroy(engine);
    umas_model_close(model);
}

int main(void) {
    if (umas_device_count() == 0) {
        printf("skipped: no CUDA device\n");
        return CHECK_SKIPPED;
    }
    srand(8);
    for (int p = 0; p < 2; p++) {
        test_chunks(PRECISIONS[p]);
        test_graph(PRECISIONS[p], 0);
        test_graph(PRECISIONS[p], 3);
        test_no_atoms(PRECISIONS[p]);
        test_capacity(PRECISIONS[p]);
        test_memory(PRECISIONS[p]);
    }
    return check_report();
}
