/* umas_engine_profile: the stages of a step are all there, once each, and their times make up the
 * step, whose results are those of umas_engine_evaluate bit for bit. */
#include <string.h>
#include <time.h>

#include "check.h"
#include "model_writer.h"
#include "small_systems.h"

enum { LAYERS = 2, ATOMS = 200 };

/* Whether a stage stands in every step, or only where convolutions and gates are fused, or are
 * not, or where radial functions are not tabulated. */
enum { EVERY, FUSED, SEPARATE, RADIALS };

/* The stages of an unchunked step on one rank; calls: a step's. */
static const struct {
    const char *name;
    int calls, when;
} expected[] = {
    {"edge_list", 1, EVERY},
    {"embed_nodes", 1, EVERY},
    {"edge_degree_embedding_forward", 1, EVERY},
    {"rms_norm_sh_forward", LAYERS, EVERY},
    {"unified_radial_mlp_forward", LAYERS, RADIALS},
    {"unified_radial_mlp_forward products", LAYERS, RADIALS},
    {"node_to_edge_wigner_permute_forward", LAYERS, EVERY},
    {"so2_conv_1_gate_forward products", LAYERS, FUSED},
    {"so2_conv_1_forward products", LAYERS, SEPARATE},
    {"gate_forward", LAYERS, SEPARATE},
    {"so2_conv_2_forward products", LAYERS, EVERY},
    {"permute_wigner_inv_edge_to_node_forward", LAYERS, EVERY},
    {"atomwise_forward", LAYERS, EVERY},
    {"balance_channels_forward", LAYERS, EVERY},
    {"energy_head", 1, EVERY},
    {"sum_energies", 1, EVERY},
    {"clear_edge_gradients", 1, EVERY},
    {"balance_channels_backward", LAYERS, EVERY},
    {"atomwise_backward", LAYERS, EVERY},
    {"permute_wigner_inv_edge_to_node_backward", LAYERS, EVERY},
    {"so2_conv_2_gate_backward products", LAYERS, FUSED},
    {"so2_conv_2_backward products", LAYERS, SEPARATE},
    {"gate_backward", LAYERS, SEPARATE},
    {"so2_conv_1_backward products", LAYERS, EVERY},
    {"unified_radial_mlp_backward", LAYERS, RADIALS},
    {"unified_radial_mlp_backward products", LAYERS, RADIALS},
    {"node_to_edge_wigner_permute_backward", LAYERS, EVERY},
    {"rms_norm_sh_backward", LAYERS, EVERY},
    {"edge_degree_embedding_backward", 1, EVERY},
    {"edges_to_forces", 1, EVERY},
    {"results_to_host", 1, EVERY},
};
enum {
    STAGES = sizeof expected / sizeof *expected,
    FUSED_STAGES = 2,
    SEPARATE_STAGES = 4,
    RADIAL_STAGES = 4
};

static double milliseconds(void) {
    struct timespec now;
    (void)timespec_get(&now, TIME_UTC);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

/* ---- one engine and its atoms ------------------------------------------------------------- */

typedef struct subject {
    umas_engine *engine;
    umas_atoms atoms;
    umas_result result;
} subject;

static void require(umas_status status, const umas_error *error) {
    if (status == UMAS_OK) return;
    fprintf(stderr, "%s: %s\n", umas_status_name(status), error->message);
    exit(EXIT_FAILURE);
}

static umas_result make_result(const umas_atoms *atoms) {
    umas_result r = {.force = malloc((size_t)atoms->total * 3 * sizeof(double)),
                     .atom_energy = malloc((size_t)atoms->owned * sizeof(double))};
    if (r.force && r.atom_energy) return r;
    fprintf(stderr, "no memory for results\n");
    exit(EXIT_FAILURE);
}

static void free_result(umas_result *r) {
    free(r->force);
    free(r->atom_energy);
}

static subject start(const umas_model *model, umas_precision precision, const structure *s) {
    subject t = {.atoms = neighbours_create(s, 6, 1)};
    umas_engine_options o = umas_engine_default_options();
    int64_t counts[UMAS_ELEMENTS] = {0};
    umas_error error;
    for (int i = 0; i < s->atoms; i++) counts[s->element[i]]++;
    o.backend = UMAS_CUDA;
    o.precision = precision;
    o.task = "omat";
    require(umas_engine_create(model, &o, &t.engine, &error), &error);
    require(umas_engine_set_composition(t.engine, counts, &error), &error);
    t.result = make_result(&t.atoms);
    return t;
}

static void finish(subject *t) {
    umas_engine_destroy(t->engine);
    neighbours_free(&t->atoms);
    free_result(&t->result);
}

/* ---- checks ------------------------------------------------------------------------------- */

static int is_there(const umas_stage_time *stages, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (strcmp(stages[i].name, name) == 0) return 1;
    return 0;
}

static void check_stages(const umas_stage_time *stages, int count, umas_precision precision) {
    const int when = is_there(stages, count, "so2_conv_1_gate_forward products") ? FUSED : SEPARATE;
    const int radials = precision == UMAS_SINGLE;
    CHECK(count == STAGES - (when == FUSED ? SEPARATE_STAGES : FUSED_STAGES) -
                       (radials ? 0 : RADIAL_STAGES));
    CHECK(count <= UMAS_MOST_STAGES);
    for (int i = 0; i < count; i++) {
        int found = 0;
        for (int k = 0; k < STAGES; k++)
            if (strcmp(stages[i].name, expected[k].name) == 0 &&
                (expected[k].when == EVERY || expected[k].when == when ||
                 (expected[k].when == RADIALS && radials)))
                found += CHECK(stages[i].calls == expected[k].calls);
        if (!CHECK(found == 1)) fprintf(stderr, "stage '%s'\n", stages[i].name);
        for (int k = 0; k < i; k++) CHECK(strcmp(stages[i].name, stages[k].name) != 0);
        CHECK(stages[i].milliseconds >= 0 && stages[i].milliseconds < 1e4);
        CHECK(stages[i].bytes >= 0 && stages[i].operations >= 0);
        CHECK(!strstr(stages[i].name, " products") || stages[i].operations > 0);
    }
}

static void check_same(const umas_result *a, const umas_result *b, const umas_atoms *atoms) {
    CHECK(memcmp(&a->energy, &b->energy, sizeof a->energy) == 0);
    CHECK(memcmp(a->virial, b->virial, sizeof a->virial) == 0);
    CHECK(memcmp(a->force, b->force, (size_t)atoms->total * 3 * sizeof *a->force) == 0);
    CHECK(memcmp(a->atom_energy, b->atom_energy, (size_t)atoms->owned * sizeof *a->atom_energy) ==
          0);
}

/* The fastest of several evaluations, from the host. */
static double time_evaluation(subject *t) {
    double fastest = INFINITY;
    umas_error error;
    for (int i = 0; i < 5; i++) {
        const double begin = milliseconds();
        require(umas_engine_evaluate(t->engine, &t->atoms, &t->result, &error), &error);
        fastest = fmin(fastest, milliseconds() - begin);
        t->atoms.list_changed = 0;
    }
    return fastest;
}

static double count_edges(const umas_atoms *a) {
    double edges = 0;
    for (int i = 0; i < a->owned; i++)
        for (int64_t k = a->first[i]; k < a->first[i + 1]; k++) {
            double square = 0;
            for (int d = 0; d < 3; d++)
                square += pow(a->position[3 * a->neighbour[k] + d] - a->position[3 * i + d], 2);
            edges += square < 36;
        }
    return edges;
}

/* Multiply-adds an edge has in a layer's products over edges, forward, for mmax 2; radials: with
 * those of the radial functions. */
static double edge_products(int radials) {
    const double C = 128, radial = radials ? 12 : 0, conv_1 = 6 * 5 + 8 * 4 + 4 * 2,
                 conv_2 = 3 * 3 + 4 * 4 + 2 * 2;
    return (radial + conv_1 + conv_2) * C * C;
}

static void test_profile(const umas_model *model, umas_precision precision, const structure *s) {
    subject t = start(model, precision, s);
    umas_stage_time stages[UMAS_MOST_STAGES];
    umas_result profiled = make_result(&t.atoms);
    umas_error error;
    int count;
    const double step = time_evaluation(&t);
    const double begin = milliseconds();
    require(umas_engine_profile(t.engine, &t.atoms, &profiled, stages, UMAS_MOST_STAGES, &count,
                                &error),
            &error);
    const double wall = milliseconds() - begin;
    check_stages(stages, count, precision);
    check_same(&profiled, &t.result, &t.atoms);
    double sum = 0, operations = 0;
    for (int i = 0; i < count; i++) {
        sum += stages[i].milliseconds;
        if (strstr(stages[i].name, " products")) operations += stages[i].operations;
        printf("  %-42s %3d %9.4f ms\n", stages[i].name, stages[i].calls, stages[i].milliseconds);
    }
    printf("%s: stages %.3f ms, an evaluation %.3f ms, the profile %.3f ms\n",
           precision == UMAS_SINGLE ? "single" : "mixed", sum, step, wall);
    /* Clocks cost a few us a stage, and an evaluation has a part on the host. */
    CHECK(sum < wall && sum > 0.3 * step && sum < 3 * step);
    const double products = edge_products(precision == UMAS_SINGLE);
    const double want = 4 * products * LAYERS * count_edges(&t.atoms);
    check_close("operations", &operations, &want, 1, 0, 1e-12);
    /* the graph of the step is as good as before */
    require(umas_engine_evaluate(t.engine, &t.atoms, &profiled, &error), &error);
    check_same(&profiled, &t.result, &t.atoms);
    CHECK(umas_engine_profile(t.engine, &t.atoms, &profiled, stages, 3, &count, &error) ==
          UMAS_ERROR_ARGUMENT);
    CHECK(strstr(error.message, "there is room for 3") != NULL);
    free_result(&profiled);
    finish(&t);
}

/* Rates that any GPU this runs on exceeds, and none reaches by far. */
static void test_rates(const umas_model *model, umas_precision precision, const structure *s) {
    subject t = start(model, precision, s);
    umas_device_rates rates;
    umas_error error;
    require(umas_engine_device_rates(t.engine, &rates, &error), &error);
    printf("copies %.0f GB/s, products %.1f TFLOP/s\n", 1e-9 * rates.copy, 1e-12 * rates.products);
    CHECK(rates.copy > 5e10 && rates.copy < 1e14);
    CHECK(rates.products > 1e12 && rates.products < 1e17);
    finish(&t);
}

int main(void) {
    if (umas_device_count() == 0) {
        printf("skipped: no CUDA device\n");
        return CHECK_SKIPPED;
    }
    umas_architecture a = {.sphere_channels = 128,
                           .hidden_channels = 128,
                           .edge_channels = 128,
                           .layers = LAYERS,
                           .lmax = 2,
                           .mmax = 2,
                           .distance_functions = 32,
                           .elements = 100,
                           .experts = 2,
                           .routing_channels = 4,
                           .embeddings = 2,
                           .heads = 2,
                           .cutoff = 6,
                           .charge_channel = {0, 3}};
    umas_model *model = open_random_model(&a, 11);
    structure s = random_crystal(ATOMS, 12);
    for (int p = UMAS_SINGLE; p <= UMAS_MIXED; p++) {
        test_profile(model, (umas_precision)p, &s);
        test_rates(model, (umas_precision)p, &s);
    }
    structure_free(&s);
    umas_model_close(model);
    return check_report();
}
