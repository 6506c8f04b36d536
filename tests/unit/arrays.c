/* Arrays for tests of stages: arrays.h. */
#include "arrays.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers in front of an array and behind it, and what they hold. */
enum { GUARD = 32 };
static const double GUARD_VALUE = -7.25e77;

typedef struct array {
    struct array *next;
    long count;
    double number[]; /* guard, count, guard */
} array;

static array *arrays;

double random_uniform(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * (2.0 / 9007199254740992.0) - 1.0;
}

double *array_poisoned(long count) {
    array *a = malloc(sizeof *a + (size_t)(count + 2L * GUARD) * sizeof *a->number);
    if (a == NULL) {
        fprintf(stderr, "arrays: out of memory\n");
        exit(EXIT_FAILURE);
    }
    a->next = arrays;
    a->count = count;
    arrays = a;
    for (long i = 0; i < GUARD; i++) a->number[i] = a->number[GUARD + count + i] = GUARD_VALUE;
    for (long i = 0; i < count; i++) a->number[GUARD + i] = NAN;
    return a->number + GUARD;
}

double *array_zero(long count) {
    double *zero = array_poisoned(count);
    for (long i = 0; i < count; i++) zero[i] = 0;
    return zero;
}

double *array_random(long count, uint64_t *state) {
    double *random = array_poisoned(count);
    for (long i = 0; i < count; i++) random[i] = random_uniform(state);
    return random;
}

double *array_copy(const double *from, long count) {
    double *copy = array_poisoned(count);
    memcpy(copy, from, (size_t)count * sizeof *copy);
    return copy;
}

static int is_guarded(const array *a) {
    for (long i = 0; i < GUARD; i++)
        if (a->number[i] != GUARD_VALUE || a->number[GUARD + a->count + i] != GUARD_VALUE) return 0;
    return 1;
}

int arrays_free(void) {
    int overwritten = 0;
    while (arrays != NULL) {
        array *next = arrays->next;
        overwritten += !is_guarded(arrays);
        free(arrays);
        arrays = next;
    }
    return overwritten;
}

double difference(double (*f)(void *context), void *context, double *x, double step) {
    static const double weight[4] = {1.0 / 12, -8.0 / 12, 8.0 / 12, -1.0 / 12};
    static const double place[4] = {-2, -1, 1, 2};
    const double here = *x;
    double slope = 0;
    for (int i = 0; i < 4; i++) {
        *x = here + place[i] * step;
        slope += weight[i] * f(context) / step;
    }
    *x = here;
    return slope;
}

void differences(double (*f)(void *context), void *context, double *x, long count, double step,
                 double *slope) {
    for (long i = 0; i < count; i++) slope[i] = difference(f, context, x + i, step);
}

double dot(const double *a, const double *b, long count) {
    double sum = 0;
    for (long i = 0; i < count; i++) sum += a[i] * b[i];
    return sum;
}
