/* Rows of h to the ranks that need them, between docs/model.md (15) and (16), and their gradients
 * back after (34).  rows [nodes][width]: owned ones first, then those of atoms of other ranks. */
#include "engine/row_exchange.h"

#include <string.h>

#include "status.h"

umas_status rows_forward(const umas_exchange *exchange, const umas_row_plan *plan, int owned,
                         int width, real *rows, real *packed, umas_error *error) {
    if (!exchange || !plan) return UMAS_OK;
    const size_t n = width;
    const int sent = plan->send_first[plan->peers];
    for (int k = 0; k < sent; k++)
        memcpy(packed + k * n, rows + plan->send_row[k] * n, n * sizeof *rows);
    const umas_swap swap = {plan->peers,      plan->peer,       n * sizeof *rows,   packed,
                            plan->send_first, rows + owned * n, plan->receive_first};
    if (exchange->swap(exchange->context, &swap))
        return umas_fail(error, UMAS_ERROR_EXCHANGE, "sending features to other ranks failed");
    return UMAS_OK;
}

umas_status rows_reverse(const umas_exchange *exchange, const umas_row_plan *plan, int owned,
                         int width, real *rows, real *packed, umas_error *error) {
    if (!exchange || !plan) return UMAS_OK;
    const size_t n = width;
    const umas_swap swap = {plan->peers,         plan->peer, n * sizeof *rows, rows + owned * n,
                            plan->receive_first, packed,     plan->send_first};
    if (exchange->swap(exchange->context, &swap))
        return umas_fail(error, UMAS_ERROR_EXCHANGE, "sending gradients to other ranks failed");
    const int received = plan->send_first[plan->peers];
    for (int k = 0; k < received; k++) {
        real *to = rows + plan->send_row[k] * n;
        const real *from = packed + k * n;
        for (size_t i = 0; i < n; i++) to[i] += from[i];
    }
    return UMAS_OK;
}
