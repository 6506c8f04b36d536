/* Reading JSON that may be hostile: every value's kind and range is checked, and no object may
 * give a key twice (yyjson accepts that, and finds the first). */
#ifndef UMAS_JSON_H
#define UMAS_JSON_H

#include "umas.h"

#include <stddef.h>
#include <yyjson.h>

/* Parse a text whose root must be an object.  `what` names it in messages, here and below.
 * Status: FORMAT, DUPLICATE (keys of the root), MEMORY.  The caller frees *document. */
umas_status umas_json_parse(const char *text, size_t length, const char *what,
                            yyjson_doc **document, umas_error *error);

/* Is it an object whose keys are distinct strings?  Status: FORMAT, DUPLICATE, MEMORY. */
umas_status umas_json_check_object(yyjson_val *value, const char *what, umas_error *error);

/* Member `key` of a checked object.  Status: FORMAT where it is missing, of another kind or out of
 * range; for an object also DUPLICATE and MEMORY. */
umas_status umas_json_object(yyjson_val *parent, const char *what, const char *key,
                             yyjson_val **object, umas_error *error);
umas_status umas_json_array(yyjson_val *parent, const char *what, const char *key,
                            yyjson_val **array, umas_error *error);
umas_status umas_json_integer(yyjson_val *parent, const char *what, const char *key, int low,
                              int high, int *value, umas_error *error);
umas_status umas_json_number(yyjson_val *parent, const char *what, const char *key, double *value,
                             umas_error *error);
umas_status umas_json_boolean(yyjson_val *parent, const char *what, const char *key, int *value,
                              umas_error *error);
/* Copies a string of printable characters, shorter than `size` bytes. */
umas_status umas_json_string(yyjson_val *parent, const char *what, const char *key, char *string,
                             size_t size, umas_error *error);

/* Is it a finite number?  If so, *number is its value. */
int umas_json_to_number(yyjson_val *value, double *number);

/* Is it an integer of 0..2^63 - 1?  If so, *number is its value. */
int umas_json_to_size(yyjson_val *value, int64_t *number);

#endif
