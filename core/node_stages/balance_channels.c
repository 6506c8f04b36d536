#include "stages.h"
#include "status.h"

umas_status balance_channels(int owned, int C, const int *element, int first, int end,
                             double target, int64_t atoms, const umas_exchange *exchange, real *x,
                             umas_error *error) {
    enum { BATCH = 64 }; /* channels summed in one exchange */
    for (int from = first; from < end; from += BATCH) {
        int channels = end - from < BATCH ? end - from : BATCH;
        double sum[BATCH] = {0};
        for (int n = 0; n < owned; n++)
            for (int c = 0; c < channels && element[n]; c++)
                sum[c] += (double)x[(size_t)n * 9 * (size_t)C + (size_t)(from + c)];
        if (exchange && exchange->sum(exchange->context, sum, channels))
            return umas_fail(error, UMAS_ERROR_EXCHANGE, "the sum over ranks failed");
        for (int n = 0; n < owned; n++)
            for (int c = 0; c < channels && element[n]; c++)
                x[(size_t)n * 9 * (size_t)C + (size_t)(from + c)] -=
                    (real)((sum[c] - target) / (double)atoms);
    }
    return UMAS_OK;
}
