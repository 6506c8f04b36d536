/* Changing model files so that the checks behind the checksums are reached. */
#ifndef UMAS_MODEL_MUTATOR_H
#define UMAS_MODEL_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

/* Change the file `bytes` [size] in place, with room for `capacity` bytes; returns its new size.
 * The same seed makes the same change.  Any bytes may be given, also none. */
size_t mutate_model_file(uint8_t *bytes, size_t size, size_t capacity, uint64_t seed);

#endif
