/* An open model file: what safetensors.c and model.c leave for the rest of the core. */
#ifndef UMAS_MODEL_H
#define UMAS_MODEL_H

#include "umas.h"

#define UMAS_MAX_DIMENSIONS 4

typedef struct umas_tensor {
    const char *name;
    int dimensions;
    int64_t shape[UMAS_MAX_DIMENSIONS];
    const void *stored; /* its bytes in the mapped file */
    float *widened;     /* F16: room for its numbers in single precision; F32: NULL */
    const float *value; /* the numbers: `stored`, or `widened` once umas_tensor_check filled it */
} umas_tensor;

/* The tensor of this name.  umas_model_open has checked that every tensor of the declared
 * architecture is there with its shape, so for those names this never returns NULL. */
const umas_tensor *umas_model_tensor(const umas_model *model, const char *name);

/* Is the file as it was when it was opened?  Ask before and after its tensors are read: a file that
 * is overwritten in place has other weights under the same mapping, and one that is cut off has no
 * pages to read.  Status: IO. */
umas_status umas_model_unchanged(const umas_model *model, umas_error *error);

#endif
