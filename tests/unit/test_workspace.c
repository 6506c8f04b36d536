/* Results are the same bits whatever the engine has in memory: for any number of threads, on every
 * call, after systems of other sizes, and whether activations are kept or computed again. */
#define UMAS_REAL_IS_DOUBLE
#include <stddef.h>
#include <stdint.h>

/* The workspace of the engine in double, with a limit that tests set. */
static size_t kept_bytes = SIZE_MAX / 4;
#define KEPT_BYTES kept_bytes
#include "engine/cpu_workspace.c" /* NOLINT(bugprone-suspicious-include): compiled with another limit */

#include "check.h"
#include "model_writer.h"
#include "small_systems.h"

static const umas_precision PRECISIONS[2] = {UMAS_DOUBLE, UMAS_SINGLE};

/* The structure's evaluation by an engine of its own. */
static evaluation evaluate_fresh(const umas_model *model, umas_precision precision,
                                 const structure *s) {
    umas_engine *engine = create_engine(model, "omat", 1, 2, precision);
    evaluation e = evaluate_all(engine, s);
    umas_engine_destroy(engine);
    return e;
}

static void check_same(umas_engine *engine, const structure *s, const evaluation *want) {
    evaluation got = evaluate_all(engine, s);
    if (!CHECK(is_same_evaluation(&got, want)))
        fprintf(stderr, "... %d atoms, %d threads, %zu bytes: energies %.17g and %.17g\n", s->atoms,
                omp_get_max_threads(), kept_bytes, got.energy, want->energy);
    evaluation_free(&got);
}

static void test_threads(const umas_model *model, umas_precision precision, const structure *s) {
    omp_set_num_threads(1);
    evaluation want = evaluate_fresh(model, precision, s);
    umas_engine *one = create_engine(model, "omat", 1, 2, precision);
    const int threads[6] = {1, 2, 3, 5, 2, 1}; /* one engine keeps up with changes */
    for (int i = 0; i < 6; i++) {
        omp_set_num_threads(threads[i]);
        check_same(one, s, &want);
        check_same(one, s, &want);
        evaluation fresh = evaluate_fresh(model, precision, s);
        CHECK(is_same_evaluation(&fresh, &want));
        evaluation_free(&fresh);
    }
    omp_set_num_threads(2);
    umas_engine_destroy(one);
    evaluation_free(&want);
}

/* So dense that the edges of one atom are more than a chunk has. */
static structure squeezed_crystal(int atoms) {
    structure s = random_crystal(atoms, 7);
    umas_edges edges = {0};
    for (int i = 0; i < 3 * atoms; i++) s.position[i] *= 0.75;
    for (int i = 0; i < 9; i++) s.cell[i / 3][i % 3] *= 0.75;
    umas_atoms listed = neighbours_create(&s, 6, 0);
    CHECK(umas_edges_build(&edges, &listed, 6, 0, NULL) == UMAS_OK && edges.first[1] > CHUNK_EDGES);
    umas_edges_free(&edges);
    neighbours_free(&listed);
    return s;
}

static void test_sizes(const umas_model *model, umas_precision precision) {
    const int atoms[7] = {10, 1, 8, 45, 40, 12, 60};
    umas_engine *one = create_engine(model, "omat", 1, 2, precision);
    for (int i = 0; i < 7; i++) {
        structure s = i % 3 == 0   ? random_crystal(atoms[i], 7)
                      : i % 3 == 1 ? random_cluster(atoms[i], 6)
                                   : squeezed_crystal(atoms[i]);
        evaluation want = evaluate_fresh(model, precision, &s);
        check_same(one, &s, &want);
        evaluation_free(&want);
        structure_free(&s);
    }
    umas_engine_destroy(one);
}

/* ---- kept activations --------------------------------------------------------------------- */

/* What is kept with this limit: the last layers' chunks, each in a place of its own. */
static int64_t count_kept(const umas_architecture *a, const structure *s, size_t limit) {
    umas_atoms atoms = neighbours_create(s, a->cutoff, 0);
    workspace ws = {0};
    umas_error error;
    kept_bytes = limit;
    CHECK(umas_edges_build(&ws.edges, &atoms, a->cutoff, 0, &error) == UMAS_OK);
    CHECK(workspace_reserve(&ws, a, &atoms, &error) == UMAS_OK);
    size_t next = 0;
    int64_t kept = 0;
    CHECK(ws.chunks > 1);
    for (int i = a->layers * ws.chunks - 1; i >= 0; i--) {
        const int layer = i / ws.chunks, chunk = ws.chunks - 1 - i % ws.chunks;
        const size_t at = ws.kept_at[layer * ws.chunks + chunk];
        if (at == NOT_KEPT) continue;
        const int *begin = ws.chunk_first + chunk;
        const int64_t edges = ws.edges.first[begin[1]] - ws.edges.first[begin[0]];
        CHECK(at == next);
        next += (size_t)edges * kept_width(a);
        kept += edges;
    }
    CHECK(next <= ws.kept_capacity && next * sizeof(double) <= limit);
    CHECK(kept <= a->layers * ws.edges.count);
    CHECK(limit < SIZE_MAX / 4 || kept == a->layers * ws.edges.count);
    workspace_free(&ws, a);
    neighbours_free(&atoms);
    return kept;
}

static void test_kept(const umas_model *model, const structure *s) {
    const umas_architecture *a = umas_model_architecture(model);
    const size_t all = SIZE_MAX / 4;
    const int64_t kept_all = count_kept(a, s, all), an_edge = (int64_t)kept_width(a) * 8;
    const size_t some = (size_t)(kept_all * an_edge / 3), most = 2 * some;
    CHECK(count_kept(a, s, 0) == 0);
    const int64_t kept_some = count_kept(a, s, some), kept_most = count_kept(a, s, most);
    CHECK(0 < kept_some && kept_some < kept_all / 2);
    CHECK(kept_all / 2 < kept_most && kept_most < kept_all);

    kept_bytes = all;
    evaluation want = evaluate_fresh(model, UMAS_DOUBLE, s);
    umas_engine *one = create_engine(model, "omat", 1, 2, UMAS_DOUBLE);
    const size_t limits[6] = {some, 0, most, all, 0, some};
    for (int i = 0; i < 6; i++) {
        kept_bytes = limits[i];
        check_same(one, s, &want);
        evaluation fresh = evaluate_fresh(model, UMAS_DOUBLE, s);
        CHECK(is_same_evaluation(&fresh, &want));
        evaluation_free(&fresh);
    }
    kept_bytes = all;
    umas_engine_destroy(one);
    evaluation_free(&want);
}

int main(void) {
    umas_model *plain = open_random_model(&plain_architecture, 51);
    umas_model *balanced = open_random_model(&balanced_architecture, 52);
    structure crystal = random_crystal(70, 8), cluster = random_cluster(90, 9);
    for (int i = 0; i < 2; i++) {
        test_threads(plain, PRECISIONS[i], &crystal);
        test_threads(balanced, PRECISIONS[i], &cluster);
        test_sizes(plain, PRECISIONS[i]);
        test_sizes(balanced, PRECISIONS[i]);
    }
    test_kept(plain, &crystal);
    test_kept(balanced, &cluster);
    umas_model_close(plain);
    umas_model_close(balanced);
    structure_free(&crystal);
    structure_free(&cluster);
    return check_report();
}
