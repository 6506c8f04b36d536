/* Arrays for tests of stages: poisoned and guarded outputs, random inputs, finite differences. */
#ifndef UMAS_ARRAYS_H
#define UMAS_ARRAYS_H

#include <stdint.h>

/* Uniform in -1..1, from Steele, Lea and Flood's splitmix64. */
double random_uniform(uint64_t *state);

/* `count` numbers between two guards, all NaN: what a stage leaves unwritten shows. */
double *array_poisoned(long count);
double *array_zero(long count);
double *array_random(long count, uint64_t *state);
double *array_copy(const double *array, long count);

/* Free every array made since the last call; how many had a guard overwritten. */
int arrays_free(void);

/* slope [count] = df/dx by central differences of fourth order; x [count] is put back. */
void differences(double (*f)(void *context), void *context, double *x, long count, double step,
                 double *slope);
/* The same for one number. */
double difference(double (*f)(void *context), void *context, double *x, double step);

double dot(const double *a, const double *b, long count);

#endif
