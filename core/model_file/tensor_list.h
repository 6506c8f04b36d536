/* The tensors an architecture consists of: the table of docs/file-format.md. */
#ifndef UMAS_TENSOR_LIST_H
#define UMAS_TENSOR_LIST_H

#include "model_file/model.h"

typedef struct umas_tensor_shape {
    char name[96];
    int dimensions;
    int64_t shape[UMAS_MAX_DIMENSIONS];
} umas_tensor_shape;

/* Number of tensors; fills `list` [that number] where it is not NULL. */
int umas_tensor_list(const umas_architecture *architecture, umas_tensor_shape *list);

#endif
