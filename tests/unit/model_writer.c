/* Writing a model file from an architecture and a seed. */
#define _POSIX_C_SOURCE 200809L /* NOLINT(bugprone-reserved-identifier): POSIX wants it */

#include "model_writer.h"

#include "model_file/crc32.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- texts that grow ---------------------------------------------------------------------- */

typedef struct text {
    char *string;
    size_t length, capacity;
} text;

static void *reserve(void *memory, size_t size) {
    void *larger = realloc(memory, size);
    if (larger == NULL) {
        fprintf(stderr, "model_writer: out of memory\n");
        exit(EXIT_FAILURE);
    }
    return larger;
}

static void append(text *t, const char *format, ...) {
    char piece[256];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    if (t->length + (size_t)length + 1 > t->capacity) {
        t->capacity = 2 * (t->length + sizeof piece);
        t->string = reserve(t->string, t->capacity);
    }
    memcpy(t->string + t->length, piece, (size_t)length + 1);
    t->length += (size_t)length;
}

static void append_quoted(text *t, const char *string) {
    append(t, "\"");
    for (; *string != '\0'; string++)
        append(t, *string == '"' || *string == '\\' ? "\\%c" : "%c", *string);
    append(t, "\"");
}

/* ---- weights ------------------------------------------------------------------------------ */

/* Steele, Lea and Flood's splitmix64. */
static uint64_t next_integer(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double next_uniform(uint64_t *state) { /* -1..1 */
    return (double)(next_integer(state) >> 11) * (2.0 / 9007199254740992.0) - 1.0;
}

static int ends_with(const char *name, const char *end) {
    const size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

static int is_norm(const char *name) {
    return ends_with(name, "affine_weight") || ends_with(name, "net.1.weight") ||
           ends_with(name, "net.4.weight");
}

/* Embeddings have variance 1, biases 0.01, products 1 / inputs.  Experts are averaged with weights
 * of about 1 / experts, which divides their variance by as much. */
static double variance(const umas_tensor_shape *shape) {
    if (is_norm(shape->name) || shape->dimensions == 1) return 0.01;
    if (ends_with(shape->name, "_embedding.weight")) return 1;
    const double inputs = (double)shape->shape[shape->dimensions - 1];
    const int is_mixed = strstr(shape->name, ".so2_conv_") != NULL && shape->dimensions == 3;
    return (is_mixed ? (double)shape->shape[0] : 1.0) / inputs;
}

static size_t count(const umas_tensor_shape *shape) {
    size_t n = 1;
    for (int d = 0; d < shape->dimensions; d++) n *= (size_t)shape->shape[d];
    return n;
}

void draft_tensors(model_draft *draft, const umas_architecture *architecture, uint64_t seed) {
    *draft = (model_draft){.architecture = *architecture};
    draft->tensors = umas_tensor_list(architecture, NULL);
    draft->shape = reserve(NULL, (size_t)draft->tensors * sizeof *draft->shape);
    draft->value = reserve(NULL, (size_t)draft->tensors * sizeof *draft->value);
    umas_tensor_list(architecture, draft->shape);
    for (int i = 0; i < draft->tensors; i++) {
        const size_t n = count(&draft->shape[i]);
        const double mean = is_norm(draft->shape[i].name) ? 1 : 0;
        const double scale = sqrt(3 * variance(&draft->shape[i]));
        draft->value[i] = reserve(NULL, n * sizeof(float));
        for (size_t k = 0; k < n; k++)
            draft->value[i][k] = (float)(mean + scale * next_uniform(&seed));
    }
    draft->is_half = reserve(NULL, (size_t)draft->tensors * sizeof *draft->is_half);
    for (int i = 0; i < draft->tensors; i++) draft->is_half[i] = 0;
}

/* ---- tensors as the file has them --------------------------------------------------------- */

/* The distance between the F16 numbers about this one: they have eleven binary digits, and none
 * beyond 2^-24. */
static double half_step(double value) {
    int exponent;
    (void)frexp(value, &exponent);
    if (value == 0) return ldexp(1, -24);
    return ldexp(1, exponent - 11 > -24 ? exponent - 11 : -24);
}

/* Bits of an F16 number: exponent and fraction follow each other, so that steps count through. */
static uint16_t half_bits(double value) {
    const unsigned sign = signbit(value) ? 0x8000u : 0;
    if (isnan(value)) return (uint16_t)(sign | 0x7e00u);
    if (isinf(value)) return (uint16_t)(sign | 0x7c00u);
    const double step = half_step(value);
    const unsigned binades = step > ldexp(1, -24) ? (unsigned)(ilogb(step) + 24) : 0;
    return (uint16_t)(sign | ((binades << 10) + (unsigned)(fabs(value) / step)));
}

void draft_halve(model_draft *draft, int tensor) {
    const size_t n = count(&draft->shape[tensor]);
    draft->is_half[tensor] = 1;
    for (size_t k = 0; k < n; k++) {
        float *value = &draft->value[tensor][k];
        *value = (float)(nearbyint(*value / half_step(*value)) * half_step(*value));
    }
}

static size_t stored_size(const model_draft *draft, int tensor) {
    return count(&draft->shape[tensor]) *
           (draft->is_half[tensor] ? sizeof(uint16_t) : sizeof(float));
}

static void store(const model_draft *draft, int tensor, unsigned char *bytes) {
    const size_t size = stored_size(draft, tensor);
    if (draft->is_half[tensor]) {
        for (size_t k = 0; 2 * k < size; k++) {
            const uint16_t bits = half_bits(draft->value[tensor][k]);
            memcpy(bytes + 2 * k, &bits, sizeof bits);
        }
    } else {
        memcpy(bytes, draft->value[tensor], size);
    }
}

static uint32_t stored_crc32(const model_draft *draft, int tensor, const umas_crc32_table *table) {
    const size_t size = stored_size(draft, tensor);
    unsigned char *bytes = reserve(NULL, size);
    store(draft, tensor, bytes);
    const uint32_t crc = umas_crc32(table, 0, bytes, size);
    free(bytes);
    return crc;
}

/* ---- texts of the file -------------------------------------------------------------------- */

static void append_task(text *t, const char *name, int row, const umas_architecture *a) {
    append(t, "{\"name\":\"%s\",\"embedding\":%d,\"head\":%d,\"rmsd\":1.423,\"references\":[0",
           name, row < a->embeddings ? row : a->embeddings - 1,
           row < a->heads ? row : a->heads - 1);
    for (int z = 1; z < a->elements; z++) append(t, z % 3 == 0 ? ",0" : ",%d.25", -z - row);
    append(t, "]}");
}

static void append_architecture(text *t, const umas_architecture *a) {
    append(t, "{\"sphere_channels\":%d,\"hidden_channels\":%d,\"edge_channels\":%d,\"layers\":%d,",
           a->sphere_channels, a->hidden_channels, a->edge_channels, a->layers);
    append(t, "\"lmax\":%d,\"mmax\":%d,\"distance_functions\":%d,\"elements\":%d,\"experts\":%d,",
           a->lmax, a->mmax, a->distance_functions, a->elements, a->experts);
    append(t, "\"routing_channels\":%d,\"embeddings\":%d,\"heads\":%d,\"cutoff\":%.17g,",
           a->routing_channels, a->embeddings, a->heads, a->cutoff);
    if (a->max_neighbors > 0)
        append(t, "\"max_neighbors\":%d,\"strict_neighbors\":%d,", a->max_neighbors,
               a->strict_neighbors);
    append(t, "\"composition_counts_zero_row\":%s,\"charge_channels\":[%d,%d],",
           a->composition_counts_zero_row ? "true" : "false", a->charge_channel[0],
           a->charge_channel[1]);
    append(t, "\"spin_channels\":[%d,%d]}", a->spin_channel[0], a->spin_channel[1]);
}

void draft_metadata(model_draft *draft) {
    text t = {0};
    umas_crc32_table table;
    umas_crc32_fill(&table);
    append(&t, ",\"format_version\":1,\"model_id\":\"UMA-S-test\",");
    append(&t, "\"converter\":\"model_writer\",\"source\":{\"name\":\"none\",\"sha256\":\"\"},");
    append(&t, "\"random\":true,");
    for (const char *c = draft->members; c != NULL && *c != '\0'; c++) append(&t, "%c", *c);
    append(&t, "\"architecture\":");
    append_architecture(&t, &draft->architecture);
    append(&t, ",\"tasks\":[");
    append_task(&t, "omat", 0, &draft->architecture);
    append(&t, ",");
    append_task(&t, "omol", 1, &draft->architecture);
    append(&t, "],\"tensors\":{");
    for (int i = 0; i < draft->tensors; i++)
        append(&t, "%s\"%s\":\"%08x\"", i > 0 ? "," : "", draft->shape[i].name,
               (unsigned)stored_crc32(draft, i, &table));
    append(&t, "}}");
    free(draft->metadata);
    draft->metadata = t.string;
}

void draft_header(model_draft *draft) {
    text whole = {0}, t = {0};
    umas_crc32_table table;
    umas_crc32_fill(&table);
    append(&whole, "{\"crc32\":\"%08x\"",
           (unsigned)umas_crc32(&table, 0, draft->metadata, strlen(draft->metadata)));
    for (const char *c = draft->metadata; *c != '\0'; c++) append(&whole, "%c", *c);
    append(&t, "{\"__metadata__\":{\"umas\":");
    append_quoted(&t, whole.string);
    append(&t, "}");
    free(whole.string);
    size_t begin = 0;
    for (int i = 0; i < draft->tensors; i++) {
        const umas_tensor_shape *shape = &draft->shape[i];
        const size_t end = begin + stored_size(draft, i);
        append(&t, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", shape->name,
               draft->is_half[i] ? "F16" : "F32");
        for (int d = 0; d < shape->dimensions; d++)
            append(&t, "%s%lld", d > 0 ? "," : "", (long long)shape->shape[d]);
        append(&t, "],\"data_offsets\":[%zu,%zu]}", begin, end);
        begin = end;
    }
    append(&t, "}");
    free(draft->header);
    draft->header = t.string;
}

void draft_file(model_draft *draft) {
    const size_t text_length = strlen(draft->header), length = (text_length + 7) / 8 * 8;
    draft->size = 8 + length;
    for (int i = 0; i < draft->tensors; i++) draft->size += stored_size(draft, i);
    draft->bytes = reserve(draft->bytes, draft->size);
    for (int i = 0; i < 8; i++) draft->bytes[i] = (unsigned char)((uint64_t)length >> (8 * i));
    memset(draft->bytes + 8, ' ', length);
    memcpy(draft->bytes + 8, draft->header, text_length);
    unsigned char *next = draft->bytes + 8 + length;
    for (int i = 0; i < draft->tensors; next += stored_size(draft, i), i++) store(draft, i, next);
}

int draft_write(const model_draft *draft, const char *path) {
    FILE *file = fopen(path, "wb");
    if (file == NULL) return -1;
    const int is_written = fwrite(draft->bytes, 1, draft->size, file) == draft->size;
    return fclose(file) == 0 && is_written ? 0 : -1;
}

void draft_free(model_draft *draft) {
    for (int i = 0; i < draft->tensors; i++) free(draft->value[i]);
    free(draft->value);
    free(draft->is_half);
    free(draft->shape);
    free(draft->metadata);
    free(draft->header);
    free(draft->bytes);
    *draft = (model_draft){0};
}

int write_random_model(const char *path, const umas_architecture *architecture, uint64_t seed) {
    model_draft draft;
    draft_tensors(&draft, architecture, seed);
    draft_metadata(&draft);
    draft_header(&draft);
    draft_file(&draft);
    const int result = draft_write(&draft, path);
    draft_free(&draft);
    return result;
}

umas_model *draft_open(model_draft *draft) {
    char path[64]; /* of this process, as tests run side by side */
    umas_model *model = NULL;
    umas_error error = {.message = "cannot be written"};
    draft_metadata(draft);
    draft_header(draft);
    draft_file(draft);
    (void)snprintf(path, sizeof path, "random_model_%ld.safetensors", (long)getpid());
    if (draft_write(draft, path) != 0 || umas_model_open(path, &model, &error) != UMAS_OK) {
        fprintf(stderr, "%s: %s\n", path, error.message);
        exit(EXIT_FAILURE);
    }
    remove(path);
    return model;
}

umas_model *open_random_model(const umas_architecture *architecture, uint64_t seed) {
    model_draft draft;
    draft_tensors(&draft, architecture, seed);
    umas_model *model = draft_open(&draft);
    draft_free(&draft);
    return model;
}
