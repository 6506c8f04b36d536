/* Several ranks in one process: a thread each, with its own engine, its share of the atoms, and
 * callbacks that meet at barriers. */
#ifndef UMAS_RANK_THREADS_H
#define UMAS_RANK_THREADS_H

#include "small_systems.h"

enum { MOST_RANKS = 4 };

typedef struct rank rank;

typedef struct world {
    int ranks;
    const structure *s;
    const umas_model *model;
    umas_engine_options
        options; /* exchange is filled in; devices > 0: a rank takes device rank % devices */
    int devices;
    const int *owner; /* [atoms of s] */
    int fail_at;      /* the callback that fails on every rank, or -1 */
    int bad_rank;     /* the rank whose first evaluation has a bad position, or -1 */
    int evaluations;  /* of every rank: 2, the second in memory that is there already */
    void *barrier;    /* a pthread_barrier_t */
    rank *rank;       /* [ranks] */
} world;

struct rank {
    world *w;
    int id;
    int *atom;   /* [atoms.total] atom of s that a row is or is an image of */
    int *own;    /* [atoms of s] row of an own atom */
    int *wanted; /* [atoms of s] is it a candidate of an own atom? */
    umas_row_plan plan;
    umas_atoms atoms;
    umas_result result;
    umas_status status, bad_status; /* of all calls; of an evaluation that must fail */
    umas_error error;               /* where status is not OK */
    char description[512];          /* of the engine after the last evaluation */
    /* callbacks: what the one under way was given, how many there were, whether the last failed */
    const umas_swap *swap;
    double *values;
    const void *mine;
    int calls, failed;
};

/* A world in which nothing fails. */
world world_of(const structure *s, const umas_model *model, umas_engine_options options, int ranks,
               const int *owner);

/* Start the ranks, let each evaluate so many times, and wait for them.  ranks [w->ranks] hold
 * zeros; rank_free afterwards. */
void run_ranks(world *w, rank *ranks);
void rank_free(rank *r);

/* The same; the ranks' results, added up, go to `e`, which holds zeros.  Returns whether all
 * succeeded; what was wrong goes to stderr.  description [512] or NULL: what rank 0's engine
 * says of itself. */
int evaluate_ranks(world *w, evaluation *e, char *description);
evaluation zero_evaluation(int atoms);

#endif
