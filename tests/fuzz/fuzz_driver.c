/* Fuzzing without libFuzzer, for compilers that do not have it:
 *   fuzz_model_file [-runs=N] [-seed=N] FILE...
 * runs N times what some mutations make of one of the files, or of an earlier input whose outcome
 * was a new one.  Without -runs every file is run once, as it is: so a finding is looked at again.
 * The input that ends the program is written to the file `finding`. */
#include "model_mutator.h"
#include "model_target.h"

#include <omp.h>
#include <sanitizer/common_interface_defs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY (1u << 16) /* bytes of an input */
#define MOST_INPUTS 4096

typedef struct input {
    uint8_t *bytes; /* [size] */
    size_t size;
} input;

static input kept[MOST_INPUTS];
static size_t valid[MOST_INPUTS], valid_count; /* those of them that are valid model files */
static size_t kept_count;
static uint64_t outcome[MOST_INPUTS];
static uint8_t current[CAPACITY];
static size_t current_size;
static uint64_t accepted; /* inputs that are valid model files */

static void write_finding(void) {
    FILE *file = fopen("finding", "wb");
    if (file == NULL) return;
    (void)fwrite(current, 1, current_size, file);
    fclose(file);
    fprintf(stderr, "the input is in the file 'finding'\n");
}

const char *__asan_default_options(void);  /* NOLINT(bugprone-reserved-identifier): its name */
const char *__asan_default_options(void) { /* NOLINT(bugprone-reserved-identifier) */
    /* The others save half of the time. */
    return "handle_abort=1:malloc_context_size=4:quarantine_size_mb=8:check_printf=0";
}

/* So that its findings are written, too: it does not know of the callback. */
const char *__ubsan_default_options(void);  /* NOLINT(bugprone-reserved-identifier): its name */
const char *__ubsan_default_options(void) { /* NOLINT(bugprone-reserved-identifier) */
    return "abort_on_error=1:print_stacktrace=1";
}

/* Run the current input, and keep it if no other has had its outcome. */
static void run_current(void) {
    int is_accepted;
    const uint64_t kind = run_model_file(current, current_size, &is_accepted);
    accepted += (uint64_t)is_accepted;
    for (size_t i = 0; i < kept_count; i++)
        if (outcome[i] == kind) return;
    if (kept_count == MOST_INPUTS) return;
    input *new = &kept[kept_count];
    new->bytes = malloc(current_size + 1);
    if (new->bytes == NULL) return;
    memcpy(new->bytes, current, current_size);
    new->size = current_size;
    outcome[kept_count] = kind;
    if (is_accepted) valid[valid_count++] = kept_count;
    kept_count++;
}

static int read_current(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s cannot be opened\n", path);
        return 0;
    }
    current_size = fread(current, 1, sizeof current, file);
    fclose(file);
    const int is_whole = current_size < sizeof current;
    if (!is_whole) fprintf(stderr, "%s has %u bytes or more\n", path, CAPACITY);
    return is_whole;
}

/* Half of the time one that is still valid: what is changed in the others is rarely seen. */
static const input *any_input(uint64_t number) {
    if (number % 2 == 0 && valid_count > 0) return &kept[valid[number / 2 % valid_count]];
    return &kept[number / 2 % kept_count];
}

/* A run in four has two changes.  The state of a linear congruence chooses all of them. */
static void run_mutations(uint64_t runs, uint64_t seed) {
    for (uint64_t run = 0; run < runs; run++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const input *from = any_input(seed >> 33);
        memcpy(current, from->bytes, from->size);
        current_size = from->size;
        for (uint64_t times = 0; times <= ((seed >> 20) % 4 == 0); times++)
            current_size = mutate_model_file(current, current_size, CAPACITY, seed + times);
        run_current();
    }
}

int main(int count, char **arguments) {
    uint64_t runs = 0, seed = 1;
    omp_set_num_threads(1);
    __sanitizer_set_death_callback(write_finding);
    for (int i = 1; i < count; i++) {
        if (strncmp(arguments[i], "-runs=", 6) == 0) {
            runs = strtoull(arguments[i] + 6, NULL, 10);
        } else if (strncmp(arguments[i], "-seed=", 6) == 0) {
            seed = strtoull(arguments[i] + 6, NULL, 10);
        } else {
            if (!read_current(arguments[i])) return EXIT_FAILURE;
            run_current();
        }
    }
    if (kept_count == 0) {
        fprintf(stderr, "usage: fuzz_model_file [-runs=N] [-seed=N] FILE...\n");
        return EXIT_FAILURE;
    }
    run_mutations(runs, seed);
    printf("%llu runs, %llu valid files, %zu kinds of outcome\n", (unsigned long long)runs,
           (unsigned long long)accepted, kept_count);
    for (size_t i = 0; i < kept_count; i++) free(kept[i].bytes);
    return EXIT_SUCCESS;
}
