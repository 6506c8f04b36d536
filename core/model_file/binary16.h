/* IEEE 754's 16-bit floating-point numbers, as F16 tensors of a model file hold them. */
#ifndef UMAS_BINARY16_H
#define UMAS_BINARY16_H

#include <stdint.h>
#include <string.h>

/* The number with these bits; single precision holds every one exactly.  NaNs stay NaNs. */
static inline float umas_binary16_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = half & 0x7c00u, fraction = half & 0x03ffu;
    uint32_t bits;
    if (exponent == 0) { /* zero and subnormal numbers: normal ones in single precision */
        const float value = (float)fraction * 0x1p-24f;
        memcpy(&bits, &value, sizeof bits);
    } else if (exponent == 0x7c00u) {
        bits = 0x7f800000u | fraction << 13;
    } else {
        bits = ((exponent | fraction) << 13) + ((127u - 15u) << 23);
    }
    bits |= sign;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
