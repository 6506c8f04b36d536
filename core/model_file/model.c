/* Opening a model file: every check that makes its contents safe to use. */
#include "model_file/model.h"

#include "model_file/metadata.h"
#include "model_file/safetensors.h"
#include "model_file/tensor_check.h"
#include "model_file/tensor_list.h"
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_END 200 /* the rest of a message must fit behind it */

struct umas_model {
    umas_safetensors file;
    umas_metadata metadata;
    int64_t parameters;
    uint64_t digest;
    char path[PATH_END + 1]; /* its end, for messages */
};

static void describe_shape(int dimensions, const int64_t *shape, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "[");
    for (int d = 0; d < dimensions && used < size; d++)
        used += (size_t)snprintf(text + used, size - used, d > 0 ? ", %lld" : "%lld",
                                 (long long)shape[d]);
    if (used < size) snprintf(text + used, size - used, "]");
}

static umas_status compare_shapes(const umas_tensor *tensor, const umas_tensor_shape *expected,
                                  umas_error *error) {
    int equal = tensor->dimensions == expected->dimensions;
    for (int d = 0; equal && d < tensor->dimensions; d++)
        equal = tensor->shape[d] == expected->shape[d];
    if (equal) return UMAS_OK;
    char has[96], needs[96];
    describe_shape(tensor->dimensions, tensor->shape, has, sizeof has);
    describe_shape(expected->dimensions, expected->shape, needs, sizeof needs);
    return umas_fail(error, UMAS_ERROR_TENSOR,
                     "tensor %.100s has the shape %s, the declared architecture needs %s",
                     tensor->name, has, needs);
}

static int compare_expected(const void *a, const void *b) {
    return strcmp(((const umas_tensor_shape *)a)->name, ((const umas_tensor_shape *)b)->name);
}

/* Both lists are sorted by name: walk them side by side. */
static umas_status match_shapes(const umas_model *model, const umas_tensor_shape *expected,
                                int count, umas_error *error) {
    const umas_safetensors *file = &model->file;
    for (int i = 0; i < count || i < file->tensors; i++) {
        const umas_tensor *tensor = i < file->tensors ? &file->tensor[i] : NULL;
        const char *name = i < count ? expected[i].name : NULL;
        const int order = tensor == NULL ? 1 : name == NULL ? -1 : strcmp(tensor->name, name);
        if (order > 0) return umas_fail(error, UMAS_ERROR_TENSOR, "tensor %s is missing", name);
        if (order < 0)
            return umas_fail(error, UMAS_ERROR_TENSOR,
                             "tensor %.100s does not belong to the declared architecture",
                             tensor->name);
        const umas_status status = compare_shapes(tensor, &expected[i], error);
        if (status != UMAS_OK) return status;
    }
    return UMAS_OK;
}

static umas_status check_shapes(const umas_model *model, umas_error *error) {
    const umas_architecture *architecture = &model->metadata.architecture;
    const int count = umas_tensor_list(architecture, NULL);
    umas_tensor_shape *expected = malloc((size_t)count * sizeof *expected);
    if (expected == NULL)
        return umas_fail(error, UMAS_ERROR_MEMORY, "no memory for a list of %d tensors", count);
    umas_tensor_list(architecture, expected);
    qsort(expected, (size_t)count, sizeof *expected, compare_expected);
    const umas_status status = match_shapes(model, expected, count, error);
    free(expected);
    return status;
}

static umas_status check_weights(umas_model *model, umas_error *error) {
    const umas_metadata *metadata = &model->metadata;
    const int tensors = model->file.tensors;
    if (metadata->checksums != tensors)
        return umas_fail(error, UMAS_ERROR_FORMAT, "metadata has %d checksums for %d tensors",
                         metadata->checksums, tensors);
    for (int i = 0; i < tensors; i++) {
        if (strcmp(metadata->checksum[i].name, model->file.tensor[i].name) != 0)
            return umas_fail(error, UMAS_ERROR_FORMAT, "metadata has no checksum of tensor %s",
                             model->file.tensor[i].name);
        model->parameters += umas_tensor_count(&model->file.tensor[i]);
    }
    uint32_t *crc32 = malloc((size_t)tensors * sizeof *crc32);
    if (crc32 == NULL)
        return umas_fail(error, UMAS_ERROR_MEMORY, "no memory for %d checksums", tensors);
    for (int i = 0; i < tensors; i++) crc32[i] = metadata->checksum[i].crc32;
    const umas_status status = umas_tensor_check(model->file.tensor, crc32, tensors, error);
    free(crc32);
    return status;
}

static umas_status read_model(const char *path, umas_model *model, umas_error *error) {
    umas_status status = umas_safetensors_open(path, &model->file, error);
    if (status != UMAS_OK) return status;
    size_t length;
    const char *string = umas_safetensors_metadata(&model->file, "umas", &length);
    if (string == NULL)
        return umas_fail(error, UMAS_ERROR_FORMAT,
                         "a safetensors file but not a umas model (no 'umas' in its metadata); "
                         "umas-convert writes one from a UMA checkpoint");
    if ((status = umas_metadata_read(string, length, &model->metadata, error)) ||
        (status = umas_safetensors_list(&model->file, error)) ||
        (status = check_shapes(model, error)))
        return status;
    return check_weights(model, error);
}

/* The end of a path, where the file's name is. */
static const char *end_of_path(const char *path) {
    const size_t length = strlen(path);
    return length > PATH_END ? path + length - PATH_END : path;
}

/* FNV-1a of the header. */
static uint64_t digest(const umas_safetensors *file) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < file->data; i++) hash = (hash ^ file->bytes[i]) * 1099511628211u;
    return hash;
}

umas_status umas_model_open(const char *path, umas_model **model, umas_error *error) {
    *model = NULL;
    if (path == NULL) return umas_fail(error, UMAS_ERROR_IO, "no path of a model file is given");
    umas_error reason = {0};
    umas_model *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return umas_fail(error, UMAS_ERROR_MEMORY, "%s: no memory to open it", end_of_path(path));
    const umas_status status = read_model(path, opened, &reason);
    if (status != UMAS_OK) {
        umas_model_close(opened);
        return umas_fail(error, status, "%s: %s", end_of_path(path), reason.message);
    }
    opened->digest = digest(&opened->file);
    strcpy(opened->path, end_of_path(path));
    *model = opened;
    return UMAS_OK;
}

umas_status umas_model_unchanged(const umas_model *model, umas_error *error) {
    umas_error reason = {0};
    const umas_status status = umas_safetensors_unchanged(&model->file, &reason);
    if (status != UMAS_OK) return umas_fail(error, status, "%s: %s", model->path, reason.message);
    return UMAS_OK;
}

void umas_model_close(umas_model *model) {
    if (model == NULL) return;
    umas_metadata_free(&model->metadata);
    umas_safetensors_close(&model->file);
    free(model);
}

static int compare_to_tensor(const void *name, const void *tensor) {
    return strcmp(name, ((const umas_tensor *)tensor)->name);
}

const umas_tensor *umas_model_tensor(const umas_model *model, const char *name) {
    return bsearch(name, model->file.tensor, (size_t)model->file.tensors, sizeof(umas_tensor),
                   compare_to_tensor);
}

const umas_architecture *umas_model_architecture(const umas_model *model) {
    return &model->metadata.architecture;
}

const char *umas_model_id(const umas_model *model) { return model->metadata.model_id; }
const char *umas_model_source(const umas_model *model) { return model->metadata.source; }
const char *umas_model_sha256(const umas_model *model) { return model->metadata.sha256; }
const char *umas_model_converter(const umas_model *model) { return model->metadata.converter; }
int umas_model_is_random(const umas_model *model) { return model->metadata.is_random; }

const char *umas_model_note(const umas_model *model) {
    return model->metadata.note[0] != '\0' ? model->metadata.note : NULL;
}

const char *umas_model_trained_elements(const umas_model *model) {
    const umas_metadata *m = &model->metadata;
    return m->trained_elements[0] != '\0' ? m->trained_elements : NULL;
}

int umas_model_has_element(const umas_model *model, int number) {
    const umas_metadata *m = &model->metadata;
    if (number < 1 || number >= m->architecture.elements) return 0;
    return m->trained_elements[0] == '\0' || m->is_trained[number];
}

int64_t umas_model_parameters(const umas_model *model) { return model->parameters; }
uint64_t umas_model_digest(const umas_model *model) { return model->digest; }
int64_t umas_model_bytes(const umas_model *model) { return (int64_t)model->file.size; }
int umas_model_task_count(const umas_model *model) { return model->metadata.tasks; }

const umas_task *umas_model_task(const umas_model *model, int index) {
    return index >= 0 && index < model->metadata.tasks ? &model->metadata.task[index] : NULL;
}

const umas_task *umas_model_find_task(const umas_model *model, const char *name) {
    for (int i = 0; name != NULL && i < model->metadata.tasks; i++)
        if (strcmp(model->metadata.task[i].name, name) == 0) return &model->metadata.task[i];
    return NULL;
}
