/* What a file says of its model's use: a note for users, and elements beyond which it is
 * refused. */
#include "check.h"
#include "model_writer.h"
#include "small_systems.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PATH "missing_references.safetensors"

static umas_model *open_with(const umas_architecture *a, const char *members) {
    model_draft draft;
    draft_tensors(&draft, a, 5);
    draft.members = members;
    umas_model *model = draft_open(&draft);
    draft_free(&draft);
    return model;
}

/* A file that says nothing: all elements of the tables. */
static void test_nothing_said(void) {
    umas_model *model = open_with(&plain_architecture, NULL);
    CHECK(umas_model_note(model) == NULL && umas_model_trained_elements(model) == NULL);
    for (int z = -1; z <= UMAS_ELEMENTS; z++)
        CHECK(umas_model_has_element(model, z) == (z >= 1 && z < plain_architecture.elements));
    umas_model_close(model);
}

static void test_queries(void) {
    umas_model *model = open_with(
        &plain_architecture,
        "\"trained_elements\":[5,1,3],\"note\":\"trained on 3 \xc3\x85 of \\\"nothing\\\"\",");
    CHECK(strcmp(umas_model_note(model), "trained on 3 \xc3\x85 of \"nothing\"") == 0);
    CHECK(strcmp(umas_model_trained_elements(model), "H, Li, B") == 0);
    for (int z = -1; z <= UMAS_ELEMENTS; z++)
        CHECK(umas_model_has_element(model, z) == (z == 1 || z == 3 || z == 5));
    umas_model_close(model);
}

/* The longest list there can be: all elements, whose symbols must all fit. */
static void test_all_elements(void) {
    umas_architecture a = plain_architecture;
    a.elements = UMAS_ELEMENTS;
    char members[1024] = "\"trained_elements\":[118";
    size_t used = strlen(members);
    for (int z = 1; z < 118; z++)
        used += (size_t)snprintf(members + used, sizeof members - used, ",%d", z);
    (void)snprintf(members + used, sizeof members - used, "],");
    umas_model *model = open_with(&a, members);
    const char *text = umas_model_trained_elements(model);
    CHECK(strncmp(text, "H, He, Li", 9) == 0 && strcmp(text + strlen(text) - 6, "Ts, Og") == 0);
    for (int z = 1; z < UMAS_ELEMENTS; z++) CHECK(umas_model_has_element(model, z));
    umas_model_close(model);
}

/* A composition with another element is refused; the engine goes on with one that has none. */
static void test_composition(void) {
    umas_model *model = open_with(&plain_architecture, "\"trained_elements\":[5,1],");
    umas_engine *engine = create_engine(model, "omat", 0, 0, UMAS_DOUBLE);
    int64_t counts[UMAS_ELEMENTS] = {[0] = 3, [1] = 2, [5] = 1};
    umas_error error = {0};
    CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_OK);
    counts[4] = 1;
    CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_ERROR_ARGUMENT);
    CHECK(strcmp(error.message, "element Be (atomic number 4) is not one of those that this model "
                                "was trained for: H, B") == 0);
    CHECK(umas_engine_set_composition(engine, counts, NULL) == UMAS_ERROR_ARGUMENT);
    counts[4] = 0;
    counts[20] = 1;
    CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_ERROR_ARGUMENT);
    CHECK(strstr(error.message, "Ca is not in the model, which ends at atomic number") != NULL);
    counts[20] = 0;
    CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_OK);
    umas_engine_destroy(engine);
    umas_model_close(model);
}

/* A task whose references end before the model's tables has no energy for the rest; it used to be
 * taken as 0.  Other tasks of the model have theirs. */
static void test_missing_references(void) {
    model_draft draft;
    draft_tensors(&draft, &plain_architecture, 5);
    draft_metadata(&draft);
    static const char task[] = "\"name\":\"omol\"", list[] = "\"references\":[0,-2.25,-3.25";
    char *reference = strstr(strstr(draft.metadata, task), list) + sizeof list - sizeof "-3.25";
    CHECK(strncmp(reference, "-3.25,", 6) == 0);
    memcpy(reference, "null ", 5);
    draft_header(&draft);
    draft_file(&draft);
    CHECK(draft_write(&draft, PATH) == 0);
    draft_free(&draft);
    umas_model *model = NULL;
    umas_error error = {0};
    CHECK(umas_model_open(PATH, &model, &error) == UMAS_OK);
    (void)remove(PATH);
    const umas_task *omol = umas_model_find_task(model, "omol");
    CHECK(isnan(omol->reference[2]) && omol->reference[1] == -2.25 && omol->reference[4] == -5.25);
    CHECK(umas_model_find_task(model, "omat")->reference[2] == -2.25);
    CHECK(umas_model_has_element(model, 2));

    int64_t counts[UMAS_ELEMENTS] = {[1] = 2, [2] = 1};
    umas_engine *engine = create_engine(model, "omol", 0, 1, UMAS_DOUBLE);
    CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_ERROR_ARGUMENT);
    CHECK(strcmp(error.message, "task 'omol' of this model has no energy for element He (atomic "
                                "number 2); use another task") == 0);
    counts[2] = 0;
    CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_OK);
    umas_engine_destroy(engine);
    counts[2] = 1;
    engine = create_engine(model, "omat", 0, 0, UMAS_DOUBLE);
    CHECK(umas_engine_set_composition(engine, counts, &error) == UMAS_OK);
    umas_engine_destroy(engine);
    umas_model_close(model);
}

int main(void) {
    test_missing_references();
    test_nothing_said();
    test_queries();
    test_all_elements();
    test_composition();
    return check_report();
}
