/* Checksums and finiteness of all weights, shared out over threads in pieces of equal size.  F16
 * ones become single precision on the way. */
#include "model_file/tensor_check.h"

#include "model_file/binary16.h"
#include "model_file/crc32.h"
#include "status.h"

#include <stdlib.h>
#include <string.h>

#define PIECE (1 << 18) /* numbers a thread takes at a time: tensors differ in size by 10^7 */
#define BLOCK (1 << 12) /* numbers that stay in the first cache between the looks at them */

typedef struct piece {
    const unsigned char *stored; /* [count] numbers of `width` bytes */
    size_t width;
    float *widened;     /* [count], or NULL where nothing has to be widened */
    const float *value; /* [count] */
    int64_t count;
    int64_t nonfinite; /* index of the first NaN or infinity, or -1 */
    uint32_t crc32;
} piece;

int64_t umas_tensor_count(const umas_tensor *tensor) {
    int64_t count = 1;
    for (int d = 0; d < tensor->dimensions; d++) count *= tensor->shape[d];
    return count;
}

/* On the bits, so that no compiler option can decide that there are no NaNs. */
static int is_finite(const float *value) {
    uint32_t bits;
    memcpy(&bits, value, sizeof bits);
    return (bits & 0x7f800000u) != 0x7f800000u;
}

static int64_t first_nonfinite(const float *value, int64_t count) {
    int all_finite = 1;
    for (int64_t k = 0; k < count; k++) all_finite &= is_finite(value + k);
    if (all_finite) return -1;
    int64_t k = 0;
    while (is_finite(value + k)) k++;
    return k;
}

static void widen(const unsigned char *stored, float *value, int64_t count) {
    for (int64_t k = 0; k < count; k++) {
        uint16_t half;
        memcpy(&half, stored + (size_t)k * sizeof half, sizeof half);
        value[k] = umas_binary16_to_float(half);
    }
}

static void check_piece(const umas_crc32_table *table, piece *p) {
    p->crc32 = 0;
    p->nonfinite = -1;
    for (int64_t at = 0; at < p->count; at += BLOCK) {
        const int64_t count = p->count - at < BLOCK ? p->count - at : BLOCK;
        const unsigned char *stored = p->stored + (size_t)at * p->width;
        p->crc32 = umas_crc32(table, p->crc32, stored, (size_t)count * p->width);
        if (p->widened != NULL) widen(stored, p->widened + at, count);
        const int64_t found = p->nonfinite < 0 ? first_nonfinite(p->value + at, count) : -1;
        if (found >= 0) p->nonfinite = at + found;
    }
}

static size_t width_of(const umas_tensor *tensor) {
    return tensor->widened != NULL ? sizeof(uint16_t) : sizeof(float);
}

static int64_t pieces_of(const umas_tensor *tensor) {
    return (umas_tensor_count(tensor) + PIECE - 1) / PIECE;
}

static void cut(const umas_tensor *tensor, piece *p) {
    const int64_t count = umas_tensor_count(tensor);
    for (int64_t at = 0; at < count; at += PIECE, p++) {
        p->width = width_of(tensor);
        p->stored = (const unsigned char *)tensor->stored + (size_t)at * p->width;
        p->widened = tensor->widened != NULL ? tensor->widened + at : NULL;
        p->value = tensor->value + at;
        p->count = count - at < PIECE ? count - at : PIECE;
    }
}

static umas_status judge(const umas_tensor *tensor, uint32_t expected, const piece *p,
                         umas_error *error) {
    const int64_t pieces = pieces_of(tensor);
    uint32_t crc = 0;
    int64_t nonfinite = -1;
    for (int64_t i = 0; i < pieces; i++) {
        crc = umas_crc32_join(crc, p[i].crc32, (uint64_t)p[i].count * width_of(tensor));
        if (nonfinite < 0 && p[i].nonfinite >= 0) nonfinite = i * PIECE + p[i].nonfinite;
    }
    if (crc != expected)
        return umas_fail(error, UMAS_ERROR_CHECKSUM,
                         "tensor %.100s has checksum %08x, %08x was written; copy the file again",
                         tensor->name, (unsigned)crc, (unsigned)expected);
    if (nonfinite >= 0)
        return umas_fail(error, UMAS_ERROR_NONFINITE, "tensor %.100s: number %lld is %g",
                         tensor->name, (long long)nonfinite, (double)tensor->value[nonfinite]);
    return UMAS_OK;
}

umas_status umas_tensor_check(const umas_tensor *tensor, const uint32_t *crc32, int tensors,
                              umas_error *error) {
    int64_t pieces = 0, numbers = 0;
    for (int i = 0; i < tensors; i++) {
        pieces += pieces_of(&tensor[i]);
        numbers += umas_tensor_count(&tensor[i]);
    }
    piece *all = calloc((size_t)pieces + 1, sizeof *all);
    umas_crc32_table *table = malloc(sizeof *table);
    umas_status status = UMAS_OK;
    if (all == NULL || table == NULL) {
        status = umas_fail(error, UMAS_ERROR_MEMORY, "no memory to check %d tensors", tensors);
    } else {
        umas_crc32_fill(table);
        piece *next = all;
        for (int i = 0; i < tensors; next += pieces_of(&tensor[i]), i++) cut(&tensor[i], next);
#pragma omp parallel for schedule(dynamic) if (numbers > PIECE)
        for (int64_t i = 0; i < pieces; i++) check_piece(table, &all[i]);
        next = all;
        for (int i = 0; i < tensors && status == UMAS_OK; next += pieces_of(&tensor[i]), i++)
            status = judge(&tensor[i], crc32[i], next, error);
    }
    free(all);
    free(table);
    return status;
}
