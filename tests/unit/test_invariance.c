/* What holds for any potential: forces and virial are derivatives of the energy; turning, moving
 * and renumbering a structure turn, leave and renumber its results; parts sum up to the whole. */
#include <string.h>

#include "arrays.h"
#include "check.h"
#include "model_writer.h"
#include "small_systems.h"
#include "tolerances.h"

/* ---- derivatives -------------------------------------------------------------------------- */

typedef struct strained {
    umas_engine *engine;
    const structure *s;
    double *strain; /* xx yy zz xy xz yz */
} strained;

static double energy_of(void *context) {
    const strained *c = context;
    const double *e = c->strain;
    const double stretch[3][3] = {{1 + e[0], e[3] / 2, e[4] / 2},
                                  {e[3] / 2, 1 + e[1], e[5] / 2},
                                  {e[4] / 2, e[5] / 2, 1 + e[2]}};
    structure moved = structure_copy(c->s);
    for (int i = 0; i < moved.atoms; i++)
        for (int d = 0; d < 3; d++)
            moved.position[3 * i + d] = dot(stretch[d], c->s->position + 3L * i, 3);
    for (int k = 0; k < 3; k++)
        for (int d = 0; d < 3; d++) moved.cell[k][d] = dot(stretch[d], c->s->cell[k], 3);
    const double energy = evaluate_structure(c->engine, &moved, NULL, NULL);
    structure_free(&moved);
    return energy;
}

static void test_derivatives(umas_engine *engine, const structure *s) {
    double zero[6] = {0}, virial[6];
    strained context = {engine, s, zero};
    evaluation e = evaluate_all(engine, s);
    double *force = array_poisoned(3L * s->atoms);
    differences(energy_of, &context, s->position, 3L * s->atoms, DIFFERENCE_STEP, force);
    for (int i = 0; i < 3 * s->atoms; i++) force[i] *= -1;
    check_close("force", e.force, force, 3L * s->atoms, TOLERANCE_DIFFERENCE_ENERGY, 0);
    differences(energy_of, &context, zero, 6, DIFFERENCE_STEP / 10, virial);
    for (int i = 0; i < 6; i++) virial[i] *= -1;
    check_close("virial", e.virial, virial, 6, TOLERANCE_DIFFERENCE_ENERGY * 10 * s->atoms, 0);
    evaluation_free(&e);
    CHECK(arrays_free() == 0);
}

/* ---- symmetries --------------------------------------------------------------------------- */

/* Rows of a rotation without any simple angle. */
static void some_rotation(double r[3][3]) {
    const double a = 0.8, b = 2.1, c = -1.3;
    const double rows[3][3] = {{cos(a) * cos(c) - sin(a) * cos(b) * sin(c),
                                -cos(a) * sin(c) - sin(a) * cos(b) * cos(c), sin(a) * sin(b)},
                               {sin(a) * cos(c) + cos(a) * cos(b) * sin(c),
                                -sin(a) * sin(c) + cos(a) * cos(b) * cos(c), -cos(a) * sin(b)},
                               {sin(b) * sin(c), sin(b) * cos(c), cos(b)}};
    memcpy(r, rows, sizeof rows);
}

static void rotate(double r[3][3], double vector[3]) {
    const double old[3] = {vector[0], vector[1], vector[2]};
    for (int d = 0; d < 3; d++) vector[d] = dot(r[d], old, 3);
}

/* v = R v R^T for v = xx yy zz xy xz yz */
static void rotate_virial(double r[3][3], double v[6]) {
    const double m[3][3] = {{v[0], v[3], v[4]}, {v[3], v[1], v[5]}, {v[4], v[5], v[2]}};
    static const int row[6] = {0, 1, 2, 0, 0, 1}, column[6] = {0, 1, 2, 1, 2, 2};
    for (int i = 0; i < 6; i++) {
        v[i] = 0;
        for (int k = 0; k < 9; k++)
            v[i] += r[row[i]][k / 3] * m[k / 3][k % 3] * r[column[i]][k % 3];
    }
}

static void check_evaluation(const char *what, const evaluation *got, const evaluation *want) {
    const int before = checks_failed, n = got->atoms;
    check_close("energy", &got->energy, &want->energy, 1, TOLERANCE_SAME * n, 0);
    check_close("force", got->force, want->force, 3L * n, TOLERANCE_SAME, 0);
    check_close("virial", got->virial, want->virial, 6, TOLERANCE_SAME * n, 0);
    check_close("atom energy", got->atom_energy, want->atom_energy, n, TOLERANCE_SAME, 0);
    check_close("atom virial", got->atom_virial, want->atom_virial, 6L * n, TOLERANCE_SAME * 10, 0);
    if (checks_failed > before) fprintf(stderr, "... %s\n", what);
}

static void test_rotation(umas_engine *engine, const structure *s) {
    double r[3][3];
    structure turned = structure_copy(s);
    evaluation want = evaluate_all(engine, s);
    some_rotation(r);
    for (int k = 0; k < 3; k++) rotate(r, turned.cell[k]);
    rotate_virial(r, want.virial);
    for (int i = 0; i < s->atoms; i++) {
        rotate(r, turned.position + 3L * i);
        rotate(r, want.force + 3L * i);
        rotate_virial(r, want.atom_virial + 6L * i);
    }
    evaluation got = evaluate_all(engine, &turned);
    check_evaluation("turned", &got, &want);
    evaluation_free(&got);
    evaluation_free(&want);
    structure_free(&turned);
}

/* Everything moved, and one atom moved to another image of its place. */
static void test_translation(umas_engine *engine, const structure *s) {
    const double shift[3] = {0.37, -11.3, 5.1};
    structure moved = structure_copy(s);
    for (int i = 0; i < 3 * s->atoms; i++) moved.position[i] += shift[i % 3];
    for (int d = 0; d < 3 && s->periodic[0]; d++)
        moved.position[3 * (s->atoms - 1) + d] += s->cell[0][d] - s->cell[2][d];
    evaluation got = evaluate_all(engine, &moved), want = evaluate_all(engine, s);
    check_evaluation("moved", &got, &want);
    evaluation_free(&got);
    evaluation_free(&want);
    structure_free(&moved);
}

static void test_permutation(umas_engine *engine, const structure *s) {
    structure renumbered = structure_copy(s);
    evaluation want = evaluate_all(engine, s), in_order = evaluate_all(engine, s);
    for (int i = 0; i < s->atoms; i++) {
        const int from = (3 * i + 2) % s->atoms; /* 3 is no divisor of the number of atoms */
        renumbered.element[i] = s->element[from];
        memcpy(renumbered.position + 3L * i, s->position + 3L * from, 3 * sizeof(double));
        memcpy(want.force + 3L * i, in_order.force + 3L * from, 3 * sizeof(double));
        memcpy(want.atom_virial + 6L * i, in_order.atom_virial + 6L * from, 6 * sizeof(double));
        want.atom_energy[i] = in_order.atom_energy[from];
    }
    evaluation got = evaluate_all(engine, &renumbered);
    check_evaluation("renumbered", &got, &want);
    evaluation_free(&got);
    evaluation_free(&want);
    evaluation_free(&in_order);
    structure_free(&renumbered);
}

/* ---- sums and precisions ------------------------------------------------------------------ */

static void test_sums(umas_engine *engine, const structure *s) {
    double energy = 0, virial[6] = {0}, force[3] = {0};
    const double zero[3] = {0};
    evaluation e = evaluate_all(engine, s);
    for (int i = 0; i < s->atoms; i++) {
        energy += e.atom_energy[i];
        for (int d = 0; d < 6; d++) virial[d] += e.atom_virial[6 * i + d];
        for (int d = 0; d < 3; d++) force[d] += e.force[3 * i + d];
    }
    check_close("sum of atom energies", &energy, &e.energy, 1, 0, 100 * TOLERANCE_DOUBLE_SUM);
    check_close("sum of atom virials", virial, e.virial, 6, 1e4 * TOLERANCE_DOUBLE_SUM, 0);
    check_close("sum of forces", force, zero, 3, 1e4 * TOLERANCE_DOUBLE_SUM, 0);
    evaluation_free(&e);
}

static void test_single(umas_engine *in_double, umas_engine *in_single, const structure *s) {
    const int n = s->atoms;
    evaluation got = evaluate_all(in_single, s), want = evaluate_all(in_double, s);
    check_close("single: energy", &got.energy, &want.energy, 1, TOLERANCE_SINGLE_ENERGY * n, 0);
    check_close("single: atom energy", got.atom_energy, want.atom_energy, n,
                TOLERANCE_SINGLE_ENERGY, 0);
    check_close("single: force", got.force, want.force, 3L * n, TOLERANCE_SINGLE_FORCE, 0);
    check_close("single: virial", got.virial, want.virial, 6, TOLERANCE_SINGLE_FORCE * n, 0);
    CHECK(got.energy != want.energy);
    evaluation_free(&got);
    evaluation_free(&want);
}

static void test_structure(const umas_model *model, int charge, int spin, const structure *s) {
    umas_engine *engine = create_engine(model, "omol", charge, spin, UMAS_DOUBLE);
    umas_engine *in_single = create_engine(model, "omol", charge, spin, UMAS_SINGLE);
    const int before = checks_failed;
    test_derivatives(engine, s);
    test_rotation(engine, s);
    test_translation(engine, s);
    test_permutation(engine, s);
    test_sums(engine, s);
    test_single(engine, in_single, s);
    if (checks_failed > before)
        fprintf(stderr, "... mmax %d, %s of %d atoms\n", umas_model_architecture(model)->mmax,
                s->periodic[0] ? "crystal" : "cluster", s->atoms);
    umas_engine_destroy(engine);
    umas_engine_destroy(in_single);
}

int main(void) {
    structure crystal = random_crystal(7, 1), cluster = random_cluster(10, 2);
    structure primitive = random_crystal(1, 3);
    umas_model *plain = open_random_model(&plain_architecture, 21);
    umas_model *balanced = open_random_model(&balanced_architecture, 22);
    test_structure(plain, 0, 0, &crystal);
    test_structure(plain, 0, 0, &cluster);
    test_structure(balanced, -2, 3, &crystal);
    test_structure(balanced, 1, 2, &cluster);
    test_structure(plain, 0, 0, &primitive);
    umas_model_close(plain);
    umas_model_close(balanced);
    structure_free(&crystal);
    structure_free(&cluster);
    structure_free(&primitive);
    return check_report();
}
