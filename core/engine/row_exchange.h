/* Rows of node arrays to the ranks that need them, and their gradients back.  CPU engine only; the
 * counterpart of cuda/exchange/. */
#ifndef UMAS_ROW_EXCHANGE_H
#define UMAS_ROW_EXCHANGE_H

#include "precision.h"

#define rows_forward PRECISE(umas_rows_forward)
#define rows_reverse PRECISE(umas_rows_reverse)

/* rows [nodes][width]: copy owned rows to the ghost rows that stand for them on other ranks.
 * packed [send_first[peers]][width]: scratch.  plan NULL: nothing to do.  Status: EXCHANGE. */
umas_status rows_forward(const umas_exchange *exchange, const umas_row_plan *plan, int owned,
                         int width, real *rows, real *packed, umas_error *error);

/* Add ghost rows into the owned rows they stand for, in the order of peers.  Status: EXCHANGE. */
umas_status rows_reverse(const umas_exchange *exchange, const umas_row_plan *plan, int owned,
                         int width, real *rows, real *packed, umas_error *error);

#endif
