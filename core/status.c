/* Statuses: their names, and the one-line messages that go with them. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *umas_version(void) { return UMAS_VERSION; }

const char *umas_status_name(umas_status status) {
    switch (status) {
    case UMAS_OK: return "ok";
    case UMAS_ERROR_IO: return "file access";
    case UMAS_ERROR_NOT_CONVERTED: return "not converted";
    case UMAS_ERROR_FORMAT: return "malformed file";
    case UMAS_ERROR_VERSION: return "newer file format";
    case UMAS_ERROR_TRUNCATED: return "truncated file";
    case UMAS_ERROR_OVERSIZED: return "oversized file";
    case UMAS_ERROR_DUPLICATE: return "duplicate entry";
    case UMAS_ERROR_TENSOR: return "unfit tensor";
    case UMAS_ERROR_CHECKSUM: return "wrong checksum";
    case UMAS_ERROR_NONFINITE: return "non-finite weight";
    case UMAS_ERROR_UNSUPPORTED: return "unsupported";
    case UMAS_ERROR_ARGUMENT: return "bad argument";
    case UMAS_ERROR_GEOMETRY: return "bad geometry";
    case UMAS_ERROR_MEMORY: return "out of memory";
    case UMAS_ERROR_DEVICE: return "device failure";
    case UMAS_ERROR_EXCHANGE: return "exchange failure";
    case UMAS_ERROR_OVERFLOW: return "non-finite result";
    }
    return "unknown status";
}

/* Text from files ends up in messages: keep it one line, and show where it was cut. */
static void keep_one_line(char *message, size_t size, int wanted) {
    for (char *c = message; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    if (wanted >= 0 && (size_t)wanted >= size) memcpy(message + size - 4, "...", 4);
}

static void describe(umas_error *error, umas_status status, const char *format, va_list values) {
    if (error == NULL) return;
    *error = (umas_error){.status = status, .row = {-1, -1}};
    const int wanted = vsnprintf(error->message, sizeof error->message, format, values);
    keep_one_line(error->message, sizeof error->message, wanted);
}

umas_status umas_fail(umas_error *error, umas_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    describe(error, status, format, arguments);
    va_end(arguments);
    return status;
}

umas_status umas_fail_rows(umas_error *error, umas_status status, int row_a, int row_b,
                           const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    describe(error, status, format, arguments);
    va_end(arguments);
    if (error != NULL) {
        error->row[0] = row_a;
        error->row[1] = row_b;
    }
    return status;
}
