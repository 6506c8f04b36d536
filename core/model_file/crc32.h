/* CRC-32 with zlib's polynomial: the checksum of the model file. */
#ifndef UMAS_CRC32_H
#define UMAS_CRC32_H

#include <stddef.h>
#include <stdint.h>

#define UMAS_CRC32_SLICES 16

/* byte[s][b]: what byte b, followed by s zero bytes, adds to the remainder. */
typedef struct umas_crc32_table {
    uint32_t byte[UMAS_CRC32_SLICES][256];
} umas_crc32_table;

void umas_crc32_fill(umas_crc32_table *table);

/* The checksum of what `crc` is the checksum of (0: nothing), followed by these bytes. */
uint32_t umas_crc32(const umas_crc32_table *table, uint32_t crc, const void *bytes, size_t size);

/* The checksum of two pieces, one after the other, from the checksum of each. */
uint32_t umas_crc32_join(uint32_t first, uint32_t second, uint64_t second_size);

#endif
