/* Forces and virial of the CUDA engine are slopes of its energy, and gradients that overflow 16
 * bits are tried again smaller or refused. */
#include "arrays.h"
#include "engine_outcome.h"

/* ---- gradients ---------------------------------------------------------------------------- */

typedef struct strained {
    umas_engine *engine;
    structure *s;
    double strain[6]; /* xx yy zz xy xz yz */
} strained;

static double strained_energy(void *context) {
    const strained *c = context;
    const double *e = c->strain;
    const double m[3][3] = {{1 + e[0], e[3] / 2, e[4] / 2},
                            {e[3] / 2, 1 + e[1], e[5] / 2},
                            {e[4] / 2, e[5] / 2, 1 + e[2]}};
    structure s = structure_copy(c->s);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            s.cell[i][j] = 0;
            for (int k = 0; k < 3; k++) s.cell[i][j] += c->s->cell[i][k] * m[k][j];
        }
    for (int i = 0; i < s.atoms; i++)
        for (int j = 0; j < 3; j++) {
            s.position[3 * i + j] = 0;
            for (int k = 0; k < 3; k++)
                s.position[3 * i + j] += c->s->position[3 * i + k] * m[k][j];
        }
    const double energy = evaluate_structure(c->engine, &s, NULL, NULL);
    structure_free(&s);
    return energy;
}

/* Forces and virial are slopes of the engine's own energy. */
static void test_differences(int mmax) {
    umas_architecture a = architecture(mmax, 0);
    a.charge_channel[1] = 3;
    umas_model *model = open_random_model(&a, 15);
    umas_engine *engine = cuda_engine(model, cuda_options(UMAS_SINGLE));
    structure s = scatter(8, 5, 0.1);
    strained c = {.engine = engine, .s = &s};
    double force[24], slope[24], virial[6], by_strain[6];
    (void)evaluate_structure(engine, &s, force, virial);
    differences(strained_energy, &c, s.position, 24, DIFFERENCE_STEP_SINGLE, slope);
    for (int i = 0; i < 24; i++) slope[i] *= -1;
    check_close("force by differences", force, slope, 24, TOLERANCE_DIFFERENCE_SINGLE, 0);
    differences(strained_energy, &c, c.strain, 6, DIFFERENCE_STEP_SINGLE / 5, by_strain);
    for (int i = 0; i < 6; i++) by_strain[i] *= -1;
    check_close("virial by differences", virial, by_strain, 6, 5 * TOLERANCE_DIFFERENCE_SINGLE, 0);
    structure_free(&s);
    umas_engine_destroy(engine);
    umas_model_close(model);
}

/* ---- overflow ----------------------------------------------------------------------------- */

/* Energies of a model whose network's are `scale` times as large as usual, far more than the
 * references that they are added to. */
static void compare_scaled(const outcome *got, const outcome *want, int atoms, double scale,
                           umas_precision precision) {
    const int single = precision == UMAS_SINGLE;
    const double force = single ? TOLERANCE_CUDA_SINGLE_FORCE : TOLERANCE_CUDA_MIXED_FORCE;
    const double sums = single ? TOLERANCE_CUDA_SINGLE_VIRIAL : TOLERANCE_CUDA_MIXED_VIRIAL;
    const double edges = FORCE_FLOOR * force * atoms * scale;
    check_vector("force", got->force, want->force, 3L * atoms, force, edges);
    check_vector("virial", got->virial, want->virial, 6, sums, edges);
    check_vector("atom energy", got->atom_energy, want->atom_energy, atoms, sums, 0);
}

static int all_finite(const double *v, int n) {
    int finite = 0;
    for (int i = 0; i < n; i++) finite += isfinite(v[i]) != 0;
    return finite == n;
}

/* A step that overflows leaves no number behind that is not finite. */
static void check_refused(umas_engine *engine, const umas_atoms *atoms) {
    umas_error error;
    umas_result r = {.force = malloc(sizeof(double) * 3 * (size_t)atoms->total)};
    CHECK(umas_engine_evaluate(engine, atoms, &r, &error) == UMAS_ERROR_OVERFLOW);
    CHECK(all_finite(r.force, 3 * atoms->total) && all_finite(r.virial, 6));
    CHECK(isfinite(r.energy));
    free(r.force);
}

/* scale: of the network's energies */
static void test_overflow(const char *tensor, int power, double scale, umas_precision precision,
                          umas_status expected) {
    umas_model *model = scaled_model(tensor, power);
    umas_engine *reference = create_engine(model, "omat", 0, 0, UMAS_DOUBLE);
    umas_engine *engine = cuda_engine(model, cuda_options(precision));
    structure s = scatter(12, 6, 0.1);
    umas_atoms atoms = neighbours_create(&s, 6, 1);
    outcome want = run(reference, &s, &atoms), got;
    printf("%s times 2^%d, %s\n", tensor, power, precision == UMAS_SINGLE ? "single" : "mixed");
    for (int repeat = 0; repeat < 2; repeat++) {
        umas_error error = {.message = ""};
        umas_status status = try_run(engine, &s, &atoms, &got, &error);
        if (!CHECK(status == expected))
            fprintf(stderr, "    %s: %s\n", umas_status_name(status), error.message);
        if (status == UMAS_OK) {
            compare_scaled(&got, &want, s.atoms, scale, precision);
            outcome_free(&got);
        } else if (status == UMAS_ERROR_OVERFLOW) {
            check_refused(engine, &atoms);
            /* what is advised is something that this pair style, or the other, accepts */
            CHECK(strstr(error.message,
                         precision == UMAS_MIXED ? "precision single" : "pair style umas") != NULL);
            CHECK(precision != UMAS_MIXED || strstr(error.message, "double") == NULL);
        }
    }
    outcome_free(&want);
    neighbours_free(&atoms);
    structure_free(&s);
    umas_engine_destroy(engine);
    umas_engine_destroy(reference);
    umas_model_close(model);
}

/* A smaller scale is left again for the larger one after a while; where that overflows still, the
 * result stays the same. */
static void test_scale_returns(const char *tensor, int power) {
    umas_model *model = scaled_model(tensor, power);
    umas_engine *engine = cuda_engine(model, cuda_options(UMAS_MIXED));
    structure s = scatter(12, 6, 0.1);
    umas_atoms atoms = neighbours_create(&s, 6, 1);
    outcome first = run(engine, &s, &atoms);
    printf("%s times 2^%d, many steps\n", tensor, power);
    for (int step = 0; step < 320; step++) {
        outcome again = run(engine, &s, &atoms);
        CHECK(same_bits(&again, &first, s.atoms));
        outcome_free(&again);
    }
    outcome_free(&first);
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
    srand(9);
    test_differences(2);
    test_differences(1);
    /* Gradients grow with the head's last weights.  Those of order one, first tried 2^12 times
     * larger, overflow at 2^16 from a factor of 2^4 on; with 2^-4, the last try, from 2^20 on. */
    const char *head = "head.energy_block.4.weight", *convolution = "so2_conv_1.fc_m0.weight";
    for (int power = 0; power <= 16; power += 4)
        test_overflow(head, power, ldexp(1, power), UMAS_MIXED, UMAS_OK);
    for (int power = 8; power <= 16; power += 4) test_scale_returns(head, power);
    test_overflow(head, 40, ldexp(1, 40), UMAS_MIXED, UMAS_ERROR_OVERFLOW);
    test_overflow(head, 40, ldexp(1, 40), UMAS_SINGLE, UMAS_OK);
    test_overflow(convolution, 40, 1, UMAS_MIXED, UMAS_ERROR_OVERFLOW);
    test_overflow(convolution, 40, 1, UMAS_SINGLE, UMAS_OK);
    test_overflow("head.energy_block", 60, 1, UMAS_SINGLE, UMAS_ERROR_OVERFLOW);
    return check_report();
}
