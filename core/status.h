/* How functions of the library report failure: a status, and one line in umas_error. */
#ifndef UMAS_STATUS_H
#define UMAS_STATUS_H

#include "umas.h"

#if defined(__GNUC__)
#define UMAS_PRINTF(string, first) __attribute__((format(printf, string, first)))
#else
#define UMAS_PRINTF(string, first)
#endif

/* Set status and message (printf style) when error is not NULL; returns status. */
umas_status umas_fail(umas_error *error, umas_status status, const char *format, ...)
    UMAS_PRINTF(3, 4);

/* The same, naming the rows of umas_atoms that are at fault (-1 for none). */
umas_status umas_fail_rows(umas_error *error, umas_status status, int row_a, int row_b,
                           const char *format, ...) UMAS_PRINTF(5, 6);

#endif
