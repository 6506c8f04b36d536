/* What every C test is written with.  A test calls CHECK and check_close as often as it likes and
 * ends main with `return check_report();`. */
#ifndef UMAS_CHECK_H
#define UMAS_CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK_SKIPPED 77 /* exit status of a test that cannot run here */

static int checks_made, checks_failed;

#define CHECK(condition) check_true((condition) ? 1 : 0, #condition, __FILE__, __LINE__)

static inline int check_true(int holds, const char *condition, const char *file, int line) {
    checks_made++;
    if (!holds) {
        checks_failed++;
        fprintf(stderr, "%s:%d: failed: %s\n", file, line, condition);
    }
    return holds;
}

/* The element of got [n] that misses want [n] by most, in units of what it may miss it by:
 * absolute + relative |want|.  -1: none misses.  NaN on either side misses. */
static inline long check_worst(const double *got, const double *want, long n, double absolute,
                               double relative) {
    long worst = -1;
    double most = 1;
    for (long i = 0; i < n; i++) {
        const double tolerance = absolute + relative * fabs(want[i]);
        const double error = fabs(got[i] - want[i]);
        if (!(error <= tolerance)) {
            const double ratio = isfinite(error) && tolerance > 0 ? error / tolerance : INFINITY;
            if (worst < 0 || ratio > most) {
                worst = i;
                most = ratio;
            }
        }
    }
    return worst;
}

static inline int check_close(const char *name, const double *got, const double *want, long n,
                              double absolute, double relative) {
    const long worst = check_worst(got, want, n, absolute, relative);
    checks_made++;
    if (worst < 0) return 1;
    checks_failed++;
    fprintf(stderr, "%s[%ld] of %ld: got %.17g, want %.17g, off by %.3g, tolerance %.3g\n", name,
            worst, n, got[worst], want[worst], fabs(got[worst] - want[worst]),
            absolute + relative * fabs(want[worst]));
    return 0;
}

/* What main returns.  A test that checked nothing has failed. */
static inline int check_report(void) {
    printf("%d checks, %d failed\n", checks_made, checks_failed);
    return checks_made > 0 && checks_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
