/* A safetensors file, mapped and checked: nothing in it is trusted. */
#ifndef UMAS_SAFETENSORS_H
#define UMAS_SAFETENSORS_H

#include "model_file/model.h"

#include <stddef.h>
#include <time.h>

typedef struct umas_safetensors {
    const unsigned char *bytes; /* [size] the mapped file */
    size_t size;
    int descriptor;            /* of the open file, or -1 */
    struct timespec modified;  /* when it was opened */
    size_t data;               /* offset of the first tensor */
    struct yyjson_doc *header; /* holds the tensors' names */
    umas_tensor *tensor;       /* [tensors] sorted by name */
    int tensors;
    float *widened; /* the numbers of all F16 tensors, one tensor after the other */
} umas_safetensors;

/* Map the file and parse its header.  On success, and only then, the caller closes it.
 * Status: IO, NOT_CONVERTED, FORMAT, TRUNCATED, DUPLICATE, MEMORY. */
umas_status umas_safetensors_open(const char *path, umas_safetensors *file, umas_error *error);

/* A string of the header's __metadata__, or NULL; it lives until the file is closed. */
const char *umas_safetensors_metadata(const umas_safetensors *file, const char *key,
                                      size_t *length);

/* Check the list of tensors and fill `tensor`: distinct names, F32 or F16, shapes that fit their
 * offsets, offsets that cover the rest of the file exactly and are aligned.  The numbers of F16
 * tensors get room in memory but are not there yet: see umas_tensor_check.
 * Status: FORMAT, TRUNCATED, OVERSIZED, DUPLICATE, TENSOR, MEMORY. */
umas_status umas_safetensors_list(umas_safetensors *file, umas_error *error);

/* Are the file's size and time of modification those that it had when it was opened?  Otherwise the
 * bytes under the mapping may be others, or none.  Status: IO. */
umas_status umas_safetensors_unchanged(const umas_safetensors *file, umas_error *error);

void umas_safetensors_close(umas_safetensors *file);

#endif
