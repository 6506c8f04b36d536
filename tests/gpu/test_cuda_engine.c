/* The CUDA engine against the CPU engine in double on whole models: energies, forces, virials, per
 * atom and in total, in both precisions; the same bits on every run; lists that grow. */
#include "engine_outcome.h"

/* Every fifth atom takes no part. */
static structure without_some(structure s) {
    for (int i = 2; i < s.atoms; i += 5) s.element[i] = 0;
    return s;
}

/* One engine a precision goes through all structures, so that its buffers grow and shrink. */
static void test_model(const char *name, umas_architecture a, int charge, uint64_t seed) {
    struct {
        const char *name;
        structure s;
    } cases[] = {{"one atom", scatter(1, 0, 0)},
                 {"two atoms", scatter(2, 0, 0)},
                 {"molecule", scatter(9, 0, 0)},
                 {"small cell", scatter(2, 3.5, 0.1)},
                 {"triclinic", scatter(24, 7.5, 0.2)},
                 {"one image", scatter(1, 4, 0)},
                 {"with atoms of no element", without_some(scatter(24, 7.5, 0.2))}};
    umas_model *model = open_random_model(&a, seed);
    umas_engine *reference = create_engine(model, "omat", charge, 0, UMAS_DOUBLE);
    umas_engine *engines[2];
    for (int p = 0; p < 2; p++) {
        umas_engine_options options = cuda_options(p ? UMAS_MIXED : UMAS_SINGLE);
        options.charge = charge;
        engines[p] = cuda_engine(model, options);
    }
    printf("%s\n", name);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        structure *s = &cases[i].s;
        umas_atoms atoms = neighbours_create(s, 6, 1);
        outcome want = run(reference, s, &atoms);
        for (int p = 0; p < 2; p++) {
            outcome got = run(engines[p], s, &atoms), again = run(engines[p], s, &atoms);
            compare(cases[i].name, &got, &want, s->atoms, p ? UMAS_MIXED : UMAS_SINGLE);
            CHECK(same_bits(&got, &again, s->atoms));
            for (int k = 0; k < 3 * s->atoms; k++)
                CHECK(s->element[k / 3] != 0 || got.force[k] == 0);
            outcome_free(&got);
            outcome_free(&again);
        }
        outcome_free(&want);
        neighbours_free(&atoms);
        structure_free(s);
    }
    for (int p = 0; p < 2; p++) umas_engine_destroy(engines[p]);
    umas_engine_destroy(reference);
    umas_model_close(model);
}

/* Atoms that draw together bring more edges than the last step had room for. */
static void test_growth(void) {
    umas_architecture a = architecture(2, 0);
    umas_model *model = open_random_model(&a, 5);
    umas_engine *reference = create_engine(model, "omat", 0, 0, UMAS_DOUBLE);
    umas_engine *engine = cuda_engine(model, cuda_options(UMAS_SINGLE));
    structure wide = scatter(40, 0, 0);
    printf("growth\n");
    for (double shrink = 1; shrink > 0.2; shrink *= 0.6) {
        structure s = structure_copy(&wide);
        for (int i = 0; i < 3 * s.atoms; i++) s.position[i] *= shrink;
        umas_atoms atoms = neighbours_create(&s, 6, 1);
        outcome want = run(reference, &s, &atoms), got = run(engine, &s, &atoms);
        compare("cluster", &got, &want, s.atoms, UMAS_SINGLE);
        outcome_free(&want);
        outcome_free(&got);
        neighbours_free(&atoms);
        structure_free(&s);
    }
    structure_free(&wide);
    umas_engine_destroy(engine);
    umas_engine_destroy(reference);
    umas_model_close(model);
}

static void test_errors(void) {
    umas_architecture a = architecture(1, 0);
    umas_model *model = open_random_model(&a, 6);
    umas_engine *engine = cuda_engine(model, cuda_options(UMAS_MIXED));
    structure s = scatter(3, 0, 0);
    int64_t counts[UMAS_ELEMENTS] = {0};
    for (int i = 0; i < 3; i++) counts[s.element[i]]++;
    double force[9];
    umas_error error;
    umas_result r = {.force = force};
    memcpy(s.position + 3, s.position + 6, 3 * sizeof(double));
    umas_atoms atoms = neighbours_create(&s, 6, 1);
    CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_OK);
    double *y = (double *)atoms.position + 4;
    const double kept = *y;
    *y = NAN; /* in the first call of all */
    CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_ERROR_GEOMETRY);
    *y = kept;
    atoms.list_changed = 0;
    CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_ERROR_GEOMETRY);
    CHECK(error.row[0] == 1 && error.row[1] == 2);
    ((double *)atoms.position)[4] = NAN;
    CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_ERROR_GEOMETRY);
    CHECK(error.row[0] == 1);
    ((double *)atoms.position)[4] = s.position[4] + 1.5;
    CHECK(umas_engine_evaluate(engine, &atoms, &r, &error) == UMAS_OK); /* and goes on */
    neighbours_free(&atoms);
    structure_free(&s);
    umas_engine_destroy(engine);
    umas_model_close(model);
}

int main(void) {
    if (umas_device_count() == 0) {
        printf("skipped: no CUDA device\n");
        return CHECK_SKIPPED;
    }
    srand(7);
    umas_architecture balanced = architecture(2, 3), zero_row = architecture(2, 2);
    balanced.charge_channel[1] = 3;
    balanced.spin_channel[0] = 3;
    balanced.spin_channel[1] = 5;
    zero_row.composition_counts_zero_row = 1;
    zero_row.distance_functions = 64;
    test_model("1.2.1, charged", balanced, 2, 1);
    test_model("1.2", zero_row, 0, 2);
    test_model("mmax 1", architecture(1, 2), 0, 3);
    test_growth();
    test_errors();
    return check_report();
}
