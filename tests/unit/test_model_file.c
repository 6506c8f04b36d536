/* Opening model files: what a valid one gives, and the refusal of containers that are not whole. */
#define _POSIX_C_SOURCE 200809L /* NOLINT(bugprone-reserved-identifier): POSIX wants it */

#include "check.h"
#include "model_damage.h"
#include "model_file/model.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH "test_model_file.safetensors"

/* ---- what is valid ------------------------------------------------------------------------ */

static void check_contents(const umas_model *model, const model_draft *draft) {
    int64_t numbers = 0;
    for (int i = 0; i < draft->tensors; i++) {
        const umas_tensor_shape *shape = &draft->shape[i];
        const umas_tensor *tensor = umas_model_tensor(model, shape->name);
        if (!CHECK(tensor != NULL)) continue;
        int64_t n = 1;
        CHECK(tensor->dimensions == shape->dimensions);
        for (int d = 0; d < shape->dimensions; d++) {
            CHECK(tensor->shape[d] == shape->shape[d]);
            n *= shape->shape[d];
        }
        CHECK(memcmp(tensor->value, draft->value[i], (size_t)n * sizeof(float)) == 0);
        numbers += n;
    }
    CHECK(umas_model_parameters(model) == numbers);
    CHECK(umas_model_bytes(model) == (int64_t)draft->size);
    CHECK(umas_model_tensor(model, "backbone.nothing") == NULL);
}

static void check_architecture(const umas_architecture *a, const umas_architecture *b) {
    CHECK(a->sphere_channels == b->sphere_channels && a->hidden_channels == b->hidden_channels);
    CHECK(a->edge_channels == b->edge_channels && a->layers == b->layers && a->lmax == b->lmax);
    CHECK(a->mmax == b->mmax && a->distance_functions == b->distance_functions);
    CHECK(a->elements == b->elements && a->experts == b->experts);
    CHECK(a->routing_channels == b->routing_channels && a->embeddings == b->embeddings);
    CHECK(a->heads == b->heads && a->cutoff == b->cutoff);
    CHECK(a->composition_counts_zero_row == b->composition_counts_zero_row);
    /* Files of before the members have fairchem's defaults. */
    CHECK(a->max_neighbors == (b->max_neighbors > 0 ? b->max_neighbors : 300));
    CHECK(memcmp(a->charge_channel, b->charge_channel, sizeof a->charge_channel) == 0);
    CHECK(memcmp(a->spin_channel, b->spin_channel, sizeof a->spin_channel) == 0);
}

static void check_tasks(const umas_model *model, const umas_architecture *a) {
    CHECK(umas_model_task_count(model) == 2);
    const umas_task *omat = umas_model_find_task(model, "omat");
    const umas_task *omol = umas_model_find_task(model, "omol");
    if (!CHECK(omat != NULL && omol != NULL)) return;
    CHECK(omat == umas_model_task(model, 0) && omol == umas_model_task(model, 1));
    CHECK(umas_model_task(model, 2) == NULL && umas_model_task(model, -1) == NULL);
    CHECK(umas_model_find_task(model, "oma") == NULL && umas_model_find_task(model, NULL) == NULL);
    CHECK(omat->embedding == 0 && omat->head == 0 && omat->rmsd == 1.423);
    CHECK(omol->embedding == (a->embeddings > 1) && omol->head == (a->heads > 1));
    CHECK(omat->reference[1] == -1.25 && omol->reference[1] == -2.25);
    CHECK(omat->reference[0] == 0 && omat->reference[3] == 0);
    for (int z = a->elements; z < UMAS_ELEMENTS; z++) CHECK(omat->reference[z] == 0);
}

/* Of F16 as of F32 tensors, the numbers are to be had in single precision. */
static void check_valid_tensors(const umas_architecture *a, int is_half) {
    umas_model *model = NULL;
    umas_error error = {0};
    model_draft draft;
    draft_tensors(&draft, a, 7);
    for (int i = 0; is_half && i < draft.tensors; i++) draft_halve(&draft, i);
    draft_metadata(&draft);
    draft_header(&draft);
    draft_file(&draft);
    CHECK(draft_write(&draft, PATH) == 0);
    if (CHECK(umas_model_open(PATH, &model, &error) == UMAS_OK)) {
        check_contents(model, &draft);
        check_architecture(umas_model_architecture(model), a);
        check_tasks(model, a);
        CHECK(strcmp(umas_model_id(model), "UMA-S-test") == 0);
        CHECK(strcmp(umas_model_source(model), "none") == 0);
        CHECK(strcmp(umas_model_sha256(model), "") == 0);
        CHECK(strcmp(umas_model_converter(model), "model_writer") == 0);
        CHECK(umas_model_is_random(model) == 1);
    } else {
        fprintf(stderr, "%s\n", error.message);
    }
    umas_model_close(model);
    draft_free(&draft);
    remove(PATH);
}

static void check_valid(const umas_architecture *a) {
    check_valid_tensors(a, 0);
    check_valid_tensors(a, 1);
}

static void test_valid(void) {
    umas_architecture a = tiny_architecture;
    check_valid(&a);
    a.mmax = 1;
    a.layers = 3;
    a.cutoff = 5.1;
    a.composition_counts_zero_row = 1;
    a.spin_channel[0] = 1;
    a.spin_channel[1] = 2;
    a.max_neighbors = 30;
    check_valid(&a);
    a.experts = a.routing_channels = 0;
    a.embeddings = a.heads = 1;
    a.elements = UMAS_ELEMENTS;
    check_valid(&a);
    umas_model_close(NULL);
}

/* Tensors of several pieces: pieces are checked by several threads and put together again. */
static void test_large_tensors(void) {
    umas_architecture a = tiny_architecture;
    a.sphere_channels = a.hidden_channels = 120;
    check_valid(&a);
    model_draft draft;
    draft_tensors(&draft, &a, 7);
    int i = 0;
    while (strstr(draft.shape[i].name, "so2_conv_1.fc_m0.weight") == NULL) i++;
    CHECK(draft.shape[i].shape[0] * draft.shape[i].shape[1] * draft.shape[i].shape[2] > 700000);
    draft.value[i][700000] = NAN;
    draft.value[i][800000] = NAN;
    draft_metadata(&draft);
    draft_header(&draft);
    draft_file(&draft);
    CHECK(draft_write(&draft, PATH) == 0);
    CHECK(is_refused(PATH, UMAS_ERROR_NONFINITE,
                     "tensor backbone.blocks.0.edge_wise.so2_conv_1.fc_m0.weight: number 700000"));
    draft.value[i][700000] = draft.value[i][800000] = 0;
    draft_file(&draft);
    CHECK(draft_write(&draft, PATH) == 0);
    CHECK(is_refused(PATH, UMAS_ERROR_CHECKSUM, "so2_conv_1.fc_m0.weight has checksum"));
    draft_free(&draft);
    remove(PATH);
}

/* The list both the writer and the reader are built on, against docs/file-format.md. */
static void test_tensor_list(void) {
    static const umas_tensor_shape expected[] = {
        {"backbone.sphere_embedding.weight", 2, {6, 3}},
        {"backbone.charge_embedding.weight", 2, {201, 3}},
        {"backbone.dataset_embedding.weight", 2, {2, 3}},
        {"backbone.mix_csd.weight", 2, {3, 9}},
        {"backbone.target_embedding.weight", 2, {6, 2}},
        {"backbone.routing_mlp.0.weight", 2, {7, 6}},
        {"backbone.routing_mlp.4.bias", 1, {2}},
        {"backbone.edge_degree_embedding.rad_func.net.0.weight", 2, {2, 8}},
        {"backbone.edge_degree_embedding.rad_func.net.6.weight", 2, {9, 2}},
        {"backbone.blocks.0.edge_wise.so2_conv_1.rad_func.net.6.bias", 1, {36}},
        {"backbone.blocks.0.edge_wise.so2_conv_1.fc_m0.weight", 3, {2, 25, 18}},
        {"backbone.blocks.0.edge_wise.so2_conv_1.so2_m_conv.0.fc.weight", 3, {2, 20, 12}},
        {"backbone.blocks.0.edge_wise.so2_conv_1.so2_m_conv.1.fc.weight", 3, {2, 10, 6}},
        {"backbone.blocks.0.edge_wise.so2_conv_2.fc_m0.weight", 3, {2, 9, 15}},
        {"backbone.blocks.0.edge_wise.so2_conv_2.fc_m0.bias", 1, {9}},
        {"backbone.blocks.0.edge_wise.so2_conv_2.so2_m_conv.0.fc.weight", 3, {2, 12, 10}},
        {"backbone.blocks.0.edge_wise.so2_conv_2.so2_m_conv.1.fc.weight", 3, {2, 6, 5}},
        {"backbone.blocks.0.atom_wise.scalar_mlp.0.weight", 2, {10, 3}},
        {"backbone.blocks.0.atom_wise.so3_linear_1.weight", 3, {3, 5, 3}},
        {"backbone.blocks.0.atom_wise.so3_linear_2.bias", 1, {3}},
        {"backbone.norm.affine_weight", 2, {3, 3}},
        {"head.energy_block.0.weight", 3, {2, 5, 3}},
        {"head.energy_block.4.weight", 3, {2, 1, 5}},
        {"head.energy_block.4.bias", 1, {1}},
    };
    umas_tensor_shape list[61];
    if (!CHECK(umas_tensor_list(&tiny_architecture, NULL) == 61)) return;
    umas_tensor_list(&tiny_architecture, list);
    for (size_t e = 0; e < sizeof expected / sizeof *expected; e++) {
        int found = 0;
        for (int i = 0; i < 61; i++)
            found += strcmp(list[i].name, expected[e].name) == 0 &&
                     list[i].dimensions == expected[e].dimensions &&
                     memcmp(list[i].shape, expected[e].shape, sizeof list[i].shape) == 0;
        if (!CHECK(found == 1)) fprintf(stderr, "... for tensor %s\n", expected[e].name);
    }
}

/* ---- damage to the file ------------------------------------------------------------------- */

static size_t header_end(const model_draft *draft) {
    uint64_t length;
    memcpy(&length, draft->bytes, sizeof length);
    return 8 + (size_t)length;
}

static void set_length(model_draft *draft, uint64_t length) {
    memcpy(draft->bytes, &length, sizeof length);
}

static void keep_nothing(model_draft *d) { d->size = 0; }
static void keep_5(model_draft *d) { d->size = 5; }
static void keep_8(model_draft *d) { d->size = 8; }
static void keep_half_header(model_draft *d) { d->size = header_end(d) / 2; }
static void keep_header(model_draft *d) { d->size = header_end(d); }
static void drop_a_byte(model_draft *d) { d->size--; }
static void length_zero(model_draft *d) { set_length(d, 0); }
static void length_largest(model_draft *d) { set_length(d, UINT64_MAX); }
static void length_wraps(model_draft *d) { set_length(d, UINT64_MAX - 3); }
static void length_of_file(model_draft *d) { set_length(d, d->size - 7); }
static void length_less(model_draft *d) { set_length(d, header_end(d) - 8 - 8); }
static void length_odd(model_draft *d) { set_length(d, header_end(d) - 8 + 2); }
static void become_zip(model_draft *d) { memcpy(d->bytes, "PK\003\004\0\0\010\010", 8); }
static void become_pickle(model_draft *d) { memcpy(d->bytes, "\200\002\212\nl\374\234F", 8); }
static void become_text(model_draft *d) { memcpy(d->bytes, "# LAMMPS data file", 18); }
static void flip_metadata(model_draft *d) { *strstr((char *)d->bytes + 8, "UMA-S-test") ^= 1; }
static void flip_header(model_draft *d) { *strstr((char *)d->bytes + 8, "\"dtype\"") ^= 1; }
static void flip_first_weight(model_draft *d) { d->bytes[header_end(d)] ^= 1; }
static void flip_last_weight(model_draft *d) { d->bytes[d->size - 1] ^= 0x80; }

static void append_byte(model_draft *d) {
    unsigned char *longer = realloc(d->bytes, d->size + 1);
    if (longer == NULL) return;
    longer[d->size++] = 0;
    d->bytes = longer;
}

/* Pad the header until its length reads 0x80 0x02 ...: a pickle's first bytes, but no pickle. */
static void resemble_pickle(model_draft *d) {
    const size_t end = header_end(d), length = 0x10280, longer = 8 + length - end;
    unsigned char *padded = realloc(d->bytes, d->size + longer);
    if (padded == NULL) return;
    memmove(padded + end + longer, padded + end, d->size - end);
    memset(padded + end, ' ', longer);
    d->bytes = padded;
    d->size += longer;
    set_length(d, length);
}

/* 30,000 arrays in each other, where a member nobody asks for or a tensor is expected. */
static void nest(model_draft *d, const char *key) {
    const size_t depth = 30000;
    free(d->header);
    d->header = malloc(2 * depth + strlen(key) + 3);
    if (d->header == NULL) exit(EXIT_FAILURE);
    char *next = d->header + sprintf(d->header, "{%s", key);
    memset(next, '[', depth);
    memset(next + depth, ']', depth);
    memcpy(next + 2 * depth, "}", 2);
    draft_file(d);
}

static void nest_tensor(model_draft *d) { nest(d, "\"x\":"); }
static void nest_metadata(model_draft *d) { nest(d, "\"__metadata__\":"); }
static void nest_unclosed(model_draft *d) {
    nest(d, "\"x\":");
    memset(strstr((char *)d->bytes + 8, "]"), '[', 30000);
}

static const damage_case file_damage[] = {
    {.what = "none", .status = UMAS_OK},
    {.what = "empty", .status = UMAS_ERROR_TRUNCATED, .message = "empty", .file = keep_nothing},
    {.what = "5 bytes", .status = UMAS_ERROR_TRUNCATED, .message = "5 bytes", .file = keep_5},
    {.what = "8 bytes", .status = UMAS_ERROR_TRUNCATED, .message = "8 bytes", .file = keep_8},
    {.what = "cut within the header",
     .status = UMAS_ERROR_TRUNCATED,
     .message = "the header alone has",
     .file = keep_half_header},
    {.what = "no tensor bytes",
     .status = UMAS_ERROR_TRUNCATED,
     .message = "0 bytes of tensors",
     .file = keep_header},
    {.what = "last byte missing",
     .status = UMAS_ERROR_TRUNCATED,
     .message = "cut off",
     .file = drop_a_byte},
    {.what = "a byte more",
     .status = UMAS_ERROR_OVERSIZED,
     .message = "1 bytes follow",
     .file = append_byte},
    {.what = "header length 0",
     .status = UMAS_ERROR_FORMAT,
     .message = "not a safetensors file",
     .file = length_zero},
    {.what = "header length 2^64 - 1",
     .status = UMAS_ERROR_FORMAT,
     .message = "a header of 18446744073709551615 bytes",
     .file = length_largest},
    {.what = "header length that wraps around",
     .status = UMAS_ERROR_FORMAT,
     .message = "not a safetensors file",
     .file = length_wraps},
    {.what = "header one byte too long for the file",
     .status = UMAS_ERROR_TRUNCATED,
     .message = "the header alone has",
     .file = length_of_file},
    {.what = "header shortened",
     .status = UMAS_ERROR_FORMAT,
     .message = "header is not JSON",
     .file = length_less},
    {.what = "tensors not aligned",
     .status = UMAS_ERROR_FORMAT,
     .message = "multiple of 4",
     .file = length_odd},
    {.what = "PyTorch zip",
     .status = UMAS_ERROR_NOT_CONVERTED,
     .message = "umas-convert IN.pt -o OUT.safetensors",
     .file = become_zip},
    {.what = "PyTorch pickle",
     .status = UMAS_ERROR_NOT_CONVERTED,
     .message = "umas-convert IN.pt -o OUT.safetensors",
     .file = become_pickle},
    {.what = "header length like a pickle", .status = UMAS_OK, .file = resemble_pickle},
    {.what = "text",
     .status = UMAS_ERROR_FORMAT,
     .message = "not a safetensors file",
     .file = become_text},
    {.what = "bit of the metadata",
     .status = UMAS_ERROR_CHECKSUM,
     .message = "metadata has checksum",
     .file = flip_metadata},
    {.what = "bit of the header",
     .status = UMAS_ERROR_FORMAT,
     .message = "header is not JSON",
     .file = flip_header},
    {.what = "bit of the first weight",
     .status = UMAS_ERROR_CHECKSUM,
     .message = "tensor backbone.sphere_embedding.weight has checksum",
     .file = flip_first_weight},
    {.what = "bit of the last weight",
     .status = UMAS_ERROR_CHECKSUM,
     .message = "tensor head.energy_block.4.bias has checksum",
     .file = flip_last_weight},
    {.what = "deep tensor",
     .status = UMAS_ERROR_FORMAT,
     .message = "not a umas model",
     .file = nest_tensor},
    {.what = "deep metadata",
     .status = UMAS_ERROR_FORMAT,
     .message = "__metadata__ is not a JSON object",
     .file = nest_metadata},
    {.what = "deep and unclosed",
     .status = UMAS_ERROR_FORMAT,
     .message = "header is not JSON",
     .file = nest_unclosed},
};

/* ---- paths -------------------------------------------------------------------------------- */

static void test_paths(void) {
    umas_model *model;
    umas_error error = {0};
    CHECK(is_refused("no-such-file.safetensors", UMAS_ERROR_IO, "cannot open: No such file"));
    CHECK(is_refused("", UMAS_ERROR_IO, "cannot open"));
    CHECK(is_refused(".", UMAS_ERROR_IO, "a directory"));
    CHECK(is_refused("/dev/null", UMAS_ERROR_IO, "not a regular file"));
    CHECK(umas_model_open(NULL, &model, &error) == UMAS_ERROR_IO && model == NULL);
    CHECK(umas_model_open("no-such-file", &model, NULL) == UMAS_ERROR_IO && model == NULL);
    remove(PATH);
    if (CHECK(mkfifo(PATH, 0600) == 0)) CHECK(is_refused(PATH, UMAS_ERROR_IO, "not a regular"));
    remove(PATH);
    CHECK(write_random_model(PATH, &tiny_architecture, 1) == 0);
    CHECK(write_random_model("no-such-folder/model", &tiny_architecture, 1) == -1);
    if (geteuid() != 0) { /* root reads what nobody may */
        chmod(PATH, 0);
        CHECK(is_refused(PATH, UMAS_ERROR_IO, "cannot open: Permission denied"));
    }
    remove(PATH);

    char path[2000];
    memset(path, 'a', sizeof path);
    memcpy(path + sizeof path - 16, "/model.umas\nfile", 16);
    path[sizeof path - 1] = '\0';
    CHECK(umas_model_open(path, &model, &error) == UMAS_ERROR_IO);
    CHECK(strstr(error.message, "/model.umas?fil: cannot open") != NULL);
}

/* A file that no address space can hold is an ordinary refusal, too. */
static void test_no_memory(void) {
#if !defined(__SANITIZE_ADDRESS__)
    struct rlimit limit;
    CHECK(write_random_model(PATH, &tiny_architecture, 1) == 0);
    CHECK(truncate(PATH, 1 << 30) == 0);
    if (CHECK(getrlimit(RLIMIT_AS, &limit) == 0)) {
        const struct rlimit little = {1 << 20, limit.rlim_max};
        CHECK(setrlimit(RLIMIT_AS, &little) == 0);
        const int is_right = is_refused(PATH, UMAS_ERROR_MEMORY, "cannot map 1073741824 bytes");
        CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
        CHECK(is_right);
    }
    remove(PATH);
#endif
}

int main(void) {
    test_tensor_list();
    test_valid();
    test_large_tensors();
    const long before = open_resources();
    for (size_t i = 0; i < sizeof file_damage / sizeof *file_damage; i++)
        CHECK(is_damage_noticed(PATH, &file_damage[i]));
    test_paths();
    test_no_memory();
    CHECK(open_resources() == before);
    return check_report();
}
