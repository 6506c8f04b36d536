/* One execution: the promises of umas_model_open and, for a model that it accepts, of an engine. */
#define _GNU_SOURCE /* NOLINT(bugprone-reserved-identifier): memfd_create */

#include "model_target.h"

#include "model_file/model.h"
#include "model_file/tensor_check.h"
#include "model_file/tensor_list.h"
#include "umas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST_PARAMETERS 200000 /* of models that are evaluated: others take long */
#define ATOMS 3

#define PROMISE(condition)                                                                  \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                        \
        }                                                                                   \
    } while (0)

/* ---- the mapping -------------------------------------------------------------------------- */

/* The core that is fuzzed calls these in place of mmap and munmap.  A block of malloc ends where
 * the file does, and the address sanitizer sees what reads beyond; a mapping ends with its page. */
void *fuzz_mmap(void *address, size_t size, int protection, int flags, int descriptor,
                off_t offset);
int fuzz_munmap(void *address, size_t size);

void *fuzz_mmap(void *address, size_t size, int protection, int flags, int descriptor,
                off_t offset) {
    (void)address, (void)protection, (void)flags;
    void *bytes = malloc(size);
    if (bytes == NULL) return MAP_FAILED;
    PROMISE(pread(descriptor, bytes, size, offset) == (ssize_t)size);
    return bytes;
}

int fuzz_munmap(void *address, size_t size) {
    (void)size;
    free(address);
    return 0;
}

/* ---- promises ----------------------------------------------------------------------------- */

static void check_line(const char *line) {
    PROMISE(line[0] != '\0');
    for (const char *c = line; *c != '\0'; c++) PROMISE((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void check_error(umas_status status, const umas_error *error) {
    PROMISE(status != UMAS_OK && error->status == status);
    PROMISE(strcmp(umas_status_name(status), "unknown status") != 0);
    PROMISE(memchr(error->message, '\0', sizeof error->message) != NULL);
    check_line(error->message);
}

static void check_architecture(const umas_architecture *a) {
    PROMISE(a->lmax == 2 && (a->mmax == 1 || a->mmax == 2));
    PROMISE(a->sphere_channels > 0 && a->hidden_channels > 0 && a->edge_channels > 0);
    PROMISE(a->layers > 0 && a->distance_functions > 1 && a->embeddings > 0 && a->heads > 0);
    PROMISE(a->elements > 1 && a->elements <= UMAS_ELEMENTS && a->experts >= 0);
    PROMISE(a->cutoff > 0 && isfinite(a->cutoff) && a->max_neighbors >= 0);
    PROMISE(a->charge_channel[0] >= 0 && a->charge_channel[1] <= a->sphere_channels);
    PROMISE(a->spin_channel[0] >= 0 && a->spin_channel[1] <= a->sphere_channels);
}

/* Every tensor of the architecture is there, and each of its numbers can be read. */
static void check_tensors(const umas_model *model) {
    const umas_architecture *architecture = umas_model_architecture(model);
    const int count = umas_tensor_list(architecture, NULL);
    umas_tensor_shape *list = malloc((size_t)count * sizeof *list);
    PROMISE(list != NULL);
    umas_tensor_list(architecture, list);
    int64_t numbers = 0;
    for (int i = 0; i < count; i++) {
        const umas_tensor *tensor = umas_model_tensor(model, list[i].name);
        PROMISE(tensor != NULL && tensor->dimensions == list[i].dimensions);
        for (int d = 0; d < tensor->dimensions; d++) PROMISE(tensor->shape[d] == list[i].shape[d]);
        const int64_t size = umas_tensor_count(tensor);
        for (int64_t k = 0; k < size; k++) PROMISE(isfinite(tensor->value[k]));
        numbers += size;
    }
    PROMISE(umas_model_parameters(model) == numbers);
    free(list);
}

static void check_texts(const umas_model *model) {
    if (umas_model_note(model) != NULL) check_line(umas_model_note(model));
    if (umas_model_trained_elements(model) != NULL) check_line(umas_model_trained_elements(model));
    PROMISE(umas_model_task_count(model) > 0);
    for (int i = 0; i < umas_model_task_count(model); i++) {
        const umas_task *task = umas_model_task(model, i);
        check_line(task->name);
        PROMISE(umas_model_find_task(model, task->name) == task);
        PROMISE(task->rmsd > 0 && isfinite(task->rmsd));
    }
}

/* ---- an engine ---------------------------------------------------------------------------- */

/* The model's first elements, `elements` of them. */
static int first_elements(const umas_model *model, int elements[ATOMS]) {
    int found = 0;
    for (int z = 1; z < UMAS_ELEMENTS && found < ATOMS; z++)
        if (umas_model_has_element(model, z)) elements[found++] = z;
    return found;
}

static void check_evaluation(umas_engine *engine, const int *element) {
    static const double position[ATOMS][3] = {{0, 0, 0}, {1.1, 0.2, 0}, {-0.3, 1.0, 0.4}};
    static const int64_t first[ATOMS + 1] = {0, 2, 4, 6};
    static const int neighbour[] = {1, 2, 0, 2, 0, 1};
    double force[ATOMS][3], energy[ATOMS], virial[ATOMS][6];
    const umas_atoms atoms = {.owned = ATOMS,
                              .total = ATOMS,
                              .nodes = ATOMS,
                              .element = element,
                              .position = &position[0][0],
                              .first = first,
                              .neighbour = neighbour,
                              .list_changed = 1};
    umas_result result = {.force = &force[0][0],
                          .atom_energy = energy,
                          .atom_virial = &virial[0][0]};
    umas_error error = {0};
    const umas_status status = umas_engine_evaluate(engine, &atoms, &result, &error);
    if (status != UMAS_OK) {
        check_error(status, &error);
        return;
    }
    PROMISE(isfinite(result.energy));
    for (int i = 0; i < ATOMS; i++) {
        PROMISE(isfinite(energy[i]));
        for (int k = 0; k < 3; k++) PROMISE(isfinite(force[i][k]));
        for (int k = 0; k < 6; k++) PROMISE(isfinite(virial[i][k]));
    }
}

static void check_engine(const umas_model *model, umas_precision precision, int choice) {
    int element[ATOMS];
    const int found = first_elements(model, element);
    if (found == 0) return;
    for (int i = found; i < ATOMS; i++) element[i] = element[0];
    int64_t counts[UMAS_ELEMENTS] = {0};
    for (int i = 0; i < ATOMS; i++) counts[element[i]]++;

    umas_engine_options options = umas_engine_default_options();
    options.precision = precision;
    options.task = umas_model_task(model, choice % umas_model_task_count(model))->name;
    umas_engine *engine = NULL;
    umas_error error = {0};
    umas_status status = umas_engine_create(model, &options, &engine, &error);
    PROMISE((status == UMAS_OK) == (engine != NULL));
    if (status == UMAS_OK) status = umas_engine_set_composition(engine, counts, &error);
    if (status == UMAS_OK)
        check_evaluation(engine, element);
    else
        check_error(status, &error);
    umas_engine_destroy(engine);
}

/* ---- one execution ------------------------------------------------------------------------ */

/* FNV-1a of the words of a message that are neither numbers nor names. */
static uint64_t kind_of_message(umas_status status, const char *message) {
    uint64_t hash = 14695981039346656037u + (uint64_t)status;
    while (*message != '\0') {
        const size_t length = strcspn(message, " ");
        if (strcspn(message, "0123456789._'[]") >= length)
            for (size_t i = 0; i < length; i++)
                hash = (hash ^ (unsigned char)message[i]) * 1099511628211u;
        message += length + (message[length] != '\0');
    }
    return hash;
}

static uint64_t kind_of_model(const umas_model *model) {
    const umas_architecture *a = umas_model_architecture(model);
    const int numbers[] = {a->mmax, a->layers > 1, a->experts, umas_model_note(model) != NULL,
                           umas_model_trained_elements(model) != NULL};
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        hash = (hash ^ (uint64_t)numbers[i]) * 1099511628211u;
    return hash;
}

static int write_input(const uint8_t *bytes, size_t size) {
    static int descriptor = -1;
    if (descriptor < 0) descriptor = memfd_create("model", MFD_CLOEXEC);
    PROMISE(descriptor >= 0 && ftruncate(descriptor, (off_t)size) == 0);
    PROMISE(size == 0 || pwrite(descriptor, bytes, size, 0) == (ssize_t)size);
    return descriptor;
}

uint64_t run_model_file(const uint8_t *bytes, size_t size, int *is_accepted) {
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", write_input(bytes, size));
    umas_model *model = NULL;
    umas_error error = {0};
    const umas_status status = umas_model_open(path, &model, &error);
    *is_accepted = model != NULL;
    PROMISE((status == UMAS_OK) == *is_accepted);
    if (status != UMAS_OK) {
        check_error(status, &error);
        PROMISE(strncmp(error.message, path, strlen(path)) == 0);
        return kind_of_message(status, error.message);
    }
    PROMISE(umas_model_bytes(model) == (int64_t)size);
    PROMISE(umas_model_unchanged(model, &error) == UMAS_OK);
    check_architecture(umas_model_architecture(model));
    check_texts(model);
    check_tensors(model);
    if (umas_model_parameters(model) <= MOST_PARAMETERS)
        check_engine(model, bytes[size - 1] % 2 == 0 ? UMAS_DOUBLE : UMAS_SINGLE, bytes[size - 2]);
    const uint64_t kind = kind_of_model(model);
    umas_model_close(model);
    return kind;
}
