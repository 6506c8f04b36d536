/* Small model files for tests: any architecture, random weights from a seed. */
#ifndef UMAS_MODEL_WRITER_H
#define UMAS_MODEL_WRITER_H

#include "model_file/tensor_list.h"

#include <stddef.h>

/* Write a valid model file.  Task "omat" uses row 0 and slot 0, "omol" row 1 and slot 1 where there
 * are so many.  Weights are uniform with variance 1 / (number of inputs), norms' weights are around
 * 1.  max_neighbors is written where there is a limit.  Returns 0, or -1 where the file cannot be
 * written. */
int write_random_model(const char *path, const umas_architecture *architecture, uint64_t seed);

/* An open model of this kind, owned by the caller, of which no file is left; exits the test on
 * failure. */
umas_model *open_random_model(const umas_architecture *architecture, uint64_t seed);

/* The same in steps, for tests that damage the file between two of them. */
typedef struct model_draft {
    umas_architecture architecture;
    int tensors;
    umas_tensor_shape *shape; /* [tensors] */
    float **value;            /* [tensors][numbers of the shape] */
    int *is_half;             /* [tensors] stored as F16; all F32 until draft_halve */
    const char *members;      /* further ones of the metadata, as `"note":"x",`, or NULL */
    char *metadata;           /* the string `umas`, from behind its checksum on */
    char *header;             /* JSON */
    unsigned char *bytes;     /* [size] the file */
    size_t size;
} model_draft;

void draft_tensors(model_draft *draft, const umas_architecture *architecture, uint64_t seed);
/* Round a tensor's values to the nearest F16 ones and store them as such. */
void draft_halve(model_draft *draft, int tensor);
void draft_metadata(model_draft *draft); /* needs the tensors */
void draft_header(model_draft *draft);   /* needs the metadata */
void draft_file(model_draft *draft);     /* needs the header and the tensors */
int draft_write(const model_draft *draft, const char *path);
void draft_free(model_draft *draft);
/* Metadata, header and file of these tensors, then as open_random_model. */
umas_model *draft_open(model_draft *draft);

#endif
