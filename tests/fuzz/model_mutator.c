/* Mutation in three depths: bytes of the file, bytes of one of its two JSON texts, and members of
 * their trees.  What was written before the change is mended: the header's length, and mostly the
 * offsets of tensors and the checksums, since a loader that compares those sees nothing else. */
#include "model_mutator.h"

#include "json_mutator.h"
#include "model_file/crc32.h"
#include "model_writer.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#define LENGTH_BYTES 8

/* A file taken apart. */
typedef struct parts {
    yyjson_mut_doc *header;   /* of the JSON in front, or NULL where it is none */
    yyjson_mut_doc *metadata; /* of the string in it, or NULL */
    uint8_t *data;            /* [size] what follows the header */
    size_t size;
} parts;

static size_t length_of(const uint8_t *bytes) {
    uint64_t length;
    memcpy(&length, bytes, sizeof length);
    return (size_t)length;
}

static void *copy_of(const void *bytes, size_t size) {
    void *copy = malloc(size + 1);
    if (copy == NULL) abort();
    if (size > 0) memcpy(copy, bytes, size);
    return copy;
}

static yyjson_mut_doc *parse(const char *text, size_t length) {
    yyjson_doc *document = yyjson_read(text, length, 0);
    if (document == NULL) return NULL;
    yyjson_mut_doc *tree = yyjson_doc_mut_copy(document, NULL);
    yyjson_doc_free(document);
    return tree;
}

static yyjson_mut_val *metadata_string(yyjson_mut_doc *header) {
    yyjson_mut_val *root = yyjson_mut_doc_get_root(header);
    return yyjson_mut_obj_get(yyjson_mut_obj_get(root, "__metadata__"), "umas");
}

static int take_apart(const uint8_t *bytes, size_t size, parts *p) {
    *p = (parts){0};
    if (size < LENGTH_BYTES || length_of(bytes) > size - LENGTH_BYTES) return 0;
    const size_t begin = LENGTH_BYTES + length_of(bytes);
    p->header = parse((const char *)bytes + LENGTH_BYTES, begin - LENGTH_BYTES);
    if (p->header == NULL) return 0;
    yyjson_mut_val *string = metadata_string(p->header);
    if (yyjson_mut_is_str(string))
        p->metadata = parse(yyjson_mut_get_str(string), yyjson_mut_get_len(string));
    p->data = copy_of(bytes + begin, size - begin);
    p->size = size - begin;
    return 1;
}

static void free_parts(parts *p) {
    yyjson_mut_doc_free(p->header);
    yyjson_mut_doc_free(p->metadata);
    free(p->data);
}

/* ---- what is mended ----------------------------------------------------------------------- */

static uint32_t checksum(const void *bytes, size_t size) {
    static umas_crc32_table table;
    if (table.byte[0][1] == 0) umas_crc32_fill(&table);
    return umas_crc32(&table, 0, bytes, size);
}

static void write_hexadecimal(char text[8], uint32_t number) {
    for (int i = 7; i >= 0; i--, number >>= 4) text[i] = "0123456789abcdef"[number & 15u];
}

/* Numbers of a shape, or 0 where it is none or its tensor would not fit in `most`. */
static size_t numbers_of(yyjson_mut_val *shape, size_t most) {
    size_t numbers = 1, index, count;
    yyjson_mut_val *extent;
    if (!yyjson_mut_is_arr(shape)) return 0;
    yyjson_mut_arr_foreach(shape, index, count, extent) {
        const uint64_t n = yyjson_mut_get_uint(extent);
        if (n == 0 || n > most / numbers) return 0;
        numbers *= (size_t)n;
    }
    return numbers;
}

/* Let tensors follow each other again, as long as their shapes say.  Bytes that come are zero. */
static void mend_offsets(parts *p, size_t capacity) {
    size_t index, count, end = 0;
    yyjson_mut_val *key, *entry;
    uint8_t *data = calloc(capacity + 1, 1);
    if (data == NULL) abort();
    yyjson_mut_obj_foreach(yyjson_mut_doc_get_root(p->header), index, count, key, entry) {
        if (!yyjson_mut_is_obj(entry) || yyjson_mut_equals_str(key, "__metadata__")) continue;
        const size_t width =
            yyjson_mut_equals_str(yyjson_mut_obj_get(entry, "dtype"), "F16") ? 2 : 4;
        const size_t size = width * numbers_of(yyjson_mut_obj_get(entry, "shape"), capacity / 4);
        yyjson_mut_val *offsets = yyjson_mut_obj_get(entry, "data_offsets");
        yyjson_mut_val *first = yyjson_mut_arr_get_first(offsets);
        yyjson_mut_val *last = yyjson_mut_arr_get_last(offsets);
        if (first == NULL || size == 0 || size > capacity - end) continue;
        const uint64_t begin = yyjson_mut_get_uint(first);
        const size_t there = begin < p->size ? p->size - (size_t)begin : 0;
        memcpy(data + end, p->data + (there > 0 ? begin : 0), there < size ? there : size);
        yyjson_mut_set_uint(first, end);
        yyjson_mut_set_uint(last, end + size);
        end += size;
    }
    free(p->data);
    p->data = data;
    p->size = end;
}

static void mend_checksums(parts *p) {
    size_t index, count;
    yyjson_mut_val *key, *entry;
    yyjson_mut_val *list = yyjson_mut_obj_get(yyjson_mut_doc_get_root(p->metadata), "tensors");
    yyjson_mut_obj_foreach(yyjson_mut_doc_get_root(p->header), index, count, key, entry) {
        yyjson_mut_val *offsets = yyjson_mut_obj_get(entry, "data_offsets");
        const uint64_t begin = yyjson_mut_get_uint(yyjson_mut_arr_get_first(offsets));
        const uint64_t end = yyjson_mut_get_uint(yyjson_mut_arr_get_last(offsets));
        yyjson_mut_val *written = yyjson_mut_obj_get(list, yyjson_mut_get_str(key));
        if (begin >= end || end > p->size || written == NULL) continue;
        char text[8];
        write_hexadecimal(text, checksum(p->data + begin, (size_t)(end - begin)));
        yyjson_mut_val *string = yyjson_mut_strncpy(p->metadata, text, sizeof text);
        yyjson_mut_set_strn(written, yyjson_mut_get_str(string), sizeof text);
    }
}

/* Put a text in the place of the metadata, with the checksum of the rest in its first member. */
static void put_metadata(parts *p, char *text, size_t length, int is_mended) {
    const size_t digits = strlen("{\"crc32\":\""), rest = digits + 8 + 1;
    if (is_mended && length > rest)
        write_hexadecimal(text + digits, checksum(text + rest, length - rest));
    yyjson_mut_val *old = metadata_string(p->header);
    yyjson_mut_val *string = yyjson_mut_strncpy(p->header, text, length);
    if (old != NULL && string != NULL) yyjson_mut_set_strn(old, yyjson_mut_get_str(string), length);
}

/* ---- putting together --------------------------------------------------------------------- */

/* The file of this header text and the parts' data, or `size` again where that is too long. */
static size_t put_together(uint8_t *bytes, size_t size, size_t capacity, const char *text,
                           size_t length, const parts *p) {
    const size_t padded = (length + 3) / 4 * 4;
    if (LENGTH_BYTES + padded + p->size > capacity) return size;
    const uint64_t number = padded;
    memcpy(bytes, &number, sizeof number);
    memset(bytes + LENGTH_BYTES, ' ', padded);
    memcpy(bytes + LENGTH_BYTES, text, length);
    if (p->size > 0) memcpy(bytes + LENGTH_BYTES + padded, p->data, p->size);
    return LENGTH_BYTES + padded + p->size;
}

static void set_a_weight(parts *p, uint64_t *seed) {
    static const uint32_t bits[] = {0x7fc00000u, 0x7f800000u, 0xff800000u, 0x7f7fffffu,
                                    0x00000001u, 0x80000000u, 0x7c00fc00u, 0x3f800000u};
    if (p->size < 4) return;
    const uint32_t number = bits[below(seed, sizeof bits / sizeof *bits)];
    memcpy(p->data + below(seed, p->size / 4) * 4, &number, sizeof number);
}

/* A member of a tree, or a weight. */
static void change_parts(parts *p, uint64_t *seed) {
    const size_t kind = below(seed, 8);
    if (kind == 0)
        set_a_weight(p, seed);
    else if (kind < 4 || p->metadata == NULL)
        mutate_json(p->header, seed);
    else
        mutate_json(p->metadata, seed);
}

static size_t mutate_trees(uint8_t *bytes, size_t size, size_t capacity, parts *p, uint64_t *seed) {
    do change_parts(p, seed);
    while (below(seed, 3) == 0);
    if (below(seed, 2) == 0) mend_offsets(p, capacity);
    if (p->metadata != NULL) {
        if (below(seed, 8) != 0) mend_checksums(p);
        size_t length;
        char *text = yyjson_mut_write(p->metadata, YYJSON_WRITE_ALLOW_INF_AND_NAN, &length);
        if (text == NULL) return size;
        put_metadata(p, text, length, below(seed, 16) != 0);
        free(text);
    }
    size_t length;
    char *text = yyjson_mut_write(p->header, YYJSON_WRITE_ALLOW_INF_AND_NAN, &length);
    if (text == NULL) return size;
    size = put_together(bytes, size, capacity, text, length, p);
    free(text);
    return size;
}

/* Bytes of the header's text, or of the metadata's within it. */
static size_t mutate_texts(uint8_t *bytes, size_t size, size_t capacity, parts *p, uint64_t *seed) {
    yyjson_mut_val *string = metadata_string(p->header);
    size_t length;
    char *text = malloc(capacity + 1);
    if (text == NULL) abort();
    if (yyjson_mut_is_str(string) && yyjson_mut_get_len(string) < capacity && below(seed, 2)) {
        length = yyjson_mut_get_len(string);
        memcpy(text, yyjson_mut_get_str(string), length);
        length = mutate_bytes((uint8_t *)text, length, capacity, seed);
        put_metadata(p, text, length, 1);
        char *header = yyjson_mut_write(p->header, YYJSON_WRITE_ALLOW_INVALID_UNICODE, &length);
        if (header != NULL) size = put_together(bytes, size, capacity, header, length, p);
        free(header);
    } else {
        length = length_of(bytes);
        memcpy(text, bytes + LENGTH_BYTES, length);
        length = mutate_bytes((uint8_t *)text, length, capacity, seed);
        size = put_together(bytes, size, capacity, text, length, p);
    }
    free(text);
    return size;
}

/* ---- other architectures ------------------------------------------------------------------ */

static int one_to(uint64_t *seed, size_t most) { return 1 + (int)below(seed, most); }

static size_t write_another(uint8_t *bytes, size_t size, size_t capacity, uint64_t *seed) {
    umas_architecture a = {.lmax = 2, .mmax = one_to(seed, 2), .cutoff = one_to(seed, 8)};
    a.sphere_channels = one_to(seed, 3);
    a.hidden_channels = one_to(seed, 3);
    a.edge_channels = one_to(seed, 3);
    a.layers = one_to(seed, 3);
    a.distance_functions = 1 + one_to(seed, 3);
    a.elements = 1 + one_to(seed, 12);
    a.experts = (int)below(seed, 3);
    a.routing_channels = a.experts > 0 ? one_to(seed, 3) : 0;
    a.embeddings = one_to(seed, 3);
    a.heads = one_to(seed, 3);
    a.max_neighbors = (int)below(seed, 4);
    a.charge_channel[1] = (int)below(seed, (size_t)a.sphere_channels + 1);
    a.spin_channel[0] = a.spin_channel[1] = a.charge_channel[1];
    model_draft draft;
    draft_tensors(&draft, &a, *seed);
    for (int i = 0; i < draft.tensors; i++)
        if (below(seed, 8) == 0) draft_halve(&draft, i);
    if (below(seed, 2) == 0) draft.members = "\"trained_elements\":[1],\"note\":\"a note\",";
    draft_metadata(&draft);
    draft_header(&draft);
    draft_file(&draft);
    if (draft.size <= capacity) {
        size = draft.size;
        memcpy(bytes, draft.bytes, size);
    }
    draft_free(&draft);
    return size;
}

size_t mutate_model_file(uint8_t *bytes, size_t size, size_t capacity, uint64_t seed) {
    const size_t kind = below(&seed, 32);
    parts p;
    if (kind == 0 && below(&seed, 4) == 0) return write_another(bytes, size, capacity, &seed);
    if (kind < 2) return mutate_bytes(bytes, size, capacity, &seed);
    if (!take_apart(bytes, size, &p)) {
        free_parts(&p);
        return kind < 6 ? write_another(bytes, size, capacity, &seed)
                        : mutate_bytes(bytes, size, capacity, &seed);
    }
    size = kind < 7 ? mutate_texts(bytes, size, capacity, &p, &seed)
                    : mutate_trees(bytes, size, capacity, &p, &seed);
    free_parts(&p);
    return size;
}
