/* Several ranks with CUDA engines add up to what one gives: sharing a GPU or with one each,
 * their rows going through host memory or by NCCL.  Where a transport cannot be had, the engine
 * says why. */
#include "engine_outcome.h"
#include "rank_threads.h"

typedef struct system_of_ranks {
    const char *name;
    const structure *s;
    const umas_model *model;
} system_of_ranks;

static umas_engine_options on_gpu(umas_precision precision, umas_transport transport) {
    umas_engine_options options = cuda_options(precision);
    options.transport = transport;
    options.memory_fraction = 0.2; /* four may share a GPU */
    return options;
}

/* Whose is an atom?  Ranks that have many neighbours, few, and none at all. */
static int by_place(const structure *s, int atom, int ranks) {
    return (int)(s->position[3 * atom] / s->cell[0][0] * ranks + ranks) % ranks;
}
static int in_turn(const structure *s, int atom, int ranks) {
    (void)s;
    return atom % ranks;
}
static int last_alone(const structure *s, int atom, int ranks) {
    return atom == s->atoms - 1 ? ranks - 1 : 0;
}

static void compare_ranks(const char *what, const evaluation *got, const evaluation *want,
                          int atoms, umas_precision precision) {
    const int before = checks_failed;
    const outcome a = {got->energy, {0}, got->force, got->atom_energy, got->atom_virial, atoms};
    const outcome b = {want->energy, {0}, want->force, want->atom_energy, want->atom_virial, atoms};
    outcome x = a, y = b;
    memcpy(x.virial, got->virial, sizeof x.virial);
    memcpy(y.virial, want->virial, sizeof y.virial);
    compare(what, &x, &y, atoms, precision);
    if (checks_failed > before) fprintf(stderr, "... %s\n", what);
}

static void test_ranks(const system_of_ranks *of, int ranks, int devices, umas_precision precision,
                       umas_transport transport, int (*owner_of)(const structure *, int, int)) {
    const int n = of->s->atoms;
    int *owner = malloc(sizeof *owner * (size_t)n);
    if (!CHECK(owner != NULL)) return;
    for (int i = 0; i < n; i++) owner[i] = owner_of(of->s, i, ranks);
    umas_engine *alone = cuda_engine(of->model, cuda_options(precision));
    evaluation want = evaluate_all(alone, of->s), got = zero_evaluation(n),
               again = zero_evaluation(n);
    world w = world_of(of->s, of->model, on_gpu(precision, transport), ranks, owner);
    char said[512];
    w.devices = devices;
    CHECK(evaluate_ranks(&w, &got, said) && evaluate_ranks(&w, &again, NULL));
    CHECK(strstr(said, transport == UMAS_TRANSPORT_NCCL ? "by NCCL 2." : "through host memory"));
    compare_ranks(of->name, &got, &want, n, precision);
    CHECK(is_same_evaluation(&got, &again));
    evaluation_free(&want);
    evaluation_free(&got);
    evaluation_free(&again);
    umas_engine_destroy(alone);
    free(owner);
}

/* Little memory: several chunks on every rank, of which not all keep what they leave, and h of other
 * ranks' atoms had again from what is kept of it. */
static void test_little_memory(umas_precision precision, int devices, umas_transport transport) {
    umas_architecture a = architecture(2, 0);
    a.layers = 3;
    umas_model *model = open_random_model(&a, 33);
    structure s = scatter(240, 11, 0.1);
    int owner[256], several = 0;
    char said[512];
    for (int i = 0; i < s.atoms; i++) owner[i] = by_place(&s, i, 2);
    umas_engine *alone = cuda_engine(model, cuda_options(precision));
    evaluation want = evaluate_all(alone, &s);
    umas_engine_options options = on_gpu(precision, transport);
    for (double fraction = 0.001; fraction < 0.02; fraction *= 1.5) {
        evaluation got = zero_evaluation(s.atoms);
        int chunks = 0, gated = 0;
        options.memory_fraction = fraction;
        world w = world_of(&s, model, options, 2, owner);
        w.devices = devices;
        const int all_right = evaluate_ranks(&w, &got, said);
        const char *numbers = strstr(said, " edges in ");
        if (all_right && CHECK(numbers != NULL) &&
            CHECK(sscanf(numbers, " edges in %d chunks; kept for gradients: %d", &chunks, &gated) ==
                  2)) {
            several += chunks >= 3 && gated < 100;
            compare_ranks("little memory", &got, &want, s.atoms, precision);
        }
        evaluation_free(&got);
    }
    CHECK(several > 0);
    evaluation_free(&want);
    umas_engine_destroy(alone);
    structure_free(&s);
    umas_model_close(model);
}

/* Gradients that overflow 16 bits, be it on one rank alone, are tried again smaller on all of
 * them, and larger again a hundred steps later: those that ranks add up are of one scale. */
static void test_gradient_scale(const structure *s, int power, int devices,
                                umas_transport transport) {
    int owner[256];
    for (int i = 0; i < s->atoms; i++) owner[i] = by_place(s, i, 2);
    umas_model *model = scaled_model("head.energy_block.4.weight", power);
    umas_engine *alone = cuda_engine(model, cuda_options(UMAS_MIXED));
    world w = world_of(s, model, on_gpu(UMAS_MIXED, transport), 2, owner);
    w.devices = devices;
    for (int evaluations = 1; evaluations <= 103; evaluations += 51) {
        evaluation want = evaluate_all(alone, s), got = zero_evaluation(s->atoms);
        w.evaluations = evaluations;
        CHECK(evaluate_ranks(&w, &got, NULL));
        check_vector("force", got.force, want.force, 3L * s->atoms, TOLERANCE_CUDA_MIXED_FORCE, 0);
        evaluation_free(&want);
        evaluation_free(&got);
    }
    umas_engine_destroy(alone);
    umas_model_close(model);
}

/* A rank with a bad position ends nobody but this evaluation. */
static void test_bad_rank(const system_of_ranks *of, int devices, umas_transport transport) {
    int owner[256];
    for (int i = 0; i < of->s->atoms; i++) owner[i] = i % 2;
    world w = world_of(of->s, of->model, on_gpu(UMAS_MIXED, transport), 2, owner);
    rank ranks[MOST_RANKS] = {{0}};
    w.devices = devices;
    w.bad_rank = 1;
    run_ranks(&w, ranks);
    for (int i = 0; i < 2; i++) {
        CHECK(ranks[i].bad_status == (i == 1 ? UMAS_ERROR_GEOMETRY : UMAS_ERROR_EXCHANGE));
        CHECK(ranks[i].status == UMAS_OK && ranks[i].calls == ranks[0].calls);
        rank_free(&ranks[i]);
    }
}

/* NCCL refuses ranks that share a GPU: auto goes another way and says so, nccl is an error. */
static void test_shared_gpu(const system_of_ranks *of) {
    int owner[256];
    for (int i = 0; i < of->s->atoms; i++) owner[i] = i % 2;
    for (int asked = 0; asked < 2; asked++) {
        const umas_transport transport = asked ? UMAS_TRANSPORT_NCCL : UMAS_TRANSPORT_AUTO;
        world w = world_of(of->s, of->model, on_gpu(UMAS_MIXED, transport), 2, owner);
        rank ranks[MOST_RANKS] = {{0}};
        w.devices = 1;
        run_ranks(&w, ranks);
        for (int i = 0; i < 2; i++) {
            const char *said = asked ? ranks[i].error.message : ranks[i].description;
            CHECK(ranks[i].status == (asked ? UMAS_ERROR_UNSUPPORTED : UMAS_OK));
            if (!CHECK(strstr(said, "share a GPU") || strstr(said, "libnccl.so.2")))
                fprintf(stderr, "    %s\n", said);
            rank_free(&ranks[i]);
        }
    }
}

int main(void) {
    const int devices = umas_device_count();
    if (devices == 0) {
        printf("skipped: no CUDA device\n");
        return CHECK_SKIPPED;
    }
    srand(9);
    umas_architecture plain = architecture(2, 0), balanced = architecture(1, 2);
    plain.layers = 3;
    balanced.charge_channel[1] = 3;
    balanced.spin_channel[0] = 3, balanced.spin_channel[1] = 5;
    umas_model *models[2] = {open_random_model(&plain, 31), open_random_model(&balanced, 32)};
    structure crystal = scatter(120, 14, 0.1), cluster = scatter(40, 0, 0);
    cluster.element[3] = cluster.element[8] = 0;
    const system_of_ranks systems[3] = {{"crystal", &crystal, models[0]},
                                        {"balanced crystal", &crystal, models[1]},
                                        {"balanced cluster", &cluster, models[1]}};
    for (int i = 0; i < 3; i++)
        for (int p = 0; p < 2; p++) {
            const umas_precision precision = p ? UMAS_MIXED : UMAS_SINGLE;
            for (int ranks = 2; ranks <= MOST_RANKS; ranks++) {
                test_ranks(&systems[i], ranks, 1, precision, UMAS_TRANSPORT_HOST, by_place);
                if (ranks <= devices)
                    test_ranks(&systems[i], ranks, ranks, precision, UMAS_TRANSPORT_NCCL, by_place);
            }
            test_ranks(&systems[i], 3, 1, precision, UMAS_TRANSPORT_HOST, last_alone);
            test_ranks(&systems[i], 2, 1, precision, UMAS_TRANSPORT_HOST, in_turn);
            if (devices >= 3)
                test_ranks(&systems[i], 3, 3, precision, UMAS_TRANSPORT_NCCL, last_alone);
            if (devices >= 2)
                test_ranks(&systems[i], 2, 2, precision, UMAS_TRANSPORT_NCCL, in_turn);
        }
    for (int p = 0; p < 2; p++) {
        test_little_memory(p ? UMAS_MIXED : UMAS_SINGLE, 1, UMAS_TRANSPORT_HOST);
        if (devices >= 2) test_little_memory(p ? UMAS_MIXED : UMAS_SINGLE, 2, UMAS_TRANSPORT_NCCL);
    }
    for (int power = 2; power <= 14; power += 2) {
        test_gradient_scale(&crystal, power, 1, UMAS_TRANSPORT_HOST);
        if (devices >= 2) test_gradient_scale(&crystal, power, 2, UMAS_TRANSPORT_NCCL);
    }
    test_bad_rank(&systems[1], 1, UMAS_TRANSPORT_HOST);
    if (devices >= 2) test_bad_rank(&systems[1], 2, UMAS_TRANSPORT_NCCL);
    test_shared_gpu(&systems[0]);
    if (devices < 2) printf("one GPU: NCCL between GPUs was left out\n");
    structure_free(&crystal);
    structure_free(&cluster);
    for (int i = 0; i < 2; i++) umas_model_close(models[i]);
    return check_report();
}
