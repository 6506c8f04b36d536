/* Random changes of bytes and of JSON trees. */
#ifndef UMAS_JSON_MUTATOR_H
#define UMAS_JSON_MUTATOR_H

#include <stddef.h>
#include <stdint.h>
#include <yyjson.h>

/* A number of 0..count - 1, 0 where count is 0; *seed goes on. */
size_t below(uint64_t *seed, size_t count);

/* Flip, set, insert, remove or repeat some of `bytes` [size]; returns the new size. */
size_t mutate_bytes(uint8_t *bytes, size_t size, size_t capacity, uint64_t *seed);

/* Change one value or member of a tree: its value, kind, name, place or number of times. */
void mutate_json(yyjson_mut_doc *tree, uint64_t *seed);

#endif
