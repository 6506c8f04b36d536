/* Several ranks in one process: a thread each, with its own engine, its share of the atoms, and
 * callbacks that meet at barriers.  Their results add up to those of one rank. */
#define _POSIX_C_SOURCE 200809L /* NOLINT(bugprone-reserved-identifier): POSIX wants it */

#include <pthread.h>
#include <string.h>

#include "check.h"
#include "model_writer.h"
#include "small_systems.h"
#include "tolerances.h"

enum { MOST_RANKS = 4 };

typedef struct rank rank;

typedef struct world {
    int ranks;
    pthread_barrier_t barrier;
    const structure *s;
    const umas_model *model;
    umas_precision precision;
    const int *owner; /* [atoms of s] */
    rank *rank;       /* [ranks] */
} world;

struct rank {
    world *w;
    int *atom;      /* [atoms.total] atom of s that a row is or is an image of */
    int *own;       /* [atoms of s] row of an own atom */
    int *node_atom; /* [atoms.nodes] atom of s that a node is */
    void *rows;     /* what the callback under way was given */
    double *values;
    umas_atoms atoms;
    umas_result result;
    umas_status status;
    int id;
};

static void *allocate(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size);
    if (p == NULL) exit(EXIT_FAILURE);
    return p;
}

/* ---- callbacks ---------------------------------------------------------------------------- */

static void meet(world *w) { (void)pthread_barrier_wait(&w->barrier); }

static size_t row_bytes(int width, umas_scalar scalar) {
    return (size_t)width * (scalar == UMAS_FLOAT64 ? sizeof(double) : sizeof(float));
}

static int forward(void *context, void *rows, int width, umas_scalar scalar, umas_memory where) {
    rank *r = context;
    const size_t bytes = row_bytes(width, scalar);
    r->rows = rows;
    meet(r->w);
    for (int n = r->atoms.owned; n < r->atoms.nodes; n++) {
        const rank *owner = &r->w->rank[r->w->owner[r->node_atom[n]]];
        memcpy((char *)rows + (size_t)n * bytes,
               (char *)owner->rows + (size_t)owner->own[r->node_atom[n]] * bytes, bytes);
    }
    meet(r->w);
    return where != UMAS_HOST;
}

static void add_row(const void *from, void *to, int width, umas_scalar scalar) {
    for (int i = 0; i < width; i++)
        if (scalar == UMAS_FLOAT64)
            ((double *)to)[i] += ((const double *)from)[i];
        else
            ((float *)to)[i] += ((const float *)from)[i];
}

static int reverse(void *context, void *rows, int width, umas_scalar scalar, umas_memory where) {
    rank *r = context;
    const size_t bytes = row_bytes(width, scalar);
    r->rows = rows;
    meet(r->w);
    for (int i = 0; i < r->w->ranks; i++) {
        const rank *other = &r->w->rank[i];
        for (int n = other->atoms.owned; n < other->atoms.nodes; n++)
            if (r->w->owner[other->node_atom[n]] == r->id)
                add_row((char *)other->rows + (size_t)n * bytes,
                        (char *)rows + (size_t)r->own[other->node_atom[n]] * bytes, width, scalar);
    }
    meet(r->w);
    memset((char *)rows + (size_t)r->atoms.owned * bytes, 0xff, /* NaN: undefined after this */
           (size_t)(r->atoms.nodes - r->atoms.owned) * bytes);
    return where != UMAS_HOST;
}

static int sum(void *context, double *values, int count) {
    enum { MOST_VALUES = 64 };
    rank *r = context;
    double total[MOST_VALUES] = {0};
    r->values = values;
    meet(r->w);
    for (int i = 0; i < r->w->ranks; i++)
        for (int k = 0; k < count && k < MOST_VALUES; k++) total[k] += r->w->rank[i].values[k];
    meet(r->w);
    for (int k = 0; k < count && k < MOST_VALUES; k++) values[k] = total[k];
    return count > MOST_VALUES;
}

/* ---- one rank ----------------------------------------------------------------------------- */

/* This rank's share of all atoms, which are those of one rank alone. */
static void take_share(rank *r, const umas_atoms *all) {
    const world *w = r->w;
    umas_atoms *a = &r->atoms;
    int *row = allocate((size_t)all->total, sizeof *row); /* of one rank's row here */
    int *element = allocate((size_t)all->total, sizeof *element);
    int *node = allocate((size_t)all->total, sizeof *node);
    double *position = allocate((size_t)all->total * 3, sizeof *position);
    int64_t *first = allocate((size_t)all->owned + 1, sizeof *first);
    int *neighbour = allocate((size_t)all->first[all->owned], sizeof *neighbour);
    r->atom = allocate((size_t)all->total, sizeof *r->atom);
    r->node_atom = allocate((size_t)all->total, sizeof *r->node_atom);
    r->own = allocate((size_t)all->owned, sizeof *r->own);
    for (int is_ghost = 0; is_ghost <= 1; is_ghost++) /* every image is a ghost, needed or not */
        for (int i = 0; i < all->total; i++) {
            const int atom = all->node[i], is_own = w->owner[atom] == r->id;
            if ((i < all->owned && is_own) == is_ghost) continue;
            const int at = a->total++;
            row[i] = at;
            r->atom[at] = atom;
            element[at] = all->element[i];
            memcpy(position + 3L * at, all->position + 3L * i, 3 * sizeof *position);
            node[at] = is_ghost && is_own ? r->own[atom] : a->nodes++;
            r->node_atom[node[at]] = atom;
            if (!is_ghost) {
                r->own[atom] = at;
                a->owned++;
            }
        }
    for (int i = 0; i < all->owned; i++) {
        if (w->owner[i] != r->id) continue;
        const int at = r->own[i];
        first[at + 1] = first[at];
        for (int64_t k = all->first[i]; k < all->first[i + 1]; k++)
            neighbour[first[at + 1]++] = row[all->neighbour[k]];
    }
    free(row);
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

static void rank_free(rank *r) {
    neighbours_free(&r->atoms);
    free(r->atom);
    free(r->own);
    free(r->node_atom);
    free(r->result.force);
    free(r->result.atom_virial);
    free(r->result.atom_energy);
}

/* What a rank does: two evaluations, the second with a workspace that is there already. */
static void *run(void *argument) {
    rank *r = argument;
    const world *w = r->w;
    const umas_exchange exchange = {r, forward, reverse, sum};
    umas_engine_options options = umas_engine_default_options();
    umas_engine *engine = NULL;
    int64_t counts[UMAS_ELEMENTS] = {0};
    for (int i = 0; i < w->s->atoms; i++) counts[w->s->element[i]]++;
    options.task = "omol";
    options.charge = -1;
    options.spin = 2;
    options.precision = w->precision;
    options.exchange = &exchange;
    r->status = umas_engine_create(w->model, &options, &engine, NULL);
    if (r->status == UMAS_OK) r->status = umas_engine_set_composition(engine, counts, NULL);
    for (int i = 0; i < 2 && r->status == UMAS_OK; i++)
        r->status = umas_engine_evaluate(engine, &r->atoms, &r->result, NULL);
    umas_engine_destroy(engine);
    return NULL;
}

/* ---- all ranks ---------------------------------------------------------------------------- */

/* Start the ranks that `w` describes; their results, added up, go to `e`, which holds zeros. */
static void evaluate_ranks(world *w, evaluation *e) {
    rank ranks[MOST_RANKS] = {{0}};
    pthread_t thread[MOST_RANKS];
    umas_atoms all = neighbours_create(w->s, 6, 0.5);
    w->rank = ranks;
    CHECK(pthread_barrier_init(&w->barrier, NULL, (unsigned)w->ranks) == 0);
    for (int i = 0; i < w->ranks; i++) {
        ranks[i].w = w;
        ranks[i].id = i;
        take_share(&ranks[i], &all);
    }
    for (int i = 0; i < w->ranks; i++)
        if (pthread_create(&thread[i], NULL, run, &ranks[i]) != 0) exit(EXIT_FAILURE);
    for (int i = 0; i < w->ranks; i++) {
        const rank *r = &ranks[i];
        CHECK(pthread_join(thread[i], NULL) == 0 && r->status == UMAS_OK);
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
    (void)pthread_barrier_destroy(&w->barrier);
    neighbours_free(&all);
}

static evaluation zero_evaluation(int atoms) {
    const size_t n = (size_t)atoms;
    evaluation e = {.atoms = atoms};
    e.force = allocate(3 * n, sizeof *e.force);
    e.atom_energy = allocate(n, sizeof *e.atom_energy);
    e.atom_virial = allocate(6 * n, sizeof *e.atom_virial);
    return e;
}

/* owner(atom) for `ranks` ranks, and what kind of split that is */
typedef struct split {
    const char *name;
    int ranks;
    int (*owner)(int atom, const structure *s);
} split;

static int all_first(int atom, const structure *s) { return atom < s->atoms ? 0 : 1; }
static int halves(int atom, const structure *s) { return 2 * atom < s->atoms; }
static int thirds(int atom, const structure *s) { return (atom + s->atoms) % 3; }
static int one_and_rest(int atom, const structure *s) { return atom == s->atoms / 2; }
static int second_and_fourth(int atom, const structure *s) { return 2 * atom < s->atoms ? 3 : 1; }

static void test_split(const umas_model *model, const structure *s, const split *how,
                       umas_precision precision) {
    world w = {.ranks = how->ranks, .s = s, .model = model, .precision = precision};
    int *owner = allocate((size_t)s->atoms, sizeof *owner);
    const int before = checks_failed, n = s->atoms;
    for (int i = 0; i < n; i++) owner[i] = how->owner(i, s);
    w.owner = owner;
    umas_engine *alone = create_engine(model, "omol", -1, 2, precision);
    evaluation want = evaluate_all(alone, s), got = zero_evaluation(n), again = zero_evaluation(n);
    evaluate_ranks(&w, &got);
    evaluate_ranks(&w, &again);
    const int exact = precision == UMAS_DOUBLE;
    const double energy = exact ? TOLERANCE_SAME : TOLERANCE_SINGLE_ENERGY;
    const double force = exact ? TOLERANCE_SAME : TOLERANCE_SINGLE_FORCE;
    check_close("energy", &got.energy, &want.energy, 1, energy * n, 0);
    check_close("force", got.force, want.force, 3L * n, force, 0);
    check_close("virial", got.virial, want.virial, 6, force * n, 0);
    check_close("atom energy", got.atom_energy, want.atom_energy, n, energy, 0);
    check_close("atom virial", got.atom_virial, want.atom_virial, 6L * n, force * 10, 0);
    CHECK(is_same_evaluation(&got, &again));
    if (checks_failed > before)
        fprintf(stderr, "... %s, %s of %d atoms\n", how->name,
                s->periodic[0] ? "crystal" : "cluster", n);
    evaluation_free(&want);
    evaluation_free(&got);
    evaluation_free(&again);
    umas_engine_destroy(alone);
    free(owner);
}

int main(void) {
    const split splits[] = {
        {"one rank", 1, all_first},       {"two halves", 2, halves},
        {"one rank empty", 2, all_first}, {"one atom and the rest", 2, one_and_rest},
        {"every third", 3, thirds},       {"first and third of four empty", 4, second_and_fourth}};
    umas_model *plain = open_random_model(&plain_architecture, 61);
    umas_model *balanced = open_random_model(&balanced_architecture, 62);
    structure crystal = random_crystal(9, 10), cluster = random_cluster(14, 11);
    cluster.element[4] = cluster.element[7] = 0;
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        test_split(plain, &crystal, &splits[i], UMAS_DOUBLE);
        test_split(balanced, &crystal, &splits[i], UMAS_DOUBLE);
        test_split(balanced, &cluster, &splits[i], UMAS_DOUBLE);
        test_split(balanced, &crystal, &splits[i], UMAS_SINGLE);
    }
    umas_model_close(plain);
    umas_model_close(balanced);
    structure_free(&crystal);
    structure_free(&cluster);
    return check_report();
}
