/* What fuzzing runs: a model file from memory, opened and, where it is accepted, used. */
#ifndef UMAS_MODEL_TARGET_H
#define UMAS_MODEL_TARGET_H

#include <stddef.h>
#include <stdint.h>

/* Open these bytes as a model file.  Ends the program where a promise of umas.h is broken.  Returns
 * what came of it: the same number for messages that differ in numbers and names only, and for
 * models of the same kind. */
uint64_t run_model_file(const uint8_t *bytes, size_t size, int *is_accepted);

#endif
