/* Ranks as threads of one process: rank_threads.h. */
#define _POSIX_C_SOURCE 200809L /* NOLINT(bugprone-reserved-identifier): POSIX wants it */

#include "rank_threads.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *allocate(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size);
    if (p == NULL) exit(EXIT_FAILURE);
    return p;
}

/* ---- callbacks ---------------------------------------------------------------------------- */

static void meet(world *w) { (void)pthread_barrier_wait(w->barrier); }

static void stop(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(EXIT_FAILURE);
}

/* Count a callback; after one that failed there must be no other. */
static int fails(rank *r) {
    if (r->failed) stop("a callback after one that failed");
    r->failed = r->calls++ == r->w->fail_at;
    return r->failed;
}

/* Where a rank's rows for another begin, and how many there are. */
static int rows_for(const umas_swap *s, int other, int *first) {
    for (int p = 0; p < s->peers; p++)
        if (s->peer[p] == other) {
            *first = s->send_first[p];
            return s->send_first[p + 1] - s->send_first[p];
        }
    return 0;
}

static int swap(void *context, const umas_swap *rows) {
    rank *r = context;
    if (fails(r)) return 1;
    r->swap = rows;
    meet(r->w);
    for (int p = 0; p < rows->peers; p++) {
        const umas_swap *other = r->w->rank[rows->peer[p]].swap;
        const int count = rows->receive_first[p + 1] - rows->receive_first[p];
        int first = 0;
        if (rows_for(other, r->id, &first) != count || other->row_bytes != rows->row_bytes)
            stop("a rank sends other rows than its peer receives");
        if (count > 0)
            memcpy((char *)rows->receive + (size_t)rows->receive_first[p] * rows->row_bytes,
                   (const char *)other->send + (size_t)first * rows->row_bytes,
                   (size_t)count * rows->row_bytes);
    }
    meet(r->w);
    return 0;
}

static int sum(void *context, double *values, int count) {
    enum { MOST_VALUES = 64 };
    rank *r = context;
    double total[MOST_VALUES] = {0};
    if (fails(r)) return 1;
    r->values = values;
    meet(r->w);
    for (int i = 0; i < r->w->ranks; i++)
        for (int k = 0; k < count && k < MOST_VALUES; k++) total[k] += r->w->rank[i].values[k];
    meet(r->w);
    for (int k = 0; k < count && k < MOST_VALUES; k++) values[k] = total[k];
    return count > MOST_VALUES;
}

static int gather(void *context, const void *mine, void *all, size_t bytes) {
    rank *r = context;
    if (fails(r)) return 1;
    r->mine = mine;
    meet(r->w);
    for (int i = 0; i < r->w->ranks; i++)
        memcpy((char *)all + (size_t)i * bytes, r->w->rank[i].mine, bytes);
    meet(r->w);
    return 0;
}

/* ---- one rank ----------------------------------------------------------------------------- */

/* Which atoms are candidates of this rank's own ones: wanted [atoms of s]. */
static void find_wanted(const rank *r, const umas_atoms *all, int *wanted) {
    for (int i = 0; i < all->owned; i++)
        for (int64_t k = all->first[i]; k < all->first[i + 1]; k++)
            if (r->w->owner[i] == r->id) wanted[all->node[all->neighbour[k]]] = 1;
}

/* Rows of other ranks' atoms, by rank and atom: row_of [atoms of s] is filled, -1 for none. */
static void number_rows(rank *r, const int *wanted, int *row_of) {
    const world *w = r->w;
    int *first = allocate((size_t)w->ranks + 1, sizeof *first);
    r->atoms.nodes = r->atoms.owned;
    for (int other = 0; other < w->ranks; other++) {
        for (int i = 0; i < w->s->atoms; i++)
            if (other != r->id && w->owner[i] == other) {
                row_of[i] = wanted[i] ? r->atoms.nodes : -1;
                r->atoms.nodes += wanted[i];
            }
        first[other + 1] = r->atoms.nodes - r->atoms.owned;
    }
    r->plan.receive_first = first;
}

/* This rank's share of all atoms, which are those of one rank alone. */
static void take_share(rank *r, const umas_atoms *all) {
    const world *w = r->w;
    umas_atoms *a = &r->atoms;
    int *row = allocate((size_t)all->total, sizeof *row); /* of one rank's row here */
    int *element = allocate((size_t)all->total, sizeof *element);
    int *node = allocate((size_t)all->total, sizeof *node);
    int *wanted = allocate((size_t)all->owned, sizeof *wanted);
    int *row_of = allocate((size_t)all->owned, sizeof *row_of);
    double *position = allocate((size_t)all->total * 3, sizeof *position);
    int64_t *first = allocate((size_t)all->owned + 1, sizeof *first);
    int *neighbour = allocate((size_t)all->first[all->owned], sizeof *neighbour);
    r->atom = allocate((size_t)all->total, sizeof *r->atom);
    r->own = allocate((size_t)all->owned, sizeof *r->own);
    for (int i = 0; i < all->owned; i++)
        if (w->owner[i] == r->id) row_of[i] = r->own[i] = a->owned++;
    find_wanted(r, all, wanted);
    number_rows(r, wanted, row_of);
    for (int is_ghost = 0; is_ghost <= 1; is_ghost++) /* every image is a ghost, needed or not */
        for (int i = 0; i < all->total; i++) {
            const int atom = all->node[i], is_own = w->owner[atom] == r->id;
            if ((i < all->owned && is_own) == is_ghost) continue;
            const int at = a->total++;
            row[i] = at;
            r->atom[at] = atom;
            element[at] = all->element[i];
            memcpy(position + 3L * at, all->position + 3L * i, 3 * sizeof *position);
            node[at] = row_of[atom];
        }
    for (int i = 0; i < all->owned; i++) {
        if (w->owner[i] != r->id) continue;
        const int at = r->own[i];
        first[at + 1] = first[at];
        for (int64_t k = all->first[i]; k < all->first[i + 1]; k++)
            neighbour[first[at + 1]++] = row[all->neighbour[k]];
    }
    free(row);
    free(row_of);
    r->wanted = wanted;
    a->element = element;
    a->node = node;
    a->position = position;
    a->first = first;
    a->neighbour = neighbour;
    a->list_changed = 1;
    r->result.force = allocate((size_t)a->total * 3, sizeof(double));
    r->result.atom_virial = allocate((size_t)a->total * 6, sizeof(double));
    r->result.atom_energy = allocate((size_t)a->owned, sizeof(double));
}

/* What this rank sends: all ranks are peers, this one too, with nothing to send. */
static void plan_sends(rank *r) {
    const world *w = r->w;
    int *peer = allocate((size_t)w->ranks, sizeof *peer);
    int *first = allocate((size_t)w->ranks + 1, sizeof *first);
    int *send = allocate((size_t)w->ranks * (size_t)w->s->atoms, sizeof *send);
    for (int other = 0; other < w->ranks; other++) {
        peer[other] = other;
        first[other + 1] = first[other];
        for (int i = 0; i < w->s->atoms; i++)
            if (other != r->id && w->owner[i] == r->id && w->rank[other].wanted[i])
                send[first[other + 1]++] = r->own[i];
    }
    r->plan.peers = w->ranks;
    r->plan.peer = peer;
    r->plan.send_first = first;
    r->plan.send_row = send;
    r->atoms.rows = &r->plan;
}

void rank_free(rank *r) {
    neighbours_free(&r->atoms);
    free(r->atom);
    free(r->own);
    free(r->wanted);
    free((void *)r->plan.peer);
    free((void *)r->plan.send_first);
    free((void *)r->plan.send_row);
    free((void *)r->plan.receive_first);
    free(r->result.force);
    free(r->result.atom_virial);
    free(r->result.atom_energy);
}

/* An evaluation with a position that is no number, on the rank that has it. */
static umas_status evaluate_badly(rank *r, umas_engine *engine) {
    double *x = (double *)r->atoms.position, before = 0;
    const int bad = r->id == r->w->bad_rank && r->atoms.total > 0;
    if (bad) {
        before = *x;
        *x = NAN;
    }
    const umas_status status = umas_engine_evaluate(engine, &r->atoms, &r->result, NULL);
    if (bad) *x = before;
    r->atoms.list_changed = 0;
    return status;
}

static void *run(void *argument) {
    rank *r = argument;
    const world *w = r->w;
    const umas_exchange exchange = {r, r->id, w->ranks, swap, sum, gather};
    umas_engine_options options = w->options;
    umas_engine *engine = NULL;
    int64_t counts[UMAS_ELEMENTS] = {0};
    for (int i = 0; i < w->s->atoms; i++) counts[w->s->element[i]]++;
    options.exchange = &exchange;
    if (w->devices > 0) options.device = r->id % w->devices;
    r->status = umas_engine_create(w->model, &options, &engine, &r->error);
    if (r->status == UMAS_OK) r->status = umas_engine_set_composition(engine, counts, &r->error);
    if (w->bad_rank >= 0 && r->status == UMAS_OK) r->bad_status = evaluate_badly(r, engine);
    for (int i = 0; i < 2 && r->status == UMAS_OK; i++)
        r->status = umas_engine_evaluate(engine, &r->atoms, &r->result, &r->error);
    if (engine) umas_engine_describe(engine, r->description, sizeof r->description);
    umas_engine_destroy(engine);
    return NULL;
}

/* ---- all ranks ---------------------------------------------------------------------------- */

void run_ranks(world *w, rank *ranks) {
    pthread_t thread[MOST_RANKS];
    const int count = w->ranks;
    umas_atoms all = neighbours_create(w->s, 6, 0.5);
    w->rank = ranks;
    pthread_barrier_t barrier;
    w->barrier = &barrier;
    if (pthread_barrier_init(&barrier, NULL, (unsigned)count) != 0) stop("no barrier");
    for (int i = 0; i < count; i++) {
        ranks[i].w = w;
        ranks[i].id = i;
        take_share(&ranks[i], &all);
    }
    for (int i = 0; i < count; i++) plan_sends(&ranks[i]);
    for (int i = 0; i < count; i++)
        if (pthread_create(&thread[i], NULL, run, &ranks[i]) != 0) stop("no thread");
    for (int i = 0; i < count; i++)
        if (pthread_join(thread[i], NULL) != 0) stop("a thread is lost");
    (void)pthread_barrier_destroy(&barrier);
    neighbours_free(&all);
}

int evaluate_ranks(world *w, evaluation *e, char *description) {
    rank ranks[MOST_RANKS] = {{0}};
    const int count = w->ranks;
    int all_right = 1;
    run_ranks(w, ranks);
    for (int i = 0; i < count; i++) {
        const rank *r = &ranks[i];
        if (r->status != UMAS_OK) {
            fprintf(stderr, "rank %d of %d: %s: %s\n", i, w->ranks, umas_status_name(r->status),
                    r->error.message);
            all_right = 0;
        }
        e->energy += r->result.energy;
        for (int d = 0; d < 6; d++) e->virial[d] += r->result.virial[d];
        for (int k = 0; k < r->atoms.total; k++) {
            const long atom = r->atom[k];
            for (int d = 0; d < 3; d++) e->force[3 * atom + d] += r->result.force[3L * k + d];
            for (int d = 0; d < 6; d++)
                e->atom_virial[6 * atom + d] += r->result.atom_virial[6L * k + d];
            if (k < r->atoms.owned) e->atom_energy[atom] += r->result.atom_energy[k];
        }
        rank_free(&ranks[i]);
    }
    if (description) memcpy(description, ranks[0].description, sizeof ranks[0].description);
    return all_right;
}

evaluation zero_evaluation(int atoms) {
    const size_t n = (size_t)atoms;
    evaluation e = {.atoms = atoms};
    e.force = allocate(3 * n, sizeof *e.force);
    e.atom_energy = allocate(n, sizeof *e.atom_energy);
    e.atom_virial = allocate(6 * n, sizeof *e.atom_virial);
    return e;
}

world world_of(const structure *s, const umas_model *model, umas_engine_options options, int ranks,
               const int *owner) {
    return (world){.ranks = ranks,
                   .s = s,
                   .model = model,
                   .options = options,
                   .owner = owner,
                   .fail_at = -1,
                   .bad_rank = -1};
}
