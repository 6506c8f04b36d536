/* Models with F16 tensors: their numbers are the ones that were written, and nothing that is
 * computed from them tells how they were stored. */
#include "check.h"
#include "model_file/binary16.h"
#include "model_writer.h"
#include "small_systems.h"

#include <string.h>

/* Every 16-bit number against the definition of IEEE 754. */
static void test_numbers(void) {
    for (unsigned bits = 0; bits < 0x10000u; bits++) {
        const int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023);
        const float got = umas_binary16_to_float((uint16_t)bits);
        double size = ldexp(1024 + fraction, exponent - 25);
        if (exponent == 0) size = ldexp(fraction, -24);
        if (exponent == 31) size = fraction == 0 ? INFINITY : NAN;
        const int is_right = isnan(size) ? isnan(got) : fabs((double)got) == size;
        if (!CHECK(is_right && !signbit(got) == (bits < 0x8000u)))
            fprintf(stderr, "... bits %04x give %.9g\n", bits, (double)got);
    }
}

/* Numbers of all kinds that F16 has: subnormal, the smallest, the largest, zeros of both signs. */
static void use_extreme_numbers(model_draft *draft) {
    static const float number[] = {0x1p-24f, -0x1.ff8p-15f, 0x1p-14f, 0.0f, -0.0f, -65504.0f};
    int i = 0;
    while (strcmp(draft->shape[i].name, "backbone.target_embedding.weight") != 0) i++;
    for (int k = 0; k < (int)(sizeof number / sizeof *number); k++)
        draft->value[i][3 * k] = number[k];
}

static evaluation evaluate_draft(model_draft *draft, umas_precision precision, const structure *s) {
    umas_model *model = draft_open(draft);
    umas_engine *engine = create_engine(model, "omat", 0, 0, precision);
    evaluation result = evaluate_all(engine, s);
    umas_engine_destroy(engine);
    umas_model_close(model);
    return result;
}

/* The same numbers in F32, in F16 and in a mixture of both give the same bits. */
static void test_evaluation(umas_precision precision, const structure *s) {
    model_draft draft;
    draft_tensors(&draft, &plain_architecture, 21);
    evaluation unrounded = evaluate_draft(&draft, precision, s);
    use_extreme_numbers(&draft);
    for (int i = 0; i < draft.tensors; i++) draft_halve(&draft, i);
    evaluation half = evaluate_draft(&draft, precision, s);
    const size_t half_size = draft.size;

    /* Those with an even number of numbers leave the others aligned. */
    for (int i = 0; i < draft.tensors; i++) {
        int64_t n = 1;
        for (int d = 0; d < draft.shape[i].dimensions; d++) n *= draft.shape[i].shape[d];
        draft.is_half[i] = n % 2 == 0 && i % 3 != 0;
    }
    evaluation mixed = evaluate_draft(&draft, precision, s);
    const size_t mixed_size = draft.size;

    memset(draft.is_half, 0, (size_t)draft.tensors * sizeof *draft.is_half);
    evaluation single = evaluate_draft(&draft, precision, s);
    CHECK(half_size < mixed_size && mixed_size < draft.size);
    CHECK(is_same_evaluation(&half, &single));
    CHECK(is_same_evaluation(&mixed, &single));
    CHECK(!is_same_evaluation(&unrounded, &single));
    evaluation_free(&unrounded);
    evaluation_free(&half);
    evaluation_free(&mixed);
    evaluation_free(&single);
    draft_free(&draft);
}

int main(void) {
    structure crystal = random_crystal(6, 4);
    test_numbers();
    test_evaluation(UMAS_DOUBLE, &crystal);
    test_evaluation(UMAS_SINGLE, &crystal);
    structure_free(&crystal);
    return check_report();
}
