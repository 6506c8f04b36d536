/* The container of a model: 8 bytes with the header's length, a JSON header, the tensors' bytes. */
#define _POSIX_C_SOURCE 200809L /* NOLINT(bugprone-reserved-identifier): POSIX wants it */

#include "model_file/safetensors.h"

#include "model_file/json.h"
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A large model's header has some 200 kB.  The limit bounds the memory that a hostile one costs. */
#define HEADER_LIMIT (16u << 20)
#define LENGTH_BYTES 8u
#define F32_BYTES ((int)sizeof(float))
#define F16_BYTES ((int)sizeof(uint16_t))
#define METADATA_KEY "__metadata__"

static umas_status map_descriptor(int descriptor, umas_safetensors *file, umas_error *error) {
    struct stat about;
    if (fstat(descriptor, &about) != 0)
        return umas_fail(error, UMAS_ERROR_IO, "cannot examine: %s", strerror(errno));
    if (S_ISDIR(about.st_mode))
        return umas_fail(error, UMAS_ERROR_IO, "a directory, not a model file");
    if (!S_ISREG(about.st_mode)) return umas_fail(error, UMAS_ERROR_IO, "not a regular file");
    if (about.st_size == 0) return umas_fail(error, UMAS_ERROR_TRUNCATED, "the file is empty");
    if ((uint64_t)about.st_size > SIZE_MAX / 2)
        return umas_fail(error, UMAS_ERROR_MEMORY, "too large to be mapped");
    const size_t size = (size_t)about.st_size;
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (bytes == MAP_FAILED)
        return umas_fail(error, errno == ENOMEM ? UMAS_ERROR_MEMORY : UMAS_ERROR_IO,
                         "cannot map %zu bytes: %s", size, strerror(errno));
    file->bytes = bytes;
    file->size = size;
    file->modified = about.st_mtim;
    return UMAS_OK;
}

static umas_status map_file(const char *path, umas_safetensors *file, umas_error *error) {
    /* O_NONBLOCK: opening a named pipe must not wait for its other end. */
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return umas_fail(error, UMAS_ERROR_IO, "cannot open: %s", strerror(errno));
    const umas_status status = map_descriptor(descriptor, file, error);
    if (status == UMAS_OK)
        file->descriptor = descriptor;
    else
        close(descriptor);
    return status;
}

/* Torch writes zip archives, and before version 1.6 wrote bare pickles.  As header lengths, both
 * are far beyond the limit. */
static int is_checkpoint(const unsigned char *bytes) {
    const int zip = memcmp(bytes, "PK\003\004", 4) == 0;
    const int pickle = bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5;
    return zip || pickle;
}

static umas_status parse_header(umas_safetensors *file, umas_error *error) {
    if (file->size < LENGTH_BYTES)
        return umas_fail(error, UMAS_ERROR_TRUNCATED,
                         "the file has %zu bytes, too few for a model file", file->size);
    uint64_t length = 0;
    for (unsigned i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)file->bytes[i] << (8 * i);
    if (length > HEADER_LIMIT && is_checkpoint(file->bytes))
        return umas_fail(error, UMAS_ERROR_NOT_CONVERTED,
                         "a PyTorch checkpoint, not a model file; convert it first: "
                         "umas-convert IN.pt -o OUT.safetensors");
    if (length > HEADER_LIMIT)
        return umas_fail(error, UMAS_ERROR_FORMAT,
                         "not a safetensors file (it would have a header of %llu bytes)",
                         (unsigned long long)length);
    if (length > file->size - LENGTH_BYTES)
        return umas_fail(error, UMAS_ERROR_TRUNCATED,
                         "cut off at %zu bytes, the header alone has %llu; copy the file again",
                         file->size, (unsigned long long)length);
    const char *text = (const char *)file->bytes + LENGTH_BYTES;
    if (length == 0 || text[0] != '{')
        return umas_fail(error, UMAS_ERROR_FORMAT,
                         "not a safetensors file (its header is not a JSON object)");
    if (length % sizeof(float) != 0)
        return umas_fail(error, UMAS_ERROR_FORMAT,
                         "the header has %llu bytes, not a multiple of 4: tensors are not aligned",
                         (unsigned long long)length);
    file->data = LENGTH_BYTES + (size_t)length;
    return umas_json_parse(text, (size_t)length, "header", &file->header, error);
}

umas_status umas_safetensors_open(const char *path, umas_safetensors *file, umas_error *error) {
    *file = (umas_safetensors){.descriptor = -1};
    umas_status status = map_file(path, file, error);
    if (status == UMAS_OK) status = parse_header(file, error);
    if (status == UMAS_OK) {
        yyjson_val *metadata = yyjson_obj_get(yyjson_doc_get_root(file->header), METADATA_KEY);
        if (metadata != NULL) status = umas_json_check_object(metadata, METADATA_KEY, error);
    }
    if (status != UMAS_OK) umas_safetensors_close(file);
    return status;
}

void umas_safetensors_close(umas_safetensors *file) {
    free(file->tensor);
    free(file->widened);
    if (file->header != NULL) yyjson_doc_free(file->header);
    if (file->bytes != NULL) {
        munmap((void *)file->bytes, file->size);
        close(file->descriptor);
    }
    *file = (umas_safetensors){.descriptor = -1};
}

/* Not the time of the last change of the inode: removing or renaming the file is allowed. */
umas_status umas_safetensors_unchanged(const umas_safetensors *file, umas_error *error) {
    struct stat now;
    if (fstat(file->descriptor, &now) != 0)
        return umas_fail(error, UMAS_ERROR_IO, "cannot examine: %s", strerror(errno));
    if (now.st_size == (off_t)file->size && now.st_mtim.tv_sec == file->modified.tv_sec &&
        now.st_mtim.tv_nsec == file->modified.tv_nsec)
        return UMAS_OK;
    return umas_fail(error, UMAS_ERROR_IO,
                     "the file was written to while it is in use; start again, and replace model "
                     "files by mv, not by cp or rsync --inplace");
}

const char *umas_safetensors_metadata(const umas_safetensors *file, const char *key,
                                      size_t *length) {
    yyjson_val *metadata = yyjson_obj_get(yyjson_doc_get_root(file->header), METADATA_KEY);
    yyjson_val *string = yyjson_obj_get(metadata, key);
    *length = yyjson_get_len(string);
    return yyjson_get_str(string);
}

/* A tensor's shape and, in *bytes, the size of as many numbers of `width` bytes. */
static umas_status read_shape(yyjson_val *shape, int width, umas_tensor *tensor, int64_t *bytes,
                              umas_error *error) {
    if (!yyjson_is_arr(shape))
        return umas_fail(error, UMAS_ERROR_FORMAT, "tensor %.100s lacks a shape", tensor->name);
    const size_t dimensions = yyjson_arr_size(shape);
    if (dimensions > UMAS_MAX_DIMENSIONS)
        return umas_fail(error, UMAS_ERROR_TENSOR, "tensor %.100s has %zu dimensions, at most %d",
                         tensor->name, dimensions, UMAS_MAX_DIMENSIONS);
    yyjson_arr_iter iterator;
    yyjson_arr_iter_init(shape, &iterator);
    *bytes = width;
    tensor->dimensions = (int)dimensions;
    for (int d = 0; d < tensor->dimensions; d++) {
        int64_t *extent = &tensor->shape[d];
        if (!umas_json_to_size(yyjson_arr_iter_next(&iterator), extent) || *extent == 0)
            return umas_fail(error, UMAS_ERROR_FORMAT,
                             "tensor %.100s: dimension %d is not a positive integer", tensor->name,
                             d);
        if (*extent > INT64_MAX / *bytes)
            return umas_fail(error, UMAS_ERROR_FORMAT,
                             "tensor %.100s: the size of its shape overflows", tensor->name);
        *bytes *= *extent;
    }
    return UMAS_OK;
}

/* Where a tensor lies, in bytes from the end of the header. */
typedef struct extent {
    int64_t begin, end;
    int width; /* bytes of a number */
    umas_tensor *tensor;
} extent;

static umas_status read_tensor(yyjson_val *entry, umas_tensor *tensor, extent *span,
                               umas_error *error) {
    umas_status status = umas_json_check_object(entry, tensor->name, error);
    if (status != UMAS_OK) return status;
    yyjson_val *dtype = yyjson_obj_get(entry, "dtype");
    yyjson_val *offsets = yyjson_obj_get(entry, "data_offsets");
    if (!yyjson_is_str(dtype) || yyjson_obj_size(entry) != 3)
        return umas_fail(error, UMAS_ERROR_FORMAT,
                         "tensor %.100s must have dtype, shape and data_offsets, no more",
                         tensor->name);
    span->width = yyjson_equals_strn(dtype, "F32", 3)   ? F32_BYTES
                  : yyjson_equals_strn(dtype, "F16", 3) ? F16_BYTES
                                                        : 0;
    if (span->width == 0)
        return umas_fail(error, UMAS_ERROR_TENSOR, "tensor %.100s is %.20s, neither F32 nor F16",
                         tensor->name, yyjson_get_str(dtype));
    int64_t bytes = 0;
    status = read_shape(yyjson_obj_get(entry, "shape"), span->width, tensor, &bytes, error);
    if (status != UMAS_OK) return status;
    if (yyjson_arr_size(offsets) != 2 ||
        !umas_json_to_size(yyjson_arr_get(offsets, 0), &span->begin) ||
        !umas_json_to_size(yyjson_arr_get(offsets, 1), &span->end) || span->begin > span->end)
        return umas_fail(error, UMAS_ERROR_FORMAT, "tensor %.100s lacks data_offsets [begin, end]",
                         tensor->name);
    if (span->end - span->begin != bytes)
        return umas_fail(error, UMAS_ERROR_FORMAT,
                         "tensor %.100s: its shape needs %lld bytes, its offsets hold %lld",
                         tensor->name, (long long)bytes, (long long)(span->end - span->begin));
    span->tensor = tensor;
    return UMAS_OK;
}

static int compare_begins(const void *a, const void *b) {
    const extent *first = a, *second = b;
    return (first->begin > second->begin) - (first->begin < second->begin);
}

/* Each tensor must start where the one before it ends, at a multiple of its numbers' size, and the
 * last must end the file. */
static umas_status check_coverage(const umas_safetensors *file, extent *span, umas_error *error) {
    const int64_t available = (int64_t)(file->size - file->data);
    int64_t end = 0;
    if (file->tensors > 0) qsort(span, (size_t)file->tensors, sizeof *span, compare_begins);
    for (int i = 0; i < file->tensors; i++) {
        if (span[i].begin != end)
            return umas_fail(error, UMAS_ERROR_FORMAT,
                             "tensor %.100s starts at offset %lld, the one before it ends at %lld",
                             span[i].tensor->name, (long long)span[i].begin, (long long)end);
        if (span[i].begin % span[i].width != 0)
            return umas_fail(error, UMAS_ERROR_FORMAT,
                             "tensor %.100s starts at offset %lld, which is not a multiple of %d",
                             span[i].tensor->name, (long long)span[i].begin, span[i].width);
        end = span[i].end;
    }
    if (end > available)
        return umas_fail(
            error, UMAS_ERROR_TRUNCATED,
            "cut off: %lld bytes of tensors, the header lists %lld; copy the file again",
            (long long)available, (long long)end);
    if (end < available)
        return umas_fail(error, UMAS_ERROR_OVERSIZED,
                         "%lld bytes follow the last tensor; copy the file again",
                         (long long)(available - end));
    return UMAS_OK;
}

/* Say where every tensor's numbers are, or will be. */
static umas_status locate_tensors(umas_safetensors *file, const extent *span, umas_error *error) {
    size_t numbers = 0;
    for (int i = 0; i < file->tensors; i++)
        if (span[i].width == F16_BYTES)
            numbers += (size_t)(span[i].end - span[i].begin) / F16_BYTES;
    /* A file's size fits in half of size_t, and thus twice the size does. */
    float *room = numbers > 0 ? malloc(numbers * sizeof *room) : NULL;
    if (numbers > 0 && room == NULL)
        return umas_fail(error, UMAS_ERROR_MEMORY, "no memory for %zu numbers in single precision",
                         numbers);
    file->widened = room;
    for (int i = 0; i < file->tensors; i++) {
        umas_tensor *tensor = span[i].tensor;
        tensor->stored = file->bytes + file->data + span[i].begin;
        tensor->value = tensor->stored;
        if (span[i].width == F32_BYTES) continue;
        tensor->value = tensor->widened = room;
        room += (span[i].end - span[i].begin) / F16_BYTES;
    }
    return UMAS_OK;
}

static umas_status read_tensors(umas_safetensors *file, extent *span, umas_error *error) {
    yyjson_obj_iter iterator;
    yyjson_obj_iter_init(yyjson_doc_get_root(file->header), &iterator);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iterator)) != NULL;) {
        umas_tensor *tensor = &file->tensor[file->tensors];
        tensor->name = yyjson_get_str(key);
        if (strcmp(tensor->name, METADATA_KEY) == 0) continue;
        const umas_status status =
            read_tensor(yyjson_obj_iter_get_val(key), tensor, &span[file->tensors], error);
        if (status != UMAS_OK) return status;
        file->tensors++;
    }
    const umas_status status = check_coverage(file, span, error);
    return status == UMAS_OK ? locate_tensors(file, span, error) : status;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const umas_tensor *)a)->name, ((const umas_tensor *)b)->name);
}

umas_status umas_safetensors_list(umas_safetensors *file, umas_error *error) {
    const size_t entries = yyjson_obj_size(yyjson_doc_get_root(file->header)) + 1;
    file->tensor = calloc(entries, sizeof *file->tensor);
    extent *span = calloc(entries, sizeof *span);
    umas_status status = UMAS_ERROR_MEMORY;
    if (file->tensor == NULL || span == NULL)
        umas_fail(error, status, "no memory for a list of %zu tensors", entries);
    else
        status = read_tensors(file, span, error);
    free(span);
    if (status == UMAS_OK)
        qsort(file->tensor, (size_t)file->tensors, sizeof *file->tensor, compare_names);
    return status;
}
