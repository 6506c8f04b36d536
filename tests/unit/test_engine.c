/* An engine's contract beyond the numbers: options, compositions, atoms that take no part, tiny
 * systems, and failures that say what is wrong. */
#define _POSIX_C_SOURCE 200809L /* NOLINT(bugprone-reserved-identifier): POSIX wants it */

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "model_writer.h"
#include "small_systems.h"
#include "tolerances.h"

static umas_engine_options omat_options(void) {
    umas_engine_options options = umas_engine_default_options();
    options.task = "omat";
    return options;
}

/* ---- options ------------------------------------------------------------------------------ */

static void check_refused(const umas_model *model, umas_engine_options options, umas_status status,
                          const char *message) {
    umas_engine *engine = (umas_engine *)&options;
    umas_error error = {0};
    if (!CHECK(umas_engine_create(model, &options, &engine, &error) == status && engine == NULL))
        fprintf(stderr, "... '%s' instead of '%s'\n", error.message, message);
    CHECK(error.status == status && strstr(error.message, message) != NULL);
    CHECK(umas_engine_create(model, &options, &engine, NULL) == status);
}

/* With and without GPUs: as many identities as there are devices, all different. */
static void test_device_identities(void) {
    const int devices = umas_device_count();
    for (int a = 0; a < devices; a++) {
        char first[UMAS_DEVICE_ID] = "", second[UMAS_DEVICE_ID] = "";
        CHECK(umas_device_id(a, first) == 1 && strlen(first) > 8);
        for (int b = 0; b <= a; b++) {
            CHECK(umas_device_id(b, second) == 1);
            CHECK((strcmp(first, second) == 0) == (a == b));
        }
    }
    char none[UMAS_DEVICE_ID] = "left over";
    CHECK(umas_device_id(devices, none) == 0 && none[0] == '\0');
    strcpy(none, "left over");
    CHECK(umas_device_id(-1, none) == 0 && none[0] == '\0');
}

static void test_options(const umas_model *model) {
    umas_engine_options o = umas_engine_default_options();
    CHECK(o.backend == UMAS_CPU && o.precision == UMAS_DOUBLE && o.charge == 0);
    CHECK(o.spin == UMAS_SPIN_OF_TASK);
    check_refused(model, o, UMAS_ERROR_ARGUMENT, "no task ''");
    o.task = "oc20";
    check_refused(model, o, UMAS_ERROR_ARGUMENT, "no task 'oc20'");
    for (int sign = -1; sign <= 1; sign += 2) {
        o = omat_options();
        o.charge = 101 * sign;
        check_refused(model, o, UMAS_ERROR_ARGUMENT, sign < 0 ? "charge -101" : "charge 101");
        o = omat_options();
        o.spin = sign < 0 ? -2 : 101;
        check_refused(model, o, UMAS_ERROR_ARGUMENT, sign < 0 ? "spin -2" : "spin 101");
    }
    o = omat_options();
    o.precision = UMAS_MIXED;
    check_refused(model, o, UMAS_ERROR_UNSUPPORTED, "mixed");
    CHECK(umas_backend_built(UMAS_CPU));
    o = omat_options();
    o.backend = UMAS_CUDA;
    if (!umas_backend_built(UMAS_CUDA))
        check_refused(model, o, UMAS_ERROR_UNSUPPORTED, "no CUDA engine");
    umas_engine_destroy(NULL);
}

/* Only the CUDA engine times its stages. */
static void test_profile(const umas_model *model) {
    umas_engine *engine = create_engine(model, "omat", 0, 0, UMAS_DOUBLE);
    umas_atoms atoms = {0};
    umas_result result = {0};
    umas_stage_time stage;
    umas_device_rates rates;
    umas_error error = {0};
    int count = -1;
    CHECK(umas_engine_profile(engine, &atoms, &result, &stage, 1, &count, &error) ==
          UMAS_ERROR_UNSUPPORTED);
    CHECK(count == 0 && strstr(error.message, "use the CUDA engine") != NULL);
    CHECK(umas_engine_device_rates(engine, &rates, &error) == UMAS_ERROR_UNSUPPORTED);
    CHECK(strstr(error.message, "use the CUDA engine") != NULL);
    umas_engine_destroy(engine);
}

/* Every charge and spin that is allowed reads a row of its own. */
static void test_charges(const umas_model *model, const structure *s) {
    const int charge[5] = {0, -100, 100, 0, 0}, spin[5] = {0, 0, 0, 1, 100};
    double energy[5];
    for (int i = 0; i < 5; i++) {
        umas_engine *engine = create_engine(model, "omat", charge[i], spin[i], UMAS_DOUBLE);
        energy[i] = evaluate_structure(engine, s, NULL, NULL);
        CHECK(isfinite(energy[i]));
        for (int j = 0; j < i; j++) CHECK(energy[i] != energy[j]);
        umas_engine_destroy(engine);
    }
}

/* Where no spin is given it is 1 for omol and 0 for others; a 0 that is given stays 0. */
static void test_spin_of_task(const umas_model *model, const structure *s) {
    static const char *const task[2] = {"omat", "omol"};
    for (int t = 0; t < 2; t++) {
        double energy[3];
        for (int spin = UMAS_SPIN_OF_TASK; spin <= 1; spin++) {
            umas_engine *engine = create_engine(model, task[t], 0, spin, UMAS_DOUBLE);
            energy[spin + 1] = evaluate_structure(engine, s, NULL, NULL);
            umas_engine_destroy(engine);
        }
        CHECK(energy[1] != energy[2]);
        CHECK(energy[0] == energy[1 + t]);
        CHECK(umas_model_find_task(model, task[t])->spin == t);
    }
}

/* ---- composition -------------------------------------------------------------------------- */

/* The structure's evaluation by an engine that has been told these counts. */
static double energy_for(umas_engine *engine, const structure *s, const int64_t *counts) {
    umas_atoms atoms = neighbours_create(s, 6, 0);
    umas_error error = {0};
    umas_result r = {.force = malloc((size_t)atoms.total * 3 * sizeof *r.force)};
    CHECK(r.force != NULL && umas_engine_set_composition(engine, counts, &error) == UMAS_OK);
    CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_OK);
    free(r.force);
    neighbours_free(&atoms);
    return r.energy;
}

/* With and without a zero row, merged weights follow from docs/uma_energy_reference.py: counts in
 * proportion are the same only without it. */
static void test_composition(int counts_zero_row, const structure *s) {
    umas_architecture a = plain_architecture;
    a.composition_counts_zero_row = counts_zero_row;
    umas_model *model = open_random_model(&a, 31);
    umas_engine *engine = create_engine(model, "omat", 0, 0, UMAS_DOUBLE);
    umas_engine *fresh = create_engine(model, "omat", 0, 0, UMAS_DOUBLE);
    int64_t counts[UMAS_ELEMENTS] = {[0] = 7, [1] = 2, [2] = 4, [3] = 2, [5] = 6};
    int64_t thrice[UMAS_ELEMENTS] = {[1] = 6, [2] = 12, [3] = 6, [5] = 18};
    int64_t other[UMAS_ELEMENTS] = {[1] = 3, [2] = 4, [3] = 2, [5] = 6};
    const double first = energy_for(engine, s, counts), multiple = energy_for(engine, s, thrice);
    CHECK((first == multiple) == !counts_zero_row);
    CHECK(multiple == energy_for(fresh, s, thrice));
    CHECK(energy_for(engine, s, other) != first);
    CHECK(energy_for(engine, s, other) == energy_for(fresh, s, other));
    CHECK(energy_for(engine, s, counts) == first);
    umas_engine_destroy(engine);
    umas_engine_destroy(fresh);
    umas_model_close(model);
}

static void test_bad_composition(const umas_model *model, const structure *s) {
    umas_engine *engine = create_engine(model, "omat", 0, 0, UMAS_DOUBLE);
    umas_atoms atoms = neighbours_create(s, 6, 0);
    umas_result r = {.force = malloc((size_t)atoms.total * 3 * sizeof *r.force)};
    int64_t counts[UMAS_ELEMENTS] = {0, 1};
    umas_error error = {0};
    CHECK(r.force != NULL);
    CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_ERROR_ARGUMENT);
    CHECK(strstr(error.message, "umas_engine_set_composition") != NULL);
    counts[2] = -1;
    CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_ERROR_ARGUMENT);
    CHECK(strstr(error.message, "He") != NULL);
    counts[2] = 0;
    counts[10] = 1; /* the model's elements end with 9 */
    CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_ERROR_ARGUMENT);
    CHECK(strstr(error.message, "Ne") != NULL && strstr(error.message, "9") != NULL);
    CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_ERROR_ARGUMENT);
    counts[10] = 0; /* and the structure has more than the one element left */
    CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_OK);
    CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_ERROR_ARGUMENT);
    CHECK(strstr(error.message, "composition") != NULL && error.row[0] >= 0);
    free(r.force);
    neighbours_free(&atoms);
    umas_engine_destroy(engine);
}

/* ---- atoms that take no part -------------------------------------------------------------- */

/* Results of s with four atoms without element among its own: on top of one, between, far away. */
static void test_null_atoms(const umas_model *model, const structure *s) {
    const int extra = 4, n = s->atoms, total = n + extra;
    umas_engine *engine = create_engine(model, "omat", -1, 2, UMAS_DOUBLE);
    structure more = structure_create(total);
    memcpy(more.cell, s->cell, sizeof s->cell);
    memcpy(more.periodic, s->periodic, sizeof s->periodic);
    for (int i = 0; i < total; i++) {
        const int is_null = i < 2 * extra && i % 2 == 0;
        const int from = i < 2 * extra ? i / 2 : i - extra;
        more.element[i] = is_null ? 0 : s->element[from];
        for (int d = 0; d < 3; d++)
            more.position[3 * i + d] = s->position[3 * from + d] + (is_null ? 0.9 * from : 0);
    }
    evaluation got = evaluate_all(engine, &more), want = evaluate_all(engine, s);
    check_close("energy", &got.energy, &want.energy, 1, TOLERANCE_SAME * n, 0);
    check_close("virial", got.virial, want.virial, 6, TOLERANCE_SAME * n, 0);
    for (int i = 0; i < total; i++) {
        const int from = i < 2 * extra ? i / 2 : i - extra;
        if (more.element[i] != 0) {
            check_close("force", got.force + 3L * i, want.force + 3L * from, 3, TOLERANCE_SAME, 0);
            check_close("atom energy", &got.atom_energy[i], &want.atom_energy[from], 1,
                        TOLERANCE_SAME, 0);
            continue;
        }
        CHECK(got.atom_energy[i] == 0);
        for (int d = 0; d < 3; d++) CHECK(got.force[3 * i + d] == 0);
        for (int d = 0; d < 6; d++) CHECK(got.atom_virial[6 * i + d] == 0);
    }
    evaluation_free(&got);
    evaluation_free(&want);
    structure_free(&more);
    umas_engine_destroy(engine);
}

/* ---- tiny systems ------------------------------------------------------------------------- */

static void test_lone_atoms(const umas_model *model) {
    umas_engine *engine = create_engine(model, "omat", 0, 0, UMAS_DOUBLE);
    structure one = structure_create(1), two = structure_create(2);
    one.element[0] = two.element[0] = two.element[1] = 3;
    two.position[4] = 6; /* at the cutoff, which is out of it */
    evaluation a = evaluate_all(engine, &one), b = evaluate_all(engine, &two);
    CHECK(isfinite(a.energy) && a.energy != 0 && a.atom_energy[0] == a.energy);
    CHECK(b.energy == 2 * a.energy && b.atom_energy[1] == a.energy);
    for (int i = 0; i < 6; i++) CHECK(a.virial[i] == 0 && b.virial[i] == 0 && b.force[i] == 0);
    evaluation_free(&b);
    two.position[4] = 1.5;
    b = evaluate_all(engine, &two);
    CHECK(b.energy != 2 * a.energy && b.force[1] != 0);
    const double zero[6] = {0}, force = b.force[1], virial[6] = {0, b.virial[1]};
    check_close("force along the axis only", b.force + 3, (double[3]){0, -force, 0}, 3,
                TOLERANCE_SAME, 0);
    check_close("virial along the axis only", b.virial, virial, 6, TOLERANCE_SAME, 0);
    check_close("virial", virial + 1, (double[1]){-1.5 * force}, 1, TOLERANCE_SAME, 0);
    check_close("torque", b.force, zero, 1, TOLERANCE_SAME, 0);
    evaluation_free(&a);
    evaluation_free(&b);
    structure_free(&one);
    structure_free(&two);
    umas_engine_destroy(engine);
}

/* A system without atoms, or a rank without any. */
static void test_no_atoms(const umas_model *model) {
    const int64_t first[1] = {0};
    const umas_atoms atoms = {.first = first, .list_changed = 1};
    for (int64_t system_atoms = 0; system_atoms <= 5; system_atoms += 5) {
        umas_engine *engine = create_engine(model, "omat", 0, 0, UMAS_SINGLE);
        const int64_t counts[UMAS_ELEMENTS] = {0, system_atoms};
        double force = 7;
        umas_result r = {.energy = NAN, .virial = {NAN, NAN, NAN, NAN, NAN, NAN}, .force = &force};
        umas_error error;
        CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_OK);
        for (int i = 0; i < 2; i++) {
            CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_OK);
            CHECK(r.energy == 0 && force == 7);
            for (int d = 0; d < 6; d++) CHECK(r.virial[d] == 0);
        }
        umas_engine_destroy(engine);
    }
}

/* A model without experts: no routing, and atoms out of reach have the sum of their energies. */
static void test_dense_model(const structure *s) {
    umas_architecture a = plain_architecture;
    a.experts = a.routing_channels = 0;
    umas_model *model = open_random_model(&a, 32);
    umas_engine *engine = create_engine(model, "omat", 0, 0, UMAS_DOUBLE);
    int64_t counts[UMAS_ELEMENTS] = {[1] = 1, [2] = 1, [3] = 1, [5] = 1};
    int64_t other[UMAS_ELEMENTS] = {[1] = 1, [2] = 6, [3] = 1, [5] = 3};
    CHECK(energy_for(engine, s, counts) == energy_for(engine, s, other));
    test_null_atoms(model, s);
    umas_engine_destroy(engine);
    umas_model_close(model);
}

/* ---- failures ----------------------------------------------------------------------------- */

static void test_bad_geometry(const umas_model *model, const structure *s) {
    umas_engine *engine = create_engine(model, "omat", 0, 0, UMAS_DOUBLE);
    evaluation before = evaluate_all(engine, s);
    umas_atoms atoms = neighbours_create(s, 6, 0.5);
    umas_result r = {.force = malloc((size_t)atoms.total * 3 * sizeof *r.force)};
    double *position = (double *)atoms.position;
    umas_error error = {0};
    CHECK(r.force != NULL);
    const double kept = position[4];
    position[4] = NAN;
    CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_ERROR_GEOMETRY);
    CHECK(error.row[0] == 1 && error.row[1] == -1);
    position[4] = kept;
    for (int d = 0; d < 3; d++) position[6 + d] = position[d];
    CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_ERROR_GEOMETRY);
    CHECK(error.row[0] == 0 && error.row[1] == 2);
    CHECK(umas_engine_evaluate(engine, &atoms, &r, NULL) == UMAS_ERROR_GEOMETRY);
    free(r.force);
    neighbours_free(&atoms);
    evaluation after = evaluate_all(engine, s); /* a failure leaves nothing behind */
    CHECK(is_same_evaluation(&before, &after));
    evaluation_free(&before);
    evaluation_free(&after);
    umas_engine_destroy(engine);
}

typedef struct exchange_log {
    int fail_at, calls; /* the call that fails, the calls so far */
} exchange_log;

static int exchange_rows(void *context, const umas_swap *rows) {
    exchange_log *log = context;
    CHECK(rows->peers == 0 && rows->row_bytes == 9 * 5 * sizeof(float));
    return log->calls++ == log->fail_at;
}

static int exchange_sum(void *context, double *values, int count) {
    exchange_log *log = context;
    CHECK(values != NULL && count >= 1 && count <= 3);
    return log->calls++ == log->fail_at;
}

static int exchange_nothing(void *context, const void *mine, void *all, size_t bytes) {
    (void)context, (void)mine, (void)all, (void)bytes;
    return 1;
}

/* One rank with callbacks, each of which fails once. */
static void test_failing_exchange(const umas_model *model, const structure *s) {
    exchange_log log = {.fail_at = -1};
    const umas_exchange exchange = {&log, 0, 1, exchange_rows, exchange_sum, exchange_nothing};
    static const int none[1] = {0};
    const umas_row_plan alone_in_the_world = {.send_first = none,
                                              .send_row = none,
                                              .receive_first = none};
    umas_engine_options options = omat_options();
    umas_engine *engine, *alone = create_engine(model, "omat", 0, 0, UMAS_SINGLE);
    umas_error error;
    options.exchange = &exchange;
    options.precision = UMAS_SINGLE;
    CHECK(umas_engine_create(model, &options, &engine, &error) == UMAS_OK);
    const double energy = evaluate_structure(alone, s, NULL, NULL);
    CHECK(evaluate_structure(engine, s, NULL, NULL) == energy);

    umas_atoms atoms = neighbours_create(s, 6, 0);
    atoms.rows = &alone_in_the_world;
    umas_result r = {.force = malloc((size_t)atoms.total * 3 * sizeof *r.force)};
    CHECK(r.force != NULL);
    log.calls = 0;
    CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_OK && r.energy == energy);
    /* two votes, and layers x (rows there, sums, rows back, sums) */
    const int calls = log.calls;
    CHECK(calls == 2 + 2 * (1 + 2 + 1 + 2));
    for (int i = 0; i < calls; i++) {
        log = (exchange_log){.fail_at = i};
        CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_ERROR_EXCHANGE);
        CHECK(error.status == UMAS_ERROR_EXCHANGE && log.calls == i + 1);
    }
    log = (exchange_log){.fail_at = -1};
    CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_OK && log.calls == calls);
    free(r.force);
    neighbours_free(&atoms);
    umas_engine_destroy(engine);
    umas_engine_destroy(alone);
}

/* Finite weights whose products are not, in single precision. */
static void test_overflow(const structure *s) {
    static const char path[] = "test_engine.safetensors";
    model_draft draft;
    draft_tensors(&draft, &plain_architecture, 33);
    for (int i = 0; i < draft.tensors; i++) {
        const char *name = draft.shape[i].name;
        if (strcmp(name, "head.energy_block.2.bias") != 0 &&
            strcmp(name, "head.energy_block.4.weight") != 0)
            continue;
        for (int k = 0; k < plain_architecture.hidden_channels; k++) draft.value[i][k] = 1e30f;
    }
    draft_metadata(&draft);
    draft_header(&draft);
    draft_file(&draft);
    umas_model *model = NULL;
    umas_error error = {0};
    CHECK(draft_write(&draft, path) == 0);
    draft_free(&draft);
    if (!CHECK(umas_model_open(path, &model, &error) == UMAS_OK)) return;
    umas_engine *engine = create_engine(model, "omat", 0, 0, UMAS_SINGLE);
    umas_atoms atoms = neighbours_create(s, 6, 0);
    umas_result r = {.force = malloc((size_t)atoms.total * 3 * sizeof *r.force)};
    const int64_t counts[UMAS_ELEMENTS] = {[1] = 1, [2] = 1, [3] = 1, [5] = 1};
    CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_OK);
    CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_ERROR_OVERFLOW);
    CHECK(strstr(error.message, "not finite") != NULL);
    free(r.force);
    neighbours_free(&atoms);
    umas_engine_destroy(engine);
    umas_model_close(model);
    remove(path);
}

static void write_model(const char *path, uint64_t seed) {
    model_draft draft;
    draft_tensors(&draft, &plain_architecture, seed);
    draft_metadata(&draft);
    draft_header(&draft);
    draft_file(&draft);
    CHECK(draft_write(&draft, path) == 0);
    draft_free(&draft);
}

/* A file that is written to while an engine needs it: refused, and neither merged nor a SIGBUS.
 * One that is replaced or removed is still there. */
static void test_changed_files(void) {
    static const char path[] = "test_engine.safetensors", next[] = "test_engine.next";
    enum { REPLACED, REMOVED, OVERWRITTEN, CUT_OFF, WAYS };
    const int64_t before[UMAS_ELEMENTS] = {[1] = 1}, after[UMAS_ELEMENTS] = {[1] = 1, [2] = 1};
    uint64_t digest[2] = {0, 0};
    for (int way = 0; way < WAYS; way++) {
        write_model(path, 34);
        write_model(next, 35);
        /* file systems count time in milliseconds, and this test takes less */
        const struct timespec long_ago[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
        CHECK(utimensat(AT_FDCWD, path, long_ago, 0) == 0);
        umas_model *model = NULL;
        umas_error error = {0};
        if (!CHECK(umas_model_open(path, &model, &error) == UMAS_OK)) return;
        digest[0] = umas_model_digest(model);
        CHECK(way == 0 || digest[0] == digest[1]);
        digest[1] = digest[0];
        umas_engine *engine = create_engine(model, "omat", 0, 0, UMAS_SINGLE);
        CHECK(umas_engine_set_composition(engine, before, &error) == UMAS_OK);
        if (way == REPLACED) CHECK(rename(next, path) == 0);
        if (way == REMOVED) CHECK(remove(path) == 0);
        if (way == OVERWRITTEN) write_model(path, 35);
        if (way == CUT_OFF) CHECK(truncate(path, 1000) == 0);
        const umas_status status = umas_engine_set_composition(engine, after, &error);
        const int is_whole = way == REPLACED || way == REMOVED;
        CHECK(status == (is_whole ? UMAS_OK : UMAS_ERROR_IO));
        if (!is_whole) {
            CHECK(strstr(error.message, path) != NULL);
            CHECK(strstr(error.message, "the file was written to while it is in use") != NULL);
            CHECK(umas_engine_set_composition(engine, after, &error) == UMAS_ERROR_IO);
        }
        umas_engine_destroy(engine);
        umas_model_close(model);
    }
    umas_model *other = open_random_model(&plain_architecture, 35);
    CHECK(umas_model_digest(other) != digest[0]);
    umas_model_close(other);
    remove(path);
    remove(next);
}

int main(void) {
    umas_model *plain = open_random_model(&plain_architecture, 41);
    umas_model *balanced = open_random_model(&balanced_architecture, 42);
    structure crystal = random_crystal(6, 4), cluster = random_cluster(8, 5);
    test_device_identities();
    test_options(plain);
    test_profile(plain);
    test_charges(balanced, &cluster);
    test_spin_of_task(balanced, &cluster);
    test_composition(0, &cluster);
    test_composition(1, &cluster);
    test_bad_composition(plain, &cluster);
    test_null_atoms(plain, &cluster);
    test_null_atoms(balanced, &crystal);
    test_lone_atoms(plain);
    test_no_atoms(plain);
    test_no_atoms(balanced);
    test_dense_model(&cluster);
    test_bad_geometry(plain, &crystal);
    test_failing_exchange(balanced, &crystal);
    test_overflow(&cluster);
    test_changed_files();
    umas_model_close(plain);
    umas_model_close(balanced);
    structure_free(&crystal);
    structure_free(&cluster);
    return check_report();
}
