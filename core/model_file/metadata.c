/* Reading the metadata string of a model file; docs/file-format.md lists its members. */
#include "model_file/metadata.h"

#include "model_file/crc32.h"
#include "model_file/json.h"
#include "status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_VERSION 1
#define WHAT "metadata"

/* Far above any UMA-S, and low enough that no product of two of them leaves an int. */
#define MAX_WIDTH 4096
#define MAX_LAYERS 256
#define MAX_TASKS 256
#define MAX_CUTOFF 100.0

static int hexadecimal(const char *text, size_t digits, uint32_t *number) {
    uint32_t sum = 0;
    for (size_t i = 0; i < digits; i++) {
        const char c = text[i];
        const int is_digit = c >= '0' && c <= '9', is_letter = c >= 'a' && c <= 'f';
        if (!is_digit && !is_letter) return 0;
        sum = (sum << 4) | (uint32_t)(is_digit ? c - '0' : c - 'a' + 10);
    }
    *number = sum;
    return 1;
}

/* The string starts {"crc32":"xxxxxxxx" and the checksum is of what follows. */
static umas_status check_own_checksum(const char *string, size_t length, umas_error *error) {
    static const char opening[] = "{\"crc32\":\"";
    const size_t digits = sizeof opening - 1, rest = digits + 8 + 1;
    uint32_t expected;
    if (length < rest || memcmp(string, opening, digits) != 0 ||
        !hexadecimal(string + digits, 8, &expected) || string[rest - 1] != '"')
        return umas_fail(error, UMAS_ERROR_FORMAT, WHAT " does not start with its crc32");
    umas_crc32_table table;
    umas_crc32_fill(&table);
    const uint32_t crc = umas_crc32(&table, 0, string + rest, length - rest);
    if (crc != expected)
        return umas_fail(error, UMAS_ERROR_CHECKSUM,
                         WHAT " has checksum %08x, %08x was written; copy the file again",
                         (unsigned)crc, (unsigned)expected);
    return UMAS_OK;
}

static umas_status check_version(yyjson_val *root, umas_error *error) {
    int version = 0;
    const umas_status status =
        umas_json_integer(root, WHAT, "format_version", 1, INT32_MAX, &version, error);
    if (status == UMAS_OK && version > FORMAT_VERSION)
        return umas_fail(error, UMAS_ERROR_VERSION,
                         "format version %d, this library (%s) reads up to %d; use a newer one",
                         version, umas_version(), FORMAT_VERSION);
    return status;
}

static umas_status read_origin(yyjson_val *root, umas_metadata *m, umas_error *error) {
    yyjson_val *source;
    umas_status status;
    if ((status =
             umas_json_string(root, WHAT, "model_id", m->model_id, sizeof m->model_id, error)) ||
        (status =
             umas_json_string(root, WHAT, "converter", m->converter, sizeof m->converter, error)) ||
        (status = umas_json_boolean(root, WHAT, "random", &m->is_random, error)) ||
        (status = umas_json_object(root, WHAT, "source", &source, error)) ||
        (status = umas_json_string(source, "source", "name", m->source, sizeof m->source, error)))
        return status;
    return umas_json_string(source, "source", "sha256", m->sha256, sizeof m->sha256, error);
}

/* Two integers, first and one past the last of the balanced channels. */
static umas_status read_channels(yyjson_val *object, const char *key, int sphere_channels,
                                 int channel[2], umas_error *error) {
    int64_t end[2];
    yyjson_val *pair;
    const umas_status status = umas_json_array(object, "architecture", key, &pair, error);
    if (status != UMAS_OK) return status;
    if (yyjson_arr_size(pair) != 2 || !umas_json_to_size(yyjson_arr_get(pair, 0), &end[0]) ||
        !umas_json_to_size(yyjson_arr_get(pair, 1), &end[1]) || end[0] > end[1] ||
        end[1] > sphere_channels)
        return umas_fail(error, UMAS_ERROR_FORMAT,
                         "architecture: '%s' must be [first, end) within %d sphere channels", key,
                         sphere_channels);
    channel[0] = (int)end[0];
    channel[1] = (int)end[1];
    return UMAS_OK;
}

static umas_status read_integers(yyjson_val *object, umas_architecture *a, umas_error *error) {
    const struct {
        const char *key;
        int *value, low, high;
    } field[] = {
        {"lmax", &a->lmax, 0, MAX_WIDTH},
        {"mmax", &a->mmax, 0, MAX_WIDTH},
        {"sphere_channels", &a->sphere_channels, 1, MAX_WIDTH},
        {"hidden_channels", &a->hidden_channels, 1, MAX_WIDTH},
        {"edge_channels", &a->edge_channels, 1, MAX_WIDTH},
        {"layers", &a->layers, 1, MAX_LAYERS},
        {"distance_functions", &a->distance_functions, 2, MAX_WIDTH},
        {"elements", &a->elements, 2, UMAS_ELEMENTS},
        {"experts", &a->experts, 0, MAX_WIDTH},
        {"routing_channels", &a->routing_channels, 0, 2 * MAX_WIDTH},
        {"embeddings", &a->embeddings, 1, MAX_WIDTH},
        {"heads", &a->heads, 1, MAX_WIDTH},
    };
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        const umas_status status =
            umas_json_integer(object, "architecture", field[i].key, field[i].low, field[i].high,
                              field[i].value, error);
        if (status != UMAS_OK) return status;
    }
    return UMAS_OK;
}

/* Files from before this key have none: fairchem's releases say 300. */
static umas_status read_max_neighbors(yyjson_val *object, umas_architecture *a, umas_error *error) {
    static const char key[] = "max_neighbors";
    a->max_neighbors = 300;
    if (yyjson_obj_get(object, key) == NULL) return UMAS_OK;
    return umas_json_integer(object, "architecture", key, 0, INT32_MAX, &a->max_neighbors, error);
}

static umas_status read_architecture(yyjson_val *root, umas_architecture *a, umas_error *error) {
    const char *what = "architecture";
    yyjson_val *object;
    umas_status status = umas_json_object(root, WHAT, what, &object, error);
    if (status == UMAS_OK) status = read_integers(object, a, error);
    if (status == UMAS_OK) status = read_max_neighbors(object, a, error);
    if (status != UMAS_OK) return status;
    if (a->lmax != 2 || a->mmax < 1 || a->mmax > 2)
        return umas_fail(error, UMAS_ERROR_UNSUPPORTED,
                         "lmax %d and mmax %d, this library runs lmax 2 with mmax 1 or 2", a->lmax,
                         a->mmax);
    if ((a->experts == 0) != (a->routing_channels == 0))
        return umas_fail(error, UMAS_ERROR_FORMAT,
                         "architecture: %d experts do not go with %d routing channels", a->experts,
                         a->routing_channels);
    status = umas_json_number(object, what, "cutoff", &a->cutoff, error);
    if (status == UMAS_OK && !(a->cutoff > 0 && a->cutoff <= MAX_CUTOFF))
        status = umas_fail(error, UMAS_ERROR_FORMAT,
                           "architecture: 'cutoff' is %g, it must be above 0 and at most %g",
                           a->cutoff, MAX_CUTOFF);
    if (status == UMAS_OK)
        status = umas_json_boolean(object, what, "composition_counts_zero_row",
                                   &a->composition_counts_zero_row, error);
    if (status == UMAS_OK)
        status =
            read_channels(object, "charge_channels", a->sphere_channels, a->charge_channel, error);
    if (status == UMAS_OK)
        status = read_channels(object, "spin_channels", a->sphere_channels, a->spin_channel, error);
    return status;
}

static umas_status read_note(yyjson_val *root, umas_metadata *m, umas_error *error) {
    if (yyjson_obj_get(root, "note") == NULL) return UMAS_OK;
    const umas_status status = umas_json_string(root, WHAT, "note", m->note, sizeof m->note, error);
    if (status == UMAS_OK && m->note[0] == '\0')
        return umas_fail(error, UMAS_ERROR_FORMAT, WHAT ": 'note' is empty");
    return status;
}

/* For messages and logs: their symbols by atomic number. */
static void list_trained_elements(umas_metadata *m) {
    size_t used = 0;
    for (int z = 1; z < UMAS_ELEMENTS; z++)
        if (m->is_trained[z])
            used += (size_t)snprintf(m->trained_elements + used, sizeof m->trained_elements - used,
                                     used > 0 ? ", %s" : "%s", umas_element_symbol(z));
}

static umas_status read_trained_elements(yyjson_val *root, umas_metadata *m, umas_error *error) {
    static const char key[] = "trained_elements";
    if (yyjson_obj_get(root, key) == NULL) return UMAS_OK;
    yyjson_val *list;
    const umas_status status = umas_json_array(root, WHAT, key, &list, error);
    if (status != UMAS_OK) return status;
    const size_t count = yyjson_arr_size(list);
    if (count == 0) return umas_fail(error, UMAS_ERROR_FORMAT, WHAT ": '%s' is empty", key);
    yyjson_arr_iter iterator;
    yyjson_arr_iter_init(list, &iterator);
    for (size_t i = 0; i < count; i++) {
        int64_t z;
        if (!umas_json_to_size(yyjson_arr_iter_next(&iterator), &z) || z < 1 ||
            z >= m->architecture.elements)
            return umas_fail(error, UMAS_ERROR_FORMAT,
                             WHAT ": '%s' must be atomic numbers in 1..%d, number %zu is not", key,
                             m->architecture.elements - 1, i);
        if (m->is_trained[z])
            return umas_fail(error, UMAS_ERROR_DUPLICATE, WHAT ": '%s' lists %s twice", key,
                             umas_element_symbol((int)z));
        m->is_trained[z] = 1;
    }
    list_trained_elements(m);
    return UMAS_OK;
}

static umas_status read_references(yyjson_val *object, umas_task *task, umas_error *error) {
    yyjson_val *references;
    const umas_status status =
        umas_json_array(object, task->name, "references", &references, error);
    if (status != UMAS_OK) return status;
    const size_t count = yyjson_arr_size(references);
    if (count > UMAS_ELEMENTS)
        return umas_fail(error, UMAS_ERROR_FORMAT, "task '%s' has %zu references, at most %d",
                         task->name, count, UMAS_ELEMENTS);
    yyjson_arr_iter iterator;
    yyjson_arr_iter_init(references, &iterator);
    for (size_t z = 0; z < count; z++) {
        yyjson_val *value = yyjson_arr_iter_next(&iterator);
        if (z > 0 && yyjson_is_null(value))
            task->reference[z] = NAN;
        else if (!umas_json_to_number(value, &task->reference[z]))
            return umas_fail(error, UMAS_ERROR_FORMAT,
                             "task '%s': reference %zu is not a finite number", task->name, z);
    }
    return UMAS_OK;
}

static umas_status read_task(yyjson_val *object, const umas_architecture *a, umas_task *task,
                             umas_error *error) {
    umas_status status;
    if ((status = umas_json_check_object(object, "task", error)) ||
        (status = umas_json_string(object, "task", "name", task->name, sizeof task->name, error)))
        return status;
    if (task->name[0] == '\0' || strchr(task->name, ' ') != NULL)
        return umas_fail(error, UMAS_ERROR_FORMAT, "task name '%s' is not one word", task->name);
    task->spin = strcmp(task->name, "omol") == 0;
    if ((status = umas_json_integer(object, task->name, "embedding", 0, a->embeddings - 1,
                                    &task->embedding, error)) ||
        (status =
             umas_json_integer(object, task->name, "head", 0, a->heads - 1, &task->head, error)) ||
        (status = umas_json_number(object, task->name, "rmsd", &task->rmsd, error)))
        return status;
    if (!(task->rmsd > 0))
        return umas_fail(error, UMAS_ERROR_FORMAT, "task '%s': rmsd is %g, it must be positive",
                         task->name, task->rmsd);
    return read_references(object, task, error);
}

static umas_status read_tasks(yyjson_val *root, umas_metadata *m, umas_error *error) {
    yyjson_val *tasks;
    umas_status status = umas_json_array(root, WHAT, "tasks", &tasks, error);
    if (status != UMAS_OK) return status;
    const size_t count = yyjson_arr_size(tasks);
    if (count < 1 || count > MAX_TASKS)
        return umas_fail(error, UMAS_ERROR_FORMAT, "%zu tasks, there must be 1..%d", count,
                         MAX_TASKS);
    m->task = calloc(count, sizeof *m->task);
    if (m->task == NULL)
        return umas_fail(error, UMAS_ERROR_MEMORY, "no memory for %zu tasks", count);
    yyjson_arr_iter iterator;
    yyjson_arr_iter_init(tasks, &iterator);
    for (; m->tasks < (int)count; m->tasks++) {
        umas_task *task = &m->task[m->tasks];
        status = read_task(yyjson_arr_iter_next(&iterator), &m->architecture, task, error);
        if (status != UMAS_OK) return status;
        for (int i = 0; i < m->tasks; i++)
            if (strcmp(m->task[i].name, task->name) == 0)
                return umas_fail(error, UMAS_ERROR_DUPLICATE, "two tasks are named '%s'",
                                 task->name);
    }
    return UMAS_OK;
}

static int compare_checksums(const void *a, const void *b) {
    return strcmp(((const umas_checksum *)a)->name, ((const umas_checksum *)b)->name);
}

static umas_status read_checksums(yyjson_val *root, umas_metadata *m, umas_error *error) {
    yyjson_val *tensors;
    const umas_status status = umas_json_object(root, WHAT, "tensors", &tensors, error);
    if (status != UMAS_OK) return status;
    const size_t count = yyjson_obj_size(tensors);
    m->checksum = calloc(count + 1, sizeof *m->checksum);
    if (m->checksum == NULL)
        return umas_fail(error, UMAS_ERROR_MEMORY, "no memory for %zu checksums", count);
    yyjson_obj_iter iterator;
    yyjson_obj_iter_init(tensors, &iterator);
    for (; m->checksums < (int)count; m->checksums++) {
        umas_checksum *checksum = &m->checksum[m->checksums];
        yyjson_val *key = yyjson_obj_iter_next(&iterator);
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        checksum->name = yyjson_get_str(key);
        if (!yyjson_is_str(value) || yyjson_get_len(value) != 8 ||
            !hexadecimal(yyjson_get_str(value), 8, &checksum->crc32))
            return umas_fail(error, UMAS_ERROR_FORMAT,
                             "the checksum of tensor %.100s is not eight hexadecimal digits",
                             checksum->name);
    }
    qsort(m->checksum, count, sizeof *m->checksum, compare_checksums);
    return UMAS_OK;
}

umas_status umas_metadata_read(const char *string, size_t length, umas_metadata *metadata,
                               umas_error *error) {
    *metadata = (umas_metadata){0};
    umas_status status = check_own_checksum(string, length, error);
    if (status == UMAS_OK)
        status = umas_json_parse(string, length, WHAT, &metadata->document, error);
    if (status != UMAS_OK) return status;
    yyjson_val *root = yyjson_doc_get_root(metadata->document);
    if ((status = check_version(root, error)) || (status = read_origin(root, metadata, error)) ||
        (status = read_note(root, metadata, error)) ||
        (status = read_architecture(root, &metadata->architecture, error)) ||
        (status = read_trained_elements(root, metadata, error)) ||
        (status = read_tasks(root, metadata, error)) ||
        (status = read_checksums(root, metadata, error)))
        umas_metadata_free(metadata);
    return status;
}

void umas_metadata_free(umas_metadata *metadata) {
    free(metadata->task);
    free(metadata->checksum);
    if (metadata->document != NULL) yyjson_doc_free(metadata->document);
    *metadata = (umas_metadata){0};
}
