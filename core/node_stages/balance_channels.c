/* Balanced channels, docs/model.md (24); with target 0 also their backward pass, (29).
 *
 *     x_{i,0,c} -= (sum_j x_{j,0,c} - target) / N      for the scalar channels c in [first, end)
 *
 * The sum is over all atoms of the system, those of other ranks included, so that it becomes the
 * target: the charge, or the spin multiplicity - 1.
 * In and out: x [owned][9][C]; only atoms with an element take part.  Sums are in double. */
#include "stages.h"
#include "status.h"

umas_status balance_channels(int owned, int C, const int *element, int first, int end,
                             double target, int64_t atoms, const umas_exchange *exchange, real *x,
                             umas_error *error) {
    enum { BATCH = 64 }; /* channels summed in one exchange */
    for (int from = first; from < end; from += BATCH) {
        int channels = end - from < BATCH ? end - from : BATCH;
        double sum[BATCH] = {0};
        for (int64_t n = 0; n < owned; n++)
            for (int c = 0; c < channels && element[n]; c++)
                sum[c] += (double)x[n * 9 * C + from + c];
        if (exchange && exchange->sum(exchange->context, sum, channels))
            return umas_fail(error, UMAS_ERROR_EXCHANGE, "the sum over ranks failed");
        for (int64_t n = 0; n < owned; n++)
            for (int c = 0; c < channels && element[n]; c++)
                x[n * 9 * C + from + c] -= (real)((sum[c] - target) / (double)atoms);
    }
    return UMAS_OK;
}
