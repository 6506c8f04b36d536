/* Several ranks add up to what one gives, and none waits for one that failed (rank_threads.h). */
#include "check.h"
#include "model_writer.h"
#include "rank_threads.h"
#include "tolerances.h"

static int *owners(const structure *s) {
    int *owner = calloc((size_t)s->atoms, sizeof *owner);
    if (owner == NULL) exit(EXIT_FAILURE);
    return owner;
}

static umas_engine_options ion(umas_precision precision) {
    umas_engine_options options = umas_engine_default_options();
    options.task = "omol";
    options.charge = -1;
    options.spin = 2;
    options.precision = precision;
    return options;
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
    int *owner = owners(s);
    const int before = checks_failed, n = s->atoms;
    for (int i = 0; i < n; i++) owner[i] = how->owner(i, s);
    world w = world_of(s, model, ion(precision), how->ranks, owner);
    umas_engine *alone = create_engine(model, "omol", -1, 2, precision);
    evaluation want = evaluate_all(alone, s), got = zero_evaluation(n), again = zero_evaluation(n);
    CHECK(evaluate_ranks(&w, &got, NULL) && evaluate_ranks(&w, &again, NULL));
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

/* ---- failures ----------------------------------------------------------------------------- */

/* A rank that fails by itself: all of them hear of it in the same vote, and can go on. */
static void test_bad_rank(const umas_model *model, const structure *s, int ranks, int bad) {
    int *owner = owners(s);
    for (int i = 0; i < s->atoms; i++) owner[i] = i % ranks;
    world w = world_of(s, model, ion(UMAS_DOUBLE), ranks, owner);
    w.bad_rank = bad;
    rank all[MOST_RANKS] = {{0}};
    run_ranks(&w, all);
    for (int i = 0; i < ranks; i++) {
        CHECK(all[i].bad_status == (i == bad ? UMAS_ERROR_GEOMETRY : UMAS_ERROR_EXCHANGE));
        CHECK(all[i].status == UMAS_OK);
        CHECK(all[i].calls == all[0].calls);
        rank_free(&all[i]);
    }
    free(owner);
}

/* The callback of every number fails once: the status says so, and no other follows (`fails`). */
static void test_lost_ranks(const umas_model *model, const structure *s, int ranks) {
    int *owner = owners(s);
    for (int i = 0; i < s->atoms; i++) owner[i] = i % ranks;
    int tried = 0, lost = 1;
    for (; lost; tried++) {
        world w = world_of(s, model, ion(UMAS_DOUBLE), ranks, owner);
        w.fail_at = tried;
        rank all[MOST_RANKS] = {{0}};
        run_ranks(&w, all);
        lost = all[0].failed;
        for (int i = 0; i < ranks; i++) {
            CHECK(all[i].status == (lost ? UMAS_ERROR_EXCHANGE : UMAS_OK));
            CHECK(all[i].failed == lost && (!lost || all[i].calls == tried + 1));
            rank_free(&all[i]);
        }
    }
    /* a vote on the engine, and two evaluations: votes before and after a step, and
     * layers x (rows, sums, sums back, rows back) */
    CHECK(tried - 1 == 1 + 2 * (2 + 2 * (1 + 2 + 2 + 1)));
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
    for (int ranks = 1; ranks <= MOST_RANKS; ranks++) {
        for (int bad = 0; bad < ranks; bad++) test_bad_rank(balanced, &crystal, ranks, bad);
        test_lost_ranks(balanced, &crystal, ranks);
    }
    umas_model_close(plain);
    umas_model_close(balanced);
    structure_free(&crystal);
    structure_free(&cluster);
    return check_report();
}
