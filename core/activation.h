/* sigmoid, silu and its derivative, docs/model.md (27), in a form that compilers turn into vector
 * code. */
#ifndef UMAS_ACTIVATION_H
#define UMAS_ACTIVATION_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "precision.h"

#if defined(UMAS_REAL_IS_DOUBLE)
static inline real exponential(real x) { return exp(x); }
#else
/* exp(x) = 2^n exp(r), |r| <= ln 2 / 2, by its Taylor series to r^7: within 2 units in the last
 * place for -87 <= x <= 88, and as at these ends beyond them (tests/unit/test_activation.c).  No
 * branch and no call, so loops over it vectorise. */
static inline real exponential(real x) {
    const float to_integer = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float shifted = x * 1.44269504f + to_integer, n = shifted - to_integer;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts */
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits; /* n stands in the lowest bits of `shifted`; at the top it is an exponent */
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + (127u << 23);
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}
#endif

static inline real sigmoid(real x) { return 1 / (1 + exponential(-x)); }

static inline real silu(real x) { return x * sigmoid(x); }

static inline real silu_slope(real x) {
    real s = sigmoid(x);
    return s * (1 + x * (1 - s));
}

#endif
