/* What the ranks of a run agree on, with either engine.
 *
 * No rank may wait for one that has failed.  So whatever can fail on one rank alone (memory,
 * positions, results) is found out before the ranks begin to exchange rows or after they have, and
 * all hear of it in one vote before any of them goes on:
 *
 *     prepare, vote, step with exchanges, vote, and again where a rank wishes to repeat. */
#ifndef UMAS_RANKS_H
#define UMAS_RANKS_H

#include "umas.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Why a step has to be repeated, by all ranks: bits. */
typedef enum umas_repeat {
    UMAS_REPEAT_NOT = 0,
    UMAS_REPEAT_WITH_ROOM = 1,             /* more edges were found than there was memory for */
    UMAS_REPEAT_WITH_SMALLER_GRADIENTS = 2 /* gradients overflowed 16 bits */
} umas_repeat;

/* Every rank says whether it has failed.  Returns `mine` where this rank failed, EXCHANGE where
 * another did or the sum over ranks failed, else OK.  *repeat (or NULL): in, why this rank wants to
 * repeat the step; out, why any rank does.  exchange: NULL for one rank. */
umas_status umas_ranks_vote(const umas_exchange *exchange, umas_status mine, int *repeat,
                            umas_error *error);

#ifdef __cplusplus
}
#endif

#endif
