/* The small parts everything stands on: comparisons, statuses, elements, checksums, test models. */
#include "check.h"
#include "model_file/crc32.h"
#include "model_writer.h"
#include "status.h"
#include "tolerances.h"

#include <string.h>

static void test_comparison(void) {
    const double want[4] = {1, -2, 0, 4}, near[4] = {1, -2.001, 0, 4.1};
    const double nan_got[4] = {1, -2, NAN, 9}, infinite[4] = {1, -2, 0, INFINITY};
    CHECK(check_worst(want, want, 4, 0, 0) == -1);
    CHECK(check_worst(near, want, 4, 0.2, 0) == -1);
    CHECK(check_worst(near, want, 4, 0, 0.03) == -1);
    CHECK(check_worst(near, want, 4, 1e-4, 0) == 3);
    CHECK(check_worst(near, want, 4, 0, 0) == 1);
    CHECK(check_worst(nan_got, want, 4, 1e9, 1) == 2);
    CHECK(check_worst(want, nan_got, 4, 1e9, 1) == 2);
    CHECK(check_worst(infinite, want, 4, 1e9, 1) == 3);
    CHECK(check_worst(near, want, 4, NAN, 0) >= 0);
}

static void test_status(void) {
    for (int a = UMAS_OK; a <= UMAS_ERROR_OVERFLOW; a++)
        for (int b = UMAS_OK; b < a; b++)
            CHECK(strcmp(umas_status_name((umas_status)a), umas_status_name((umas_status)b)) != 0);
    CHECK(strcmp(umas_status_name((umas_status)(UMAS_ERROR_OVERFLOW + 1)), "unknown status") == 0);
    CHECK(strcmp(umas_version(), UMAS_VERSION) == 0);

    umas_error error;
    CHECK(umas_fail(NULL, UMAS_ERROR_DEVICE, "%d", 1) == UMAS_ERROR_DEVICE);
    CHECK(umas_fail(&error, UMAS_ERROR_ARGUMENT, "task '%s'", "a\tb\n") == UMAS_ERROR_ARGUMENT);
    CHECK(error.status == UMAS_ERROR_ARGUMENT && error.row[0] == -1 && error.row[1] == -1);
    CHECK(strcmp(error.message, "task 'a?b?'") == 0);
    CHECK(umas_fail_rows(&error, UMAS_ERROR_GEOMETRY, 3, 5, "close") == UMAS_ERROR_GEOMETRY);
    CHECK(error.row[0] == 3 && error.row[1] == 5 && strcmp(error.message, "close") == 0);
    umas_fail(&error, UMAS_ERROR_IO, "%600d", 1);
    CHECK(strlen(error.message) == sizeof error.message - 1);
    CHECK(strcmp(error.message + sizeof error.message - 5, " ...") == 0);
}

static void test_elements(void) {
    for (int number = 1; number < UMAS_ELEMENTS; number++)
        CHECK(umas_element_number(umas_element_symbol(number)) == number);
    CHECK(umas_element_number("H") == 1 && umas_element_number("Si") == 14);
    CHECK(umas_element_number("La") == 57 && umas_element_number("Pu") == 94);
    CHECK(umas_element_number("Og") == 118);
    CHECK(umas_element_number("D") == 1 && umas_element_number("T") == 1);
    for (int number = 1; number < UMAS_ELEMENTS; number++) {
        const double a = umas_element_mass(number) / number; /* protons and at most 1.6 neutrons */
        CHECK(number == 1 ? a > 1 && a < 1.01 : a > 1.9 && a < 2.65);
    }
    CHECK(umas_element_mass(14) == 28.085 && umas_element_mass(82) == 207.2);
    CHECK(umas_element_mass(0) == 0 && umas_element_mass(UMAS_ELEMENTS) == 0);
    CHECK(umas_element_number("si") == 0 && umas_element_number("Xx") == 0);
    CHECK(umas_element_number("") == 0 && umas_element_number(NULL) == 0);
    CHECK(strcmp(umas_element_symbol(0), "?") == 0 && strcmp(umas_element_symbol(119), "?") == 0);
    CHECK(strcmp(umas_element_symbol(-1), "?") == 0);
}

/* One bit a turn: the definition. */
static uint32_t slow_crc32(const unsigned char *bytes, size_t size) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < 8 * size; i++) {
        const uint32_t bit = (crc ^ ((uint32_t)bytes[i / 8] >> (i % 8))) & 1u;
        crc = (crc >> 1) ^ (bit ? 0xedb88320u : 0u);
    }
    return ~crc;
}

static void test_crc32(void) {
    umas_crc32_table table;
    umas_crc32_fill(&table);
    CHECK(umas_crc32(&table, 0, "123456789", 9) == 0xcbf43926u); /* the usual check value */
    CHECK(umas_crc32(&table, 0, NULL, 0) == 0);
    unsigned char bytes[200];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * i + 7 * i);
    for (size_t first = 0; first < 40; first++)
        for (size_t size = 0; first + size <= sizeof bytes; size += 7) {
            const uint32_t a = umas_crc32(&table, 0, bytes, first);
            const uint32_t b = umas_crc32(&table, 0, bytes + first, size);
            const uint32_t whole = slow_crc32(bytes, first + size);
            CHECK(umas_crc32(&table, a, bytes + first, size) == whole);
            CHECK(umas_crc32_join(a, b, size) == whole);
        }
}

/* Random models: repeatable, and with the scales model_writer.h promises. */
static void test_random_weights(void) {
    const umas_architecture a = {.sphere_channels = 40,
                                 .hidden_channels = 30,
                                 .edge_channels = 16,
                                 .layers = 1,
                                 .lmax = 2,
                                 .mmax = 2,
                                 .distance_functions = 8,
                                 .elements = 10,
                                 .experts = 4,
                                 .routing_channels = 8,
                                 .embeddings = 2,
                                 .heads = 1,
                                 .cutoff = 6};
    model_draft draft, again, other;
    draft_tensors(&draft, &a, 1);
    draft_tensors(&again, &a, 1);
    draft_tensors(&other, &a, 2);
    for (int i = 0; i < draft.tensors; i++) {
        const umas_tensor_shape *shape = &draft.shape[i];
        size_t n = 1;
        for (int d = 0; d < shape->dimensions; d++) n *= (size_t)shape->shape[d];
        CHECK(memcmp(draft.value[i], again.value[i], n * sizeof(float)) == 0);
        CHECK(memcmp(draft.value[i], other.value[i], n * sizeof(float)) != 0);
        if (strcmp(shape->name, "backbone.blocks.0.atom_wise.so3_linear_1.weight") != 0) continue;
        double mean = 0, variance = 0;
        const double none = 0, expected = 1.0 / 40, tolerance = TOLERANCE_SAMPLE(n);
        for (size_t k = 0; k < n; k++) {
            mean += draft.value[i][k] / (double)n;
            variance += draft.value[i][k] * draft.value[i][k] / (double)n;
        }
        check_close("mean", &mean, &none, 1, tolerance * sqrt(expected), 0);
        check_close("variance", &variance, &expected, 1, 0, tolerance);
    }
    draft_free(&draft);
    draft_free(&again);
    draft_free(&other);
}

int main(void) {
    test_comparison();
    test_status();
    test_elements();
    test_crc32();
    test_random_weights();
    return check_report();
}
