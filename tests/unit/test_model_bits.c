/* No bit of a model file can change, and no byte can go, without the file being refused.
 * An argument n tries every n-th byte only (for slow tools like valgrind). */
#define _POSIX_C_SOURCE 200809L /* NOLINT(bugprone-reserved-identifier): POSIX wants it */

#include "check.h"
#include "model_damage.h"

#include <fcntl.h>
#include <unistd.h>

#define PATH "test_model_bits.safetensors"

static int is_accepted(void) {
    umas_model *model;
    umas_error error = {0};
    const umas_status status = umas_model_open(PATH, &model, &error);
    umas_model_close(model);
    return status == UMAS_OK || error.message[0] == '\0';
}

static void test_flips(int file, const model_draft *draft, size_t stride) {
    for (size_t at = 0; at < draft->size; at += stride) {
        const unsigned char bit = (unsigned char)(1u << (at / stride % 8));
        const unsigned char flipped = draft->bytes[at] ^ bit;
        CHECK(pwrite(file, &flipped, 1, (off_t)at) == 1);
        if (!CHECK(!is_accepted())) fprintf(stderr, "... bit %d of byte %zu\n", bit, at);
        CHECK(pwrite(file, &draft->bytes[at], 1, (off_t)at) == 1);
    }
}

static void test_cuts(int file, const model_draft *draft, size_t stride) {
    for (size_t size = draft->size; size > 0;) {
        size -= size > stride ? stride : size;
        CHECK(ftruncate(file, (off_t)size) == 0);
        if (!CHECK(!is_accepted())) fprintf(stderr, "... cut to %zu bytes\n", size);
    }
}

static void test_model(int is_half, size_t stride) {
    model_draft draft;
    draft_tensors(&draft, &tiny_architecture, 3);
    for (int i = 0; is_half && i < draft.tensors; i++) draft_halve(&draft, i);
    draft.members = "\"trained_elements\":[2,5],\"note\":\"of use to none\",";
    draft_metadata(&draft);
    draft_header(&draft);
    draft_file(&draft);
    const int file =
        draft_write(&draft, PATH) == 0 && stride > 0 ? open(PATH, O_RDWR | O_CLOEXEC) : -1;
    if (CHECK(file >= 0)) {
        const long before = open_resources();
        CHECK(is_accepted());
        test_flips(file, &draft, stride);
        CHECK(is_accepted());
        test_cuts(file, &draft, stride);
        CHECK(open_resources() == before);
        close(file);
    }
    remove(PATH);
    draft_free(&draft);
}

int main(int argc, char **argv) {
    const size_t stride = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 1;
    test_model(0, stride);
    test_model(1, stride);
    return check_report();
}
