/* A seeded stream of random numbers, the same integers on every machine (splitmix64 of
 * Steele, Lea and Flood, 2014). */
#ifndef UMAS_BENCH_RANDOM_H
#define UMAS_BENCH_RANDOM_H

#include <math.h>
#include <stdint.h>

typedef struct bench_random {
    uint64_t state; /* starts as the seed */
} bench_random;

static inline uint64_t random_bits(bench_random *random) {
    uint64_t x = random->state += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

/* An integer of 0 .. bound - 1, 0 < bound < 2^32. */
static inline uint32_t random_below(bench_random *random, uint32_t bound) {
    return (uint32_t)(((random_bits(random) >> 32) * bound) >> 32);
}

/* Normally distributed, mean 0, variance 1. */
static inline double random_normal(bench_random *random) {
    const double two_pi = 6.283185307179586, unit = 1.0 / 9007199254740992.0; /* 2^-53 */
    const double radius = 1 - (double)(random_bits(random) >> 11) * unit;     /* above 0, up to 1 */
    const double angle = two_pi * (double)(random_bits(random) >> 11) * unit;
    return sqrt(-2 * log(radius)) * cos(angle);
}

#endif
