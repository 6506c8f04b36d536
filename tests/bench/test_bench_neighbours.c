/* The cell list of umas-bench against the brute-force one of the other tests: as many pairs, and
 * the same energy, forces and virial; and that the generated structures are what they say. */
#include <string.h>

#include "bench_neighbours.h"
#include "bench_random.h"
#include "check.h"
#include "model_writer.h"
#include "periodic.h"

#define PATH "test_bench_neighbours.safetensors"
#define CUTOFF 6.0
#define SKIN 1.0

/* Two orders of the same sums in double precision, over some hundred terms of 1 to 100 eV. */
#define TOLERANCE 1e-10

static const umas_architecture architecture = {.sphere_channels = 4,
                                               .hidden_channels = 4,
                                               .edge_channels = 4,
                                               .layers = 2,
                                               .lmax = 2,
                                               .mmax = 2,
                                               .distance_functions = 8,
                                               .elements = 20,
                                               .experts = 2,
                                               .routing_channels = 4,
                                               .embeddings = 2,
                                               .heads = 2,
                                               .cutoff = CUTOFF,
                                               .charge_channel = {0, 2}};

static void stop(const umas_error *error) {
    fprintf(stderr, "%s: %s\n", umas_status_name(error->status), error->message);
    exit(EXIT_FAILURE);
}

static structure as_structure(const bench_structure *s) {
    structure t = structure_create(s->atoms);
    memcpy(t.element, s->element, (size_t)s->atoms * sizeof *s->element);
    memcpy(t.position, s->position, (size_t)s->atoms * 3 * sizeof *s->position);
    memcpy(t.cell, s->cell, sizeof s->cell);
    memcpy(t.periodic, s->periodic, sizeof s->periodic);
    return t;
}

static bench_structure as_bench_structure(const structure *s) {
    bench_structure t = {s->atoms, s->element, s->position, {{0}}, {0}};
    memcpy(t.cell, s->cell, sizeof t.cell);
    memcpy(t.periodic, s->periodic, sizeof t.periodic);
    return t;
}

static int64_t pairs_within(const umas_atoms *a, double cutoff) {
    int64_t pairs = 0;
    for (int i = 0; i < a->owned; i++)
        for (int64_t at = a->first[i]; at < a->first[i + 1]; at++) {
            const double *p = a->position + 3 * (size_t)i;
            const double *q = a->position + 3 * (size_t)a->neighbour[at];
            pairs += hypot(hypot(p[0] - q[0], p[1] - q[1]), p[2] - q[2]) < cutoff;
        }
    return pairs;
}

static void compare_pairs(const char *name, const structure *s, const bench_neighbours *n) {
    umas_atoms brute = neighbours_create(s, CUTOFF, SKIN);
    printf("%s: %d atoms, %lld candidates\n", name, s->atoms, (long long)brute.first[s->atoms]);
    CHECK(n->atoms.owned == s->atoms && n->atoms.nodes == s->atoms);
    for (int i = 0; i <= s->atoms; i++)
        if (!CHECK(n->first[i] == brute.first[i])) break;
    CHECK(bench_neighbours_edges(n, CUTOFF) == pairs_within(&brute, CUTOFF));
    neighbours_free(&brute);
}

static void compare_results(umas_engine *engine, const char *name, const structure *s,
                            bench_neighbours *n) {
    const long atoms = s->atoms;
    double *want = malloc((size_t)atoms * 3 * sizeof *want), virial[6];
    double *displacement = malloc((size_t)atoms * 3 * sizeof *displacement);
    umas_result r = {.force = malloc((size_t)n->atoms.total * 3 * sizeof *r.force)};
    umas_error error;
    bench_random random = {3};
    structure moved = structure_copy(s);
    if (!want || !displacement || !r.force) exit(EXIT_FAILURE);
    for (long i = 0; i < 3 * atoms; i++) {
        displacement[i] = 0.05 * random_normal(&random);
        moved.position[i] += displacement[i];
    }
    for (int step = 0; step < 2; step++) {
        const structure *now = step ? &moved : s;
        const double energy = evaluate_structure(engine, now, want, virial);
        bench_neighbours_displace(n, step ? displacement : NULL);
        /* The engine has seen another list since: this one is new to it. */
        if (umas_engine_evaluate(engine, &n->atoms, &r, &error) != UMAS_OK) stop(&error);
        bench_neighbours_fold(n, r.force);
        check_close(name, &r.energy, &energy, 1, TOLERANCE, TOLERANCE);
        check_close(name, r.virial, virial, 6, TOLERANCE, TOLERANCE);
        check_close(name, r.force, want, 3 * atoms, TOLERANCE, TOLERANCE);
    }
    structure_free(&moved);
    free(want);
    free(displacement);
    free(r.force);
}

/* engine NULL: pairs only. */
static void compare(umas_engine *engine, const char *name, const structure *s) {
    const bench_structure b = as_bench_structure(s);
    bench_neighbours n;
    umas_error error;
    if (bench_neighbours_create(&b, CUTOFF + SKIN, &n, &error) != UMAS_OK) stop(&error);
    compare_pairs(name, s, &n);
    if (engine) compare_results(engine, name, s, &n);
    bench_neighbours_free(&n);
}

/* Atoms anywhere in a block of three cells, so that some must be wrapped, 1 A apart at least. */
static structure random_structure(int atoms, const double cell[9], const int periodic[3]) {
    structure s = structure_create(atoms);
    bench_random random = {11};
    memcpy(s.cell, cell, sizeof s.cell);
    memcpy(s.periodic, periodic, sizeof s.periodic);
    for (int i = 0; i < atoms;) {
        double fraction[3], nearest = INFINITY;
        for (int k = 0; k < 3; k++) {
            fraction[k] = (double)random_below(&random, 1u << 30) / (1u << 30);
            if (periodic[k]) fraction[k] = 3 * fraction[k] - 1;
        }
        for (int d = 0; d < 3; d++)
            s.position[3 * i + d] =
                fraction[0] * cell[d] + fraction[1] * cell[3 + d] + fraction[2] * cell[6 + d];
        for (int j = 0; j < i; j++)
            for (int image = 0; image < 343; image++) {
                const int shift[3] = {image % 7 - 3, image / 7 % 7 - 3, image / 49 - 3};
                double square = 0;
                for (int d = 0; d < 3; d++) {
                    double v = s.position[3 * i + d] - s.position[3 * j + d];
                    for (int k = 0; k < 3; k++)
                        if (periodic[k]) v += shift[k] * cell[3 * k + d];
                    square += v * v;
                }
                nearest = fmin(nearest, square);
            }
        s.element[i] = i % 3 ? 6 : 14;
        if (nearest > 1) i++;
    }
    return s;
}

static void compare_random(umas_engine *engine) {
    static const struct {
        const char *name;
        double cell[9];
        int periodic[3], atoms;
    } cases[] = {
        {"one atom, all images", {2.4, 0, 0, 0, 2.5, 0, 0, 0, 2.6}, {1, 1, 1}, 1},
        {"triclinic, below the cutoff", {4, 0, 0, 1.6, 4.4, 0, -1.7, 1.9, 3.8}, {1, 1, 1}, 5},
        {"triclinic, left-handed", {0, 9, 1, 12, 2, 0, 3, -2, 15}, {1, 1, 1}, 40},
        {"thin and long", {3.1, 0, 0, 0, 40, 0, 0, 0, 4.2}, {1, 1, 1}, 20},
        {"slab", {8, 0, 0, 3, 7.5, 0, 0, 0, 60}, {1, 1, 0}, 16},
        {"wire", {5, 1, 0, 0, 30, 0, 0, 0, 30}, {1, 0, 0}, 8},
        {"molecule", {7, 0, 0, 0, 8, 0, 0, 0, 9}, {0, 0, 0}, 12},
        {"lone atom", {1, 0, 0, 0, 1, 0, 0, 0, 1}, {0, 0, 0}, 1},
        {"atoms far apart", {1e9, 0, 0, 0, 1e9, 0, 0, 0, 1e9}, {0, 0, 0}, 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        structure s = random_structure(cases[i].atoms, cases[i].cell, cases[i].periodic);
        compare(engine, cases[i].name, &s);
        structure_free(&s);
    }
}

static void compare_crystal(umas_engine *engine, const char *name, bench_crystal crystal, int asked,
                            int atoms) {
    bench_structure b, again, other;
    umas_error error;
    if (bench_structure_crystal(crystal, asked, 1, &b, &error) != UMAS_OK) stop(&error);
    if (bench_structure_crystal(crystal, asked, 1, &again, &error) != UMAS_OK) stop(&error);
    if (bench_structure_crystal(crystal, asked, 2, &other, &error) != UMAS_OK) stop(&error);
    const size_t bytes = (size_t)b.atoms * 3 * sizeof *b.position;
    CHECK(b.atoms == atoms);
    CHECK(memcmp(b.position, again.position, bytes) == 0);
    CHECK(memcmp(b.position, other.position, bytes) != 0);
    structure s = as_structure(&b);
    compare(engine, name, &s);
    structure_free(&s);
    bench_structure_free(&b);
    bench_structure_free(&again);
    bench_structure_free(&other);
}

/* Every atom of the full lattice has 54 neighbours within 6 A (12 + 6 + 24 + 12). */
static void check_full_lattice(void) {
    bench_structure b;
    bench_neighbours n;
    umas_error error;
    if (bench_structure_crystal(BENCH_FCC, 1000, 1, &b, &error) != UMAS_OK) stop(&error);
    if (bench_neighbours_create(&b, CUTOFF + SKIN, &n, &error) != UMAS_OK) stop(&error);
    CHECK(bench_neighbours_edges(&n, CUTOFF) == 54000);
    bench_neighbours_free(&n);
    bench_structure_free(&b);
}

static void check_refusals(void) {
    bench_structure b;
    bench_neighbours n;
    umas_error error;
    CHECK(bench_structure_crystal(BENCH_FCC, 0, 1, &b, &error) == UMAS_ERROR_ARGUMENT);
    structure s = structure_create(1);
    s.element[0] = 6;
    for (int k = 0; k < 3; k++) {
        s.periodic[k] = 1;
        s.cell[k][k] = 1e-3;
    }
    b = as_bench_structure(&s);
    CHECK(bench_neighbours_create(&b, CUTOFF, &n, &error) == UMAS_ERROR_ARGUMENT);
    structure_free(&s);
}

int main(void) {
    umas_model *model;
    umas_error error;
    if (write_random_model(PATH, &architecture, 5) != 0) {
        fprintf(stderr, "cannot write %s\n", PATH);
        return EXIT_FAILURE;
    }
    if (umas_model_open(PATH, &model, &error) != UMAS_OK) stop(&error);
    umas_engine *engine = create_engine(model, "omat", 0, 0, UMAS_DOUBLE);
    compare_random(engine);
    compare_crystal(engine, "fcc", BENCH_FCC, 32, 32);
    compare_crystal(engine, "si", BENCH_SI, 10, 8);
    compare_crystal(engine, "fccfull", BENCH_FCC_FULL, 40, 32);
    compare_crystal(NULL, "fcc, many cells", BENCH_FCC, 700, 700);
    check_full_lattice();
    check_refusals();
    umas_engine_destroy(engine);
    umas_model_close(model);
    (void)remove(PATH);
    return check_report();
}
