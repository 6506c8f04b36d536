/* Model files with right checksums whose contents are wrong: metadata, list of tensors, weights. */
#include "check.h"
#include "model_damage.h"

#include <string.h>

#define PATH "test_model_contents.safetensors"

/* ---- tensors, before checksums and offsets are made --------------------------------------- */

static void add_nan(model_draft *d) { d->value[2][5] = NAN; }
static void add_infinity(model_draft *d) { d->value[d->tensors - 1][0] = INFINITY; }
static void add_minus_infinity(model_draft *d) { d->value[0][0] = -INFINITY; }

static void halve_all(model_draft *d) {
    for (int i = 0; i < d->tensors; i++) draft_halve(d, i);
}

static void halve_and_add_nan(model_draft *d) {
    halve_all(d);
    add_nan(d);
}

static void halve_and_add_minus_infinity(model_draft *d) {
    halve_all(d);
    add_minus_infinity(d);
}

/* Seven numbers, so that what follows in single precision is not aligned to it. */
static void halve_seven(model_draft *d) {
    int i = 0;
    while (strcmp(d->shape[i].name, "backbone.routing_mlp.0.bias") != 0) i++;
    draft_halve(d, i);
}

static void drop_tensor(model_draft *d) { free(d->value[--d->tensors]); }

static void rename_tensor(model_draft *d) {
    snprintf(d->shape[0].name, sizeof d->shape[0].name, "backbone.spare");
}

static void repeat_tensor(model_draft *d) { d->shape[1] = d->shape[0]; }

static void transpose(model_draft *d) {
    d->shape[2].shape[0] = 3;
    d->shape[2].shape[1] = 101;
}

static void flatten(model_draft *d) {
    d->shape[2].dimensions = 1;
    d->shape[2].shape[0] = 303;
}

/* ---- cases -------------------------------------------------------------------------------- */

#define FORMAT UMAS_ERROR_FORMAT
#define TENSOR UMAS_ERROR_TENSOR
#define DUPLICATE UMAS_ERROR_DUPLICATE

static const damage_case weight_damage[] = {
    {"NaN", UMAS_ERROR_NONFINITE, "tensor backbone.spin_embedding.weight: number 5 is", add_nan, 0,
     0, 0, 0, 0},
    {"infinity", UMAS_ERROR_NONFINITE, "tensor head.energy_block.4.bias: number 0 is inf",
     add_infinity, 0, 0, 0, 0, 0},
    {"-infinity", UMAS_ERROR_NONFINITE, "number 0 is -inf", add_minus_infinity, 0, 0, 0, 0, 0},
    {"F16", UMAS_OK, "", halve_all, 0, 0, 0, 0, 0},
    {"F16 NaN", UMAS_ERROR_NONFINITE, "tensor backbone.spin_embedding.weight: number 5 is nan",
     halve_and_add_nan, 0, 0, 0, 0, 0},
    {"F16 -infinity", UMAS_ERROR_NONFINITE,
     "tensor backbone.sphere_embedding.weight: number 0 is -inf", halve_and_add_minus_infinity, 0,
     0, 0, 0, 0},
    {"F32 after seven F16", FORMAT, "is not a multiple of 4", halve_seven, 0, 0, 0, 0, 0},
    {"F16 sizes with F32 declared", FORMAT, "needs 72 bytes, its offsets hold 36", halve_all, 0, 0,
     "\"dtype\":\"F16\"", "\"dtype\":\"F32\"", 0},
    {"missing", TENSOR, "tensor head.energy_block.4.bias is missing", drop_tensor, 0, 0, 0, 0, 0},
    {"renamed", TENSOR, "tensor backbone.spare does not belong", rename_tensor, 0, 0, 0, 0, 0},
    {"transposed", TENSOR, "has the shape [3, 101], the declared architecture needs [101, 3]",
     transpose, 0, 0, 0, 0, 0},
    {"flattened", TENSOR, "has the shape [303]", flatten, 0, 0, 0, 0, 0},
};

/* A text of the header -> what replaces it. */
#define SPIN "\"backbone.spin_embedding.weight\":{"
static const struct {
    const char *header, *new_header;
    umas_status status;
    const char *message;
} header_damage[] = {
    {"\"umas\":", "\"Umas\":", FORMAT, "not a umas model"},
    {"{\"__metadata__\":{", "{\"__metadata__\":{\"format\":\"pt\",", UMAS_OK, ""},
    {"{\"__metadata__\":{\"umas\":", "{\"__metadata__\":{\"umas\":7,\"text\":", FORMAT,
     "not a umas model"},
    {"{\"__metadata__\":{", "{\"__metadata__\":7,\"x\":{", FORMAT, "not a JSON object"},
    {"{\"__metadata__\":{", "{\"__metadata__\":{\"umas\":\"\",", DUPLICATE, "gives 'umas' twice"},
    {"{\"__metadata__\":{", "{\"__metadata__\":{},\"__metadata__\":{", DUPLICATE,
     "header gives '__metadata__' twice"},
    {"\"umas\":\"{\\\"crc32", "\"umas\":\"{\\\"crc", FORMAT, "does not start with its crc32"},
    {"\"umas\":\"{\\\"crc32\\\":\\\"", "\"umas\":\"{\\\"crc32\\\":\\\"A", FORMAT,
     "does not start with its crc32"},
    {"\"umas\":\"", "\"umas\":\"\",\"rest\":\"", FORMAT, "does not start with its crc32"},
    {SPIN, "\"backbone.charge_embedding.weight\":{", DUPLICATE,
     "header gives 'backbone.charge_embedding.weight' twice"},
    {SPIN, "\"backbone\\u0000\":{", FORMAT, "a key with a zero byte"},
    {SPIN, "\"a\\nb\":{", TENSOR, "tensor a?b does not belong"},
    {SPIN, "\"\\ud800\":{", FORMAT, "not JSON"},
    {SPIN "\"dtype\"", SPIN "\"shape\":[1],\"dtype\"", DUPLICATE, "gives 'shape' twice"},
    {SPIN "\"dtype\"", SPIN "\"kind\":1,\"dtype\"", FORMAT, "no more"},
    {SPIN "\"dtype\"", SPIN "\"Dtype\"", FORMAT, "must have dtype"},
    {SPIN "\"dtype\":\"F32\"", SPIN "\"dtype\":\"BF16\"", TENSOR, "is BF16, neither F32 nor F16"},
    {SPIN "\"dtype\":\"F32\"", SPIN "\"dtype\":\"F64\"", TENSOR, "is F64, neither F32 nor F16"},
    {SPIN "\"dtype\":\"F32\"", SPIN "\"dtype\":\"F16\"", FORMAT,
     "needs 606 bytes, its offsets hold 1212"},
    {SPIN "\"dtype\":\"F32\"", SPIN "\"dtype\":\"F32\\u0000\"", TENSOR, "neither F32 nor F16"},
    {SPIN "\"dtype\":\"F32\"", SPIN "\"dtype\":32", FORMAT, "must have dtype"},
    {SPIN "\"dtype\":\"F32\",", SPIN, FORMAT, "must have dtype"},
    {SPIN, "\"x\":7," SPIN, FORMAT, "x is not a JSON object"},
    {"\"shape\":[101,3]", "\"shape\":[4611686018427387904,4]", FORMAT, "overflows"},
    {"\"shape\":[101,3]", "\"shape\":[4294967296,4294967296]", FORMAT, "overflows"},
    {"\"shape\":[101,3]", "\"shape\":[18446744073709551615,3]", FORMAT, "not a positive integer"},
    {"\"shape\":[101,3]", "\"shape\":[-101,-3]", FORMAT, "dimension 0 is not a positive integer"},
    {"\"shape\":[101,3]", "\"shape\":[101,3,0]", FORMAT, "dimension 2 is not a positive integer"},
    {"\"shape\":[101,3]", "\"shape\":[101,3.0]", FORMAT, "dimension 1 is not a positive integer"},
    {"\"shape\":[101,3]", "\"shape\":[101,\"3\"]", FORMAT, "not a positive integer"},
    {"\"shape\":[101,3]", "\"shape\":[101,3,1,1,1]", TENSOR, "has 5 dimensions, at most 4"},
    {"\"shape\":[101,3]", "\"shape\":303", FORMAT, "lacks a shape"},
    {"\"shape\":[101,3]", "\"shape\":[101,4]", FORMAT, "needs 1616 bytes, its offsets hold 1212"},
    {"\"shape\":[101,3]", "\"shape\":[]", FORMAT, "needs 4 bytes, its offsets hold 1212"},
    {"[2484,3696]", "[2480,3692]", FORMAT, "starts at offset 2480, the one before it ends at 2484"},
    {"[2484,3696]", "[2488,3700]", FORMAT, "starts at offset 2488, the one before it ends at 2484"},
    {"[2484,3696]", "[3696,2484]", FORMAT, "lacks data_offsets [begin, end]"},
    {"[2484,3696]", "[2484,3700]", FORMAT, "needs 1212 bytes, its offsets hold 1216"},
    {"[2484,3696]", "[2484]", FORMAT, "lacks data_offsets"},
    {"[2484,3696]", "[2484,3696,3696]", FORMAT, "lacks data_offsets"},
    {"[2484,3696]", "[-1212,0]", FORMAT, "lacks data_offsets"},
    {"[2484,3696]", "[18446744073709550404,0]", FORMAT, "lacks data_offsets"},
    {"[2484,3696]", "[9223372036854774595,9223372036854775807]", FORMAT,
     "the one before it ends at 2484"},
    {"[2484,3696]", "\"2484\"", FORMAT, "lacks data_offsets"},
    {"[0,72]", "[4,76]", FORMAT, "starts at offset 4, the one before it ends at 0"},
};

/* A text of the metadata -> what replaces it, checksums being right. */
#define RANDOM "\"random\":true"
#define ELEMENTS RANDOM ",\"trained_elements\":"
#define NOTE RANDOM ",\"note\":"
#define TWENTY "twenty bytes of text"
#define HUNDRED TWENTY TWENTY TWENTY TWENTY TWENTY
static const struct {
    const char *metadata, *new_metadata;
    umas_status status;
    const char *message;
} metadata_damage[] = {
    {"\"random\":true", "\"random\":true,\"later\":{\"x\":[1,{}]}", UMAS_OK, ""},
    {"\"random\":true", "\"random\":true,\"random\":true", DUPLICATE, "gives 'random' twice"},
    {"\"random\":true", "\"random\":1", FORMAT, "metadata lacks 'random', true or false"},
    {"\"random\":true,", "", FORMAT, "metadata lacks 'random'"},
    {"\"random\":true", "\"random\":true,", FORMAT, "metadata is not JSON"},
    {",\"format_version\"", ",\"crc32\":\"\",\"format_version\"", DUPLICATE, "'crc32' twice"},
    {"\"format_version\":1", "\"format_version\":2", UMAS_ERROR_VERSION, "format version 2"},
    {"\"format_version\":1", "\"format_version\":0", FORMAT, "'format_version' is 0"},
    {"\"format_version\":1", "\"format_version\":\"1\"", FORMAT, "lacks an integer"},
    {"\"format_version\":1,", "", FORMAT, "lacks an integer 'format_version'"},
    {RANDOM, ELEMENTS "[5,1,3]", UMAS_OK, ""},
    {RANDOM, ELEMENTS "[]", FORMAT, "metadata: 'trained_elements' is empty"},
    {RANDOM, ELEMENTS "null", FORMAT, "metadata lacks an array 'trained_elements'"},
    {RANDOM, ELEMENTS "{\"1\":5}", FORMAT, "metadata lacks an array 'trained_elements'"},
    {RANDOM, ELEMENTS "[1,0]", FORMAT, "must be atomic numbers in 1..5, number 1 is not"},
    {RANDOM, ELEMENTS "[6]", FORMAT, "must be atomic numbers in 1..5, number 0 is not"},
    {RANDOM, ELEMENTS "[-1]", FORMAT, "must be atomic numbers in 1..5"},
    {RANDOM, ELEMENTS "[4294967297]", FORMAT, "must be atomic numbers in 1..5"},
    {RANDOM, ELEMENTS "[1.0]", FORMAT, "must be atomic numbers in 1..5"},
    {RANDOM, ELEMENTS "[\"H\"]", FORMAT, "must be atomic numbers in 1..5"},
    {RANDOM, ELEMENTS "[5,1,5]", DUPLICATE, "metadata: 'trained_elements' lists B twice"},
    {RANDOM, ELEMENTS "[1],\"trained_elements\":[2]", DUPLICATE, "gives 'trained_elements' twice"},
    {RANDOM, NOTE "\"" HUNDRED HUNDRED "\"", UMAS_OK, ""},
    {RANDOM, NOTE "\"" HUNDRED HUNDRED "!\"", FORMAT, "'note' has 201 bytes, at most 200 may be"},
    {RANDOM, NOTE "\"\"", FORMAT, "metadata: 'note' is empty"},
    {RANDOM, NOTE "7", FORMAT, "metadata lacks a string 'note'"},
    {RANDOM, NOTE "\"two\\nlines\"", FORMAT, "metadata: 'note' has a control character"},
    {RANDOM, NOTE "\"zero \\u0000\"", FORMAT, "metadata: 'note' has a control character"},
    {RANDOM, NOTE "\"\\u0085\"", FORMAT, "metadata: 'note' has a control character"},
    {RANDOM, NOTE "\"\\u009f\"", FORMAT, "metadata: 'note' has a control character"},
    {RANDOM, NOTE "\"\\u00a0 3 \xc3\x85, \xe2\x82\xac\"", UMAS_OK, ""},
    {RANDOM, NOTE "\"\xc3\"", FORMAT, "not JSON"},
    {RANDOM, NOTE "\"a\",\"note\":\"b\"", DUPLICATE, "gives 'note' twice"},
    {"\"model_id\":\"UMA-S-test\"", "\"model_id\":null", FORMAT, "lacks a string 'model_id'"},
    {"UMA-S-test", "UMA\\tS", FORMAT, "control character"},
    {"UMA-S-test", "0123456789012345678901234567890123456789012345678901234567890123", FORMAT,
     "'model_id' has 64 bytes, at most 63 may be"},
    {"\"source\":{", "\"source\":[],\"x\":{", FORMAT, "source is not a JSON object"},
    {"\"source\":{", "\"source\":{\"name\":\"\",", DUPLICATE, "source gives 'name' twice"},
    {"\"sha256\":\"\"", "\"sha256\":0", FORMAT, "source lacks a string 'sha256'"},
    {"\"architecture\":{", "\"architecture\":0,\"x\":{", FORMAT, "architecture is not"},
    {"\"architecture\":{", "\"building\":{", FORMAT, "metadata lacks 'architecture'"},
    {"\"layers\":1", "\"layers\":1,\"layers\":1", DUPLICATE, "gives 'layers' twice"},
    {"\"layers\":1", "\"layers\":0", FORMAT, "architecture: 'layers' is 0, it must be in 1..256"},
    {"\"layers\":1", "\"layers\":-1", FORMAT, "'layers' is -1"},
    {"\"layers\":1", "\"layers\":1000000000", FORMAT, "'layers' is 1000000000"},
    {"\"layers\":1", "\"layers\":18446744073709551615", FORMAT, "'layers' is"},
    {"\"layers\":1", "\"layers\":1.0", FORMAT, "lacks an integer 'layers'"},
    {"\"layers\":1", "\"layers\":2", TENSOR, "is missing"},
    {"\"sphere_channels\":3", "\"sphere_channels\":4", TENSOR, "the declared architecture needs"},
    {"\"sphere_channels\":3", "\"sphere_channels\":1048576", FORMAT, "it must be in 1..4096"},
    {"\"lmax\":2", "\"lmax\":3", UMAS_ERROR_UNSUPPORTED, "lmax 3 and mmax 2"},
    {"\"mmax\":2", "\"mmax\":0", UMAS_ERROR_UNSUPPORTED, "lmax 2 and mmax 0"},
    {"\"mmax\":2", "\"mmax\":1", TENSOR, "the declared architecture"},
    {"\"distance_functions\":4", "\"distance_functions\":1", FORMAT, "it must be in 2..4096"},
    {"\"elements\":6", "\"elements\":120", FORMAT, "it must be in 2..119"},
    {"\"experts\":2", "\"experts\":0", FORMAT, "0 experts do not go with 7 routing channels"},
    {"\"routing_channels\":7", "\"routing_channels\":0", FORMAT, "2 experts do not go with 0"},
    {"\"cutoff\":6", "\"cutoff\":0", FORMAT, "'cutoff' is 0"},
    {"\"cutoff\":6", "\"cutoff\":-6", FORMAT, "'cutoff' is -6"},
    {"\"cutoff\":6", "\"cutoff\":1e300", FORMAT, "at most 100"},
    {"\"cutoff\":6", "\"cutoff\":1e999", FORMAT, "metadata is not JSON"},
    {"\"cutoff\":6", "\"cutoff\":NaN", FORMAT, "metadata is not JSON"},
    {"\"cutoff\":6", "\"cutoff\":\"6\"", FORMAT, "lacks a finite number 'cutoff'"},
    {"\"cutoff\":6", "\"cutoff\":6,\"max_neighbors\":-1", FORMAT, "'max_neighbors' is -1"},
    {"\"cutoff\":6", "\"cutoff\":6,\"max_neighbors\":null", FORMAT, "an integer 'max_neighbors'"},
    {"\"cutoff\":6", "\"cutoff\":6,\"max_neighbors\":0", UMAS_OK, ""},
    {"\"composition_counts_zero_row\":false", "\"composition_counts_zero_row\":0", FORMAT,
     "lacks 'composition_counts_zero_row'"},
    {"\"charge_channels\":[0,3]", "\"charge_channels\":[0,4]", FORMAT, "within 3 sphere channels"},
    {"\"charge_channels\":[0,3]", "\"charge_channels\":[2,1]", FORMAT, "must be [first, end)"},
    {"\"charge_channels\":[0,3]", "\"charge_channels\":[-1,1]", FORMAT, "must be [first, end)"},
    {"\"charge_channels\":[0,3]", "\"charge_channels\":[0,1,2]", FORMAT, "must be [first, end)"},
    {"\"spin_channels\":[0,0]", "\"spin_channels\":null", FORMAT, "lacks an array 'spin_channels'"},
    {"\"tasks\":[", "\"tasks\":[],\"x\":[", FORMAT, "0 tasks"},
    {"\"tasks\":[", "\"tasks\":{},\"x\":[", FORMAT, "lacks an array 'tasks'"},
    {"\"tasks\":[", "\"tasks\":[7,", FORMAT, "task is not a JSON object"},
    {"\"name\":\"omol\"", "\"name\":\"omat\"", DUPLICATE, "two tasks are named 'omat'"},
    {"\"name\":\"omol\"", "\"name\":\"\"", FORMAT, "task name '' is not one word"},
    {"\"name\":\"omol\"", "\"name\":\"o mol\"", FORMAT, "task name 'o mol' is not one word"},
    {"\"embedding\":1", "\"embedding\":2", FORMAT, "omol: 'embedding' is 2, it must be in 0..1"},
    {"\"head\":1", "\"head\":-1", FORMAT, "omol: 'head' is -1"},
    {"\"rmsd\":1.423", "\"rmsd\":0", FORMAT, "task 'omat': rmsd is 0"},
    {"\"rmsd\":1.423", "\"rmsd\":true", FORMAT, "omat lacks a finite number 'rmsd'"},
    {"\"rmsd\":1.423", "\"rmsd\":1.423,\"rmsd\":1", DUPLICATE, "task gives 'rmsd' twice"},
    {"\"references\":[0", "\"references\":[null", FORMAT, "reference 0 is not a finite number"},
    {"\"references\":[0", "\"references\":[1e400", FORMAT, "metadata is not JSON"},
    {"\"references\":[", "\"references\":0,\"x\":[", FORMAT, "omat lacks an array 'references'"},
    {"\"tensors\":{", "\"tensors\":{},\"x\":{", FORMAT, "metadata has 0 checksums for 61 tensors"},
    {"\"tensors\":{", "\"tensors\":{\"backbone.mix_csd.bias\":\"00000000\",", DUPLICATE,
     "tensors gives 'backbone.mix_csd.bias' twice"},
    {"\"tensors\":{\"backbone.s", "\"tensors\":{\"backbone.x", FORMAT, "metadata has no checksum"},
    {"\"backbone.mix_csd.bias\":\"", "\"backbone.mix_csd.bias\":\"0", FORMAT,
     "the checksum of tensor backbone.mix_csd.bias is not eight hexadecimal digits"},
    {"\"head.energy_block.4.bias\":\"", "\"head.energy_block.4.bias\":\"ABCDEF01\",\"x\":\"",
     FORMAT, "head.energy_block.4.bias is not eight hexadecimal digits"},
    {"\"head.energy_block.4.bias\":", "\"head.energy_block.4.bias\":7,\"x\":", FORMAT,
     "not eight hexadecimal digits"},
    {"\"head.energy_block.4.bias\":", "\"x\":\"00000000\",\"head.energy_block.4.bias\":", FORMAT,
     "metadata has 62 checksums for 61 tensors"},
};

/* 120 references: one more than there are elements with the zeroth. */
static void test_many_references(void) {
    char references[512] = "\"references\":[0";
    size_t used = strlen(references);
    for (int z = 1; z < 120 - 5; z++) /* the five that follow are there already */
        used += (size_t)snprintf(references + used, sizeof references - used, ",0");
    CHECK(is_damage_noticed(PATH, &(damage_case){.what = "120 references",
                                                 .status = FORMAT,
                                                 .message = "has 120 references, at most 119",
                                                 .metadata = "\"references\":[0",
                                                 .new_metadata = references}));
}

/* Only offsets say where a tensor lies: the header may list tensors in any order. */
static void test_other_order(void) {
    static const char first[] = "\"backbone.sphere_embedding.weight\":{\"dtype\":\"F32\","
                                "\"shape\":[6,3],\"data_offsets\":[0,72]},";
    static const char second[] = "\"backbone.charge_embedding.weight\":{\"dtype\":\"F32\","
                                 "\"shape\":[201,3],\"data_offsets\":[72,2484]},";
    char order[512], other[512];
    snprintf(order, sizeof order, "%s%s", first, second);
    snprintf(other, sizeof other, "%s%s", second, first);
    CHECK(is_damage_noticed(PATH, &(damage_case){.what = "another order of the header",
                                                 .status = UMAS_OK,
                                                 .header = order,
                                                 .new_header = other}));
}

int main(void) {
    const long before = open_resources();
    for (size_t i = 0; i < sizeof weight_damage / sizeof *weight_damage; i++)
        CHECK(is_damage_noticed(PATH, &weight_damage[i]));
    CHECK(is_damage_noticed(PATH, &(damage_case){.what = "a tensor written twice",
                                                 .status = DUPLICATE,
                                                 .message = "twice",
                                                 .tensors = repeat_tensor}));
    for (size_t i = 0; i < sizeof header_damage / sizeof *header_damage; i++)
        CHECK(is_damage_noticed(PATH, &(damage_case){.what = header_damage[i].new_header,
                                                     .status = header_damage[i].status,
                                                     .message = header_damage[i].message,
                                                     .header = header_damage[i].header,
                                                     .new_header = header_damage[i].new_header}));
    for (size_t i = 0; i < sizeof metadata_damage / sizeof *metadata_damage; i++)
        CHECK(is_damage_noticed(PATH,
                                &(damage_case){.what = metadata_damage[i].new_metadata,
                                               .status = metadata_damage[i].status,
                                               .message = metadata_damage[i].message,
                                               .metadata = metadata_damage[i].metadata,
                                               .new_metadata = metadata_damage[i].new_metadata}));
    test_many_references();
    test_other_order();
    CHECK(open_resources() == before);
    return check_report();
}
