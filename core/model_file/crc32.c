/* CRC-32, sixteen bytes a turn ("slicing", Kounavis and Berry 2005), and its composition.
 *
 * A checksum is the remainder of the message, a polynomial over GF(2), modulo POLYNOMIAL.  Bits are
 * reversed: bit 31 of a word is the coefficient of x^0, a shift to the right multiplies by x. */
#include "model_file/crc32.h"

#include <string.h>

#define POLYNOMIAL 0xedb88320u
#define ONE 0x80000000u

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the model file and its checksums are read in place: a little-endian machine is needed"
#endif

static uint32_t times_x(uint32_t a) { return (a >> 1) ^ ((a & 1u) ? POLYNOMIAL : 0u); }

void umas_crc32_fill(umas_crc32_table *table) {
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t remainder = b;
        for (int bit = 0; bit < 8; bit++) remainder = times_x(remainder);
        table->byte[0][b] = remainder;
    }
    for (int s = 1; s < UMAS_CRC32_SLICES; s++) {
        for (int b = 0; b < 256; b++) {
            const uint32_t before = table->byte[s - 1][b];
            table->byte[s][b] = (before >> 8) ^ table->byte[0][before & 0xffu];
        }
    }
}

/* What four bytes, followed by `after` others of the same turn, add to the remainder. */
static uint32_t four(const umas_crc32_table *table, uint32_t word, int after) {
    return table->byte[after + 3][word & 0xffu] ^ table->byte[after + 2][(word >> 8) & 0xffu] ^
           table->byte[after + 1][(word >> 16) & 0xffu] ^ table->byte[after][word >> 24];
}

uint32_t umas_crc32(const umas_crc32_table *table, uint32_t crc, const void *bytes, size_t size) {
    const unsigned char *next = bytes;
    crc = ~crc;
    for (; size >= 16; size -= 16, next += 16) {
        uint32_t word[4];
        memcpy(word, next, sizeof word);
        crc = four(table, word[0] ^ crc, 12) ^ four(table, word[1], 8) ^ four(table, word[2], 4) ^
              four(table, word[3], 0);
    }
    for (; size > 0; size--, next++) crc = (crc >> 8) ^ table->byte[0][(crc ^ *next) & 0xffu];
    return ~crc;
}

static uint32_t product(uint32_t a, uint32_t b) {
    uint32_t sum = 0;
    for (uint32_t power = ONE; power != 0; power >>= 1, b = times_x(b))
        if (a & power) sum ^= b;
    return sum;
}

uint32_t umas_crc32_join(uint32_t first, uint32_t second, uint64_t second_size) {
    /* first * x^(8 second_size) by repeated squaring; the inversions at both ends cancel. */
    uint32_t square = ONE >> 8; /* x^8: one byte */
    for (; second_size > 0; second_size >>= 1, square = product(square, square))
        if (second_size & 1u) first = product(first, square);
    return first ^ second;
}
