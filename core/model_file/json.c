/* Checked reading of JSON values. */
#include "model_file/json.h"

#include "status.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

umas_status umas_json_parse(const char *text, size_t length, const char *what,
                            yyjson_doc **document, umas_error *error) {
    yyjson_read_err problem;
    *document = NULL;
    /* The text is only written to with YYJSON_READ_INSITU, hence the cast. */
    yyjson_doc *parsed = yyjson_read_opts((char *)text, length, YYJSON_READ_NOFLAG, NULL, &problem);
    if (parsed == NULL && problem.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return umas_fail(error, UMAS_ERROR_MEMORY, "no memory to read %s", what);
    if (parsed == NULL)
        return umas_fail(error, UMAS_ERROR_FORMAT, "%s is not JSON: %s at character %zu", what,
                         problem.msg, problem.pos);
    const umas_status status = umas_json_check_object(yyjson_doc_get_root(parsed), what, error);
    if (status != UMAS_OK)
        yyjson_doc_free(parsed);
    else
        *document = parsed;
    return status;
}

static int compare_strings(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static umas_status check_keys(yyjson_val *object, const char **keys, const char *what,
                              umas_error *error) {
    yyjson_obj_iter iterator;
    yyjson_obj_iter_init(object, &iterator);
    size_t count = 0;
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&iterator)) != NULL; count++) {
        keys[count] = yyjson_get_str(key);
        if (strlen(keys[count]) != yyjson_get_len(key))
            return umas_fail(error, UMAS_ERROR_FORMAT, "%s has a key with a zero byte", what);
    }
    qsort(keys, count, sizeof *keys, compare_strings);
    for (size_t i = 1; i < count; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            return umas_fail(error, UMAS_ERROR_DUPLICATE, "%s gives '%.100s' twice", what, keys[i]);
    return UMAS_OK;
}

umas_status umas_json_check_object(yyjson_val *value, const char *what, umas_error *error) {
    if (!yyjson_is_obj(value))
        return umas_fail(error, UMAS_ERROR_FORMAT, "%s is not a JSON object", what);
    const size_t count = yyjson_obj_size(value);
    if (count == 0) return UMAS_OK;
    const char **keys = malloc(count * sizeof *keys);
    if (keys == NULL) return umas_fail(error, UMAS_ERROR_MEMORY, "no memory to read %s", what);
    const umas_status status = check_keys(value, keys, what, error);
    free(keys);
    return status;
}

umas_status umas_json_object(yyjson_val *parent, const char *what, const char *key,
                             yyjson_val **object, umas_error *error) {
    *object = yyjson_obj_get(parent, key);
    if (*object == NULL) return umas_fail(error, UMAS_ERROR_FORMAT, "%s lacks '%s'", what, key);
    return umas_json_check_object(*object, key, error);
}

umas_status umas_json_array(yyjson_val *parent, const char *what, const char *key,
                            yyjson_val **array, umas_error *error) {
    *array = yyjson_obj_get(parent, key);
    if (!yyjson_is_arr(*array))
        return umas_fail(error, UMAS_ERROR_FORMAT, "%s lacks an array '%s'", what, key);
    return UMAS_OK;
}

umas_status umas_json_integer(yyjson_val *parent, const char *what, const char *key, int low,
                              int high, int *value, umas_error *error) {
    yyjson_val *member = yyjson_obj_get(parent, key);
    if (!yyjson_is_int(member))
        return umas_fail(error, UMAS_ERROR_FORMAT, "%s lacks an integer '%s'", what, key);
    const int64_t number = yyjson_get_sint(member);
    if (number < low || number > high || (yyjson_is_uint(member) && number < 0))
        return umas_fail(error, UMAS_ERROR_FORMAT, "%s: '%s' is %lld, it must be in %d..%d", what,
                         key, (long long)number, low, high);
    *value = (int)number;
    return UMAS_OK;
}

umas_status umas_json_number(yyjson_val *parent, const char *what, const char *key, double *value,
                             umas_error *error) {
    if (!umas_json_to_number(yyjson_obj_get(parent, key), value))
        return umas_fail(error, UMAS_ERROR_FORMAT, "%s lacks a finite number '%s'", what, key);
    return UMAS_OK;
}

umas_status umas_json_boolean(yyjson_val *parent, const char *what, const char *key, int *value,
                              umas_error *error) {
    yyjson_val *member = yyjson_obj_get(parent, key);
    if (!yyjson_is_bool(member))
        return umas_fail(error, UMAS_ERROR_FORMAT, "%s lacks '%s', true or false", what, key);
    *value = yyjson_get_bool(member) ? 1 : 0;
    return UMAS_OK;
}

/* ASCII's control characters and, two bytes in UTF-8, those from U+0080 to U+009F. */
static int is_control(const unsigned char *c) {
    return c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0);
}

umas_status umas_json_string(yyjson_val *parent, const char *what, const char *key, char *string,
                             size_t size, umas_error *error) {
    yyjson_val *member = yyjson_obj_get(parent, key);
    if (!yyjson_is_str(member))
        return umas_fail(error, UMAS_ERROR_FORMAT, "%s lacks a string '%s'", what, key);
    const size_t length = yyjson_get_len(member);
    if (length >= size)
        return umas_fail(error, UMAS_ERROR_FORMAT, "%s: '%s' has %zu bytes, at most %zu may be",
                         what, key, length, size - 1);
    memcpy(string, yyjson_get_str(member), length + 1);
    for (size_t i = 0; i < length; i++)
        if (is_control((const unsigned char *)string + i))
            return umas_fail(error, UMAS_ERROR_FORMAT, "%s: '%s' has a control character", what,
                             key);
    return UMAS_OK;
}

int umas_json_to_number(yyjson_val *value, double *number) {
    if (yyjson_is_real(value))
        *number = yyjson_get_real(value);
    else if (yyjson_is_uint(value))
        *number = (double)yyjson_get_uint(value);
    else if (yyjson_is_int(value))
        *number = (double)yyjson_get_sint(value);
    else
        return 0;
    return isfinite(*number);
}

int umas_json_to_size(yyjson_val *value, int64_t *number) {
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) > (uint64_t)INT64_MAX) return 0;
    *number = (int64_t)yyjson_get_uint(value);
    return 1;
}
