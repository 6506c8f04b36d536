/* Mutations that know nothing of model files. */
#include "json_mutator.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Steele, Lea and Flood's splitmix64. */
static uint64_t next_integer(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

size_t below(uint64_t *seed, size_t count) {
    const uint64_t number = next_integer(seed);
    return count == 0 ? 0 : (size_t)(number % count);
}

/* ---- bytes -------------------------------------------------------------------------------- */

static size_t remove_range(uint8_t *bytes, size_t size, uint64_t *seed) {
    const size_t at = below(seed, size), most = size - at < 16 ? size - at : 16;
    const size_t count = below(seed, 8) == 0 ? size - at : below(seed, most) + 1;
    memmove(bytes + at, bytes + at + count, size - at - count);
    return size - count;
}

static size_t repeat_range(uint8_t *bytes, size_t size, size_t capacity, uint64_t *seed) {
    const size_t from = below(seed, size), to = below(seed, size + 1);
    size_t count = below(seed, 64) + 1;
    if (count > size - from) count = size - from;
    if (count > capacity - size) count = capacity - size;
    uint8_t piece[64];
    memcpy(piece, bytes + from, count);
    memmove(bytes + to + count, bytes + to, size - to);
    memcpy(bytes + to, piece, count);
    return size + count;
}

size_t mutate_bytes(uint8_t *bytes, size_t size, size_t capacity, uint64_t *seed) {
    static const uint8_t special[] = "\0\1\177\200\377{}[]\",:\\u0-9eE. tfn";
    do {
        if (size == 0) {
            bytes[0] = (uint8_t)next_integer(seed);
            size = 1;
        }
        const size_t at = below(seed, size);
        switch (below(seed, 6)) {
        case 0: bytes[at] ^= (uint8_t)(1u << below(seed, 8)); break;
        case 1: bytes[at] = (uint8_t)next_integer(seed); break;
        case 2: bytes[at] = special[below(seed, sizeof special - 1)]; break;
        case 3: bytes[at] = (uint8_t)(bytes[at] + (below(seed, 2) ? 1 : 255)); break;
        case 4: size = remove_range(bytes, size, seed); break;
        default: size = repeat_range(bytes, size, capacity, seed); break;
        }
    } while (below(seed, 3) == 0);
    return size;
}

/* ---- trees -------------------------------------------------------------------------------- */

/* A value and what it is in: in an object behind its key. */
typedef struct place {
    yyjson_mut_val *value, *key, *parent;
    size_t index; /* in its parent */
} place;

/* The child of this index in a container. */
static place child(yyjson_mut_val *container, size_t wanted) {
    size_t index, count;
    yyjson_mut_val *key, *value;
    place found = {.value = container};
    if (yyjson_mut_is_obj(container)) {
        yyjson_mut_obj_foreach(container, index, count, key, value) {
            if (index == wanted) found = (place){value, key, container, index};
        }
    } else {
        yyjson_mut_arr_foreach(container, index, count, value) {
            if (index == wanted) found = (place){value, NULL, container, index};
        }
    }
    return found;
}

/* Down from the root, any child at a time, so that what stands alone is met as often as what stands
 * in a long list. */
static place any_value(yyjson_mut_doc *tree, uint64_t *seed) {
    place here = {.value = yyjson_mut_doc_get_root(tree)};
    while (yyjson_mut_is_ctn(here.value) && below(seed, 8) != 0) {
        const size_t count = yyjson_mut_is_obj(here.value) ? yyjson_mut_obj_size(here.value)
                                                           : yyjson_mut_arr_size(here.value);
        if (count == 0) break;
        here = child(here.value, below(seed, count));
    }
    return here;
}

static void set_number(yyjson_mut_val *value, uint64_t *seed) {
    static const uint64_t integers[] = {0,
                                        1,
                                        2,
                                        3,
                                        4,
                                        119,
                                        120,
                                        255,
                                        256,
                                        4095,
                                        4096,
                                        4097,
                                        8192,
                                        65536,
                                        0x7fffffff,
                                        0x80000000,
                                        0xffffffffu,
                                        1ull << 32,
                                        1ull << 53,
                                        INT64_MAX,
                                        1ull << 63,
                                        UINT64_MAX,
                                        UINT64_MAX - 3,
                                        1ull << 61,
                                        1ull << 62};
    static const double reals[] = {0.0,  -0.0,  0.5,    1.5,   2.0,   1e-320, 1e-30,  1e30,
                                   1e39, 1e308, -1e308, 100.0, 100.5, 3e9,    1.8e19, -0.5};
    switch (below(seed, 6)) {
    case 0: yyjson_mut_set_real(value, reals[below(seed, sizeof reals / sizeof *reals)]); break;
    case 1: yyjson_mut_set_sint(value, -(int64_t)below(seed, 5) - 1); break;
    case 2: yyjson_mut_set_sint(value, below(seed, 2) ? INT64_MIN : INT32_MIN); break;
    case 3: yyjson_mut_set_uint(value, yyjson_mut_get_uint(value) + 1); break;
    case 4: yyjson_mut_set_uint(value, yyjson_mut_get_uint(value) - 1); break;
    default:
        yyjson_mut_set_uint(value, integers[below(seed, sizeof integers / sizeof *integers)]);
        break;
    }
}

static void set_text(yyjson_mut_val *value, uint64_t *seed) {
    static const char *const texts[] = {"",
                                        "F16",
                                        "F32",
                                        "F64",
                                        "omat",
                                        "omol",
                                        "two words",
                                        "a\nb",
                                        "\033[31m",
                                        "\x7f",
                                        "\xc2\x85",
                                        "\xf0\x9f\x98\x80",
                                        "%s%n%d",
                                        "00000000",
                                        "ffffffff",
                                        "UMA-S-1.2.1",
                                        "backbone.sphere_embedding.weight",
                                        "__metadata__"};
    static const size_t lengths[] = {8,  62,  63,  64,  65,  94,  95,  96,
                                     97, 199, 200, 201, 254, 255, 256, 300};
    static char length[301];
    const size_t choice = below(seed, sizeof texts / sizeof *texts + 6);
    if (choice >= 6) {
        yyjson_mut_set_str(value, texts[choice - 6]);
        return;
    }
    memset(length, 'x', sizeof length - 1);
    if (choice > 0)
        yyjson_mut_set_strn(value, length, lengths[below(seed, sizeof lengths / sizeof *lengths)]);
    else
        yyjson_mut_set_strn(value, "zero\0byte", 9);
}

static void set_kind(yyjson_mut_val *value, uint64_t *seed) {
    switch (below(seed, 7)) {
    case 0: yyjson_mut_set_null(value); break;
    case 1: yyjson_mut_set_bool(value, below(seed, 2) == 1); break;
    case 2: yyjson_mut_set_arr(value); break;
    case 3: yyjson_mut_set_obj(value); break;
    case 4: set_text(value, seed); break;
    default: set_number(value, seed); break;
    }
}

/* Mostly of the same kind. */
static void set_value(yyjson_mut_val *value, uint64_t *seed) {
    const int is_kept = below(seed, 4) != 0;
    if (is_kept && yyjson_mut_is_num(value))
        set_number(value, seed);
    else if (is_kept && yyjson_mut_is_str(value))
        set_text(value, seed);
    else if (is_kept && yyjson_mut_is_bool(value))
        yyjson_mut_set_bool(value, !yyjson_mut_get_bool(value));
    else
        set_kind(value, seed);
}

static void remove_value(const place *here) {
    if (here->key != NULL)
        yyjson_mut_obj_remove_key(here->parent, yyjson_mut_get_str(here->key));
    else
        yyjson_mut_arr_remove(here->parent, here->index);
}

/* A copy of a value of the tree, elsewhere or again in its place, in an object also with its
 * key. */
static void add_copy(yyjson_mut_doc *tree, const place *to, const place *from) {
    yyjson_mut_val *copy = yyjson_mut_val_mut_copy(tree, from->value);
    yyjson_mut_val *container = yyjson_mut_is_ctn(to->value) ? to->value : to->parent;
    if (copy == NULL || container == NULL) return;
    if (yyjson_mut_is_arr(container)) {
        yyjson_mut_arr_append(container, copy);
    } else if (from->key != NULL) {
        yyjson_mut_val *key = yyjson_mut_val_mut_copy(tree, from->key);
        yyjson_mut_obj_add(container, key, copy);
    }
}

/* A text or number that stands elsewhere in the tree. */
static void copy_value(yyjson_mut_val *to, yyjson_mut_val *from) {
    if (yyjson_mut_is_str(from))
        yyjson_mut_set_strn(to, yyjson_mut_get_str(from), yyjson_mut_get_len(from));
    else if (yyjson_mut_is_num(from) && yyjson_mut_is_num(to))
        yyjson_mut_set_uint(to, yyjson_mut_get_uint(from));
}

void mutate_json(yyjson_mut_doc *tree, uint64_t *seed) {
    const place here = any_value(tree, seed), other = any_value(tree, seed);
    switch (below(seed, 10)) {
    case 0:
        if (here.parent != NULL) remove_value(&here);
        break;
    case 1: add_copy(tree, &here, &other); break;
    case 2: add_copy(tree, &here, &here); break;
    case 3:
        if (here.key != NULL) set_text(here.key, seed);
        break;
    case 4:
        copy_value(below(seed, 2) && here.key != NULL ? here.key : here.value, other.value);
        break;
    default: set_value(here.value, seed); break;
    }
}
