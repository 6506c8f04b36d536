/* Ghosts and neighbour lists of small cells, by brute force: periodic.h. */
#include "periodic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *allocate(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size);
    if (!p) {
        fprintf(stderr, "out of memory\n");
        exit(EXIT_FAILURE);
    }
    return p;
}

structure structure_create(int atoms) {
    structure s = {.atoms = atoms};
    s.element = allocate((size_t)atoms, sizeof *s.element);
    s.position = allocate((size_t)atoms * 3, sizeof *s.position);
    for (int i = 0; i < 3; i++) s.cell[i][i] = 1;
    return s;
}

structure structure_copy(const structure *s) {
    structure c = structure_create(s->atoms);
    memcpy(c.element, s->element, (size_t)s->atoms * sizeof *s->element);
    memcpy(c.position, s->position, (size_t)s->atoms * 3 * sizeof *s->position);
    memcpy(c.cell, s->cell, sizeof s->cell);
    memcpy(c.periodic, s->periodic, sizeof s->periodic);
    return c;
}

void structure_free(structure *s) {
    free(s->element);
    free(s->position);
}

/* Images on either side that a sphere around any two atoms' offset can reach along each vector. */
static void image_range(const structure *s, double reach, int range[3]) {
    for (int k = 0; k < 3; k++) {
        const double *b = s->cell[(k + 1) % 3], *c = s->cell[(k + 2) % 3], *a = s->cell[k];
        const double n[3] = {b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2],
                             b[0] * c[1] - b[1] * c[0]};
        double area = sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]), spread = 0;
        double height = fabs(a[0] * n[0] + a[1] * n[1] + a[2] * n[2]) / area;
        for (int i = 0; i < s->atoms; i++)
            for (int j = 0; j < s->atoms; j++) {
                double along = 0;
                for (int d = 0; d < 3; d++)
                    along += (s->position[3 * i + d] - s->position[3 * j + d]) * n[d] / area;
                spread = fmax(spread, along);
            }
        range[k] = s->periodic[k] ? (int)ceil((reach + spread) / height) : 0;
    }
}

static double distance(const double *a, const double *b) {
    return sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]) +
                (a[2] - b[2]) * (a[2] - b[2]));
}

/* Append the images within reach of any atom; returns the number of atoms and ghosts. */
static int add_images(const structure *s, double reach, int *element, double *position, int *node) {
    int range[3], total = s->atoms;
    image_range(s, reach, range);
    for (int x = -range[0]; x <= range[0]; x++)
        for (int y = -range[1]; y <= range[1]; y++)
            for (int z = -range[2]; z <= range[2]; z++)
                for (int i = 0; i < s->atoms && (x || y || z); i++) {
                    double r[3], nearest = INFINITY;
                    for (int d = 0; d < 3; d++)
                        r[d] = s->position[3 * i + d] + x * s->cell[0][d] + y * s->cell[1][d] +
                               z * s->cell[2][d];
                    for (int j = 0; j < s->atoms; j++)
                        nearest = fmin(nearest, distance(r, s->position + 3 * j));
                    if (!(nearest < reach)) continue;
                    if (position) {
                        memcpy(position + 3 * total, r, sizeof r);
                        element[total] = s->element[i];
                        node[total] = i;
                    }
                    total++;
                }
    return total;
}

umas_atoms neighbours_create(const structure *s, double cutoff, double skin) {
    double reach = cutoff + skin;
    int total = add_images(s, reach, NULL, NULL, NULL);
    int *element = allocate((size_t)total, sizeof *element);
    int *node = allocate((size_t)total, sizeof *node);
    double *position = allocate((size_t)total * 3, sizeof *position);
    int64_t *first = allocate((size_t)s->atoms + 1, sizeof *first);
    memcpy(element, s->element, (size_t)s->atoms * sizeof *element);
    memcpy(position, s->position, (size_t)s->atoms * 3 * sizeof *position);
    for (int i = 0; i < s->atoms; i++) node[i] = i;
    (void)add_images(s, reach, element, position, node);
    int *neighbour = NULL;
    for (int fill = 0; fill < 2; fill++) {
        int64_t count = 0;
        for (int i = 0; i < s->atoms; i++) {
            for (int j = 0; j < total; j++) {
                if (j == i || !(distance(position + 3 * i, position + 3 * j) < reach)) continue;
                if (fill) neighbour[count] = j;
                count++;
            }
            first[i + 1] = count;
        }
        if (!fill) neighbour = allocate((size_t)count, sizeof *neighbour);
    }
    return (umas_atoms){.owned = s->atoms,
                        .total = total,
                        .nodes = s->atoms,
                        .element = element,
                        .position = position,
                        .node = node,
                        .first = first,
                        .neighbour = neighbour,
                        .list_changed = 1};
}

void neighbours_move(umas_atoms *a, const structure *from, const structure *to) {
    double *position = (double *)a->position;
    for (int i = 0; i < a->total; i++)
        for (int d = 0; d < 3; d++)
            position[3 * i + d] +=
                to->position[3 * a->node[i] + d] - from->position[3 * a->node[i] + d];
}

void neighbours_free(umas_atoms *a) {
    free((void *)a->element);
    free((void *)a->position);
    free((void *)a->node);
    free((void *)a->first);
    free((void *)a->neighbour);
}

static void stop(const umas_error *error) {
    fprintf(stderr, "%s: %s\n", umas_status_name(error->status), error->message);
    exit(EXIT_FAILURE);
}

double evaluate_structure(umas_engine *engine, const structure *s, double *force, double *virial) {
    umas_atoms a = neighbours_create(s, 6.0, 0.5);
    int64_t counts[UMAS_ELEMENTS] = {0};
    for (int i = 0; i < s->atoms; i++) counts[s->element[i]]++;
    umas_error error;
    umas_result r = {.force = allocate((size_t)a.total * 3, sizeof *r.force)};
    if (umas_engine_set_composition(engine, counts, &error) != UMAS_OK) stop(&error);
    if (umas_engine_evaluate(engine, &a, &r, &error) != UMAS_OK) stop(&error);
    if (force) {
        memset(force, 0, (size_t)s->atoms * 3 * sizeof *force);
        for (int i = 0; i < a.total; i++)
            for (int d = 0; d < 3; d++) force[3 * a.node[i] + d] += r.force[3 * i + d];
    }
    if (virial) memcpy(virial, r.virial, sizeof r.virial);
    free(r.force);
    neighbours_free(&a);
    return r.energy;
}

umas_engine *create_engine(const umas_model *model, const char *task, int charge, int spin,
                           umas_precision precision) {
    umas_engine_options options = umas_engine_default_options();
    umas_engine *engine;
    umas_error error;
    options.task = task;
    options.charge = charge;
    options.spin = spin;
    options.precision = precision;
    if (umas_engine_create(model, &options, &engine, &error) != UMAS_OK) stop(&error);
    return engine;
}
