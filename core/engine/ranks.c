/* The vote of ranks.h: one sum over ranks of how many failed and how many wish to repeat. */
#include "engine/ranks.h"

#include "status.h"

enum { REASONS = 2 };

umas_status umas_ranks_vote(const umas_exchange *exchange, umas_status mine, int *repeat,
                            umas_error *error) {
    if (!exchange) return mine;
    double votes[1 + REASONS] = {mine != UMAS_OK};
    for (int i = 0; i < REASONS && repeat; i++) votes[1 + i] = *repeat >> i & 1;
    const int lost = exchange->sum(exchange->context, votes, 1 + REASONS);
    if (mine != UMAS_OK) return mine;
    if (lost) return umas_fail(error, UMAS_ERROR_EXCHANGE, "the sum over ranks failed");
    if (votes[0] > 0) return umas_fail(error, UMAS_ERROR_EXCHANGE, "another rank failed");
    for (int i = 0; i < REASONS && repeat; i++)
        if (votes[1 + i] > 0) *repeat |= 1 << i;
    return UMAS_OK;
}
