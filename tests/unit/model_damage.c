/* Damaging model files, and looking at how they are refused. */
#include "model_damage.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const umas_architecture tiny_architecture = {
    .sphere_channels = 3,
    .hidden_channels = 5,
    .edge_channels = 2,
    .layers = 1,
    .lmax = 2,
    .mmax = 2,
    .distance_functions = 4,
    .elements = 6,
    .experts = 2,
    .routing_channels = 7,
    .embeddings = 2,
    .heads = 2,
    .cutoff = 6,
    .charge_channel = {0, 3},
};

/* Put `replacement` where the first `part` stands; -1 where there is none. */
static int replace(char **text, const char *part, const char *replacement) {
    char *found = strstr(*text, part);
    if (found == NULL) return -1;
    const size_t before = (size_t)(found - *text);
    const size_t size = strlen(*text) - strlen(part) + strlen(replacement) + 1;
    char *changed = malloc(size);
    if (changed == NULL) return -1;
    snprintf(changed, size, "%.*s%s%s", (int)before, *text, replacement, found + strlen(part));
    free(*text);
    *text = changed;
    return 0;
}

static int apply(model_draft *draft, const damage_case *damage) {
    draft_tensors(draft, &tiny_architecture, 1);
    if (damage->tensors != NULL) damage->tensors(draft);
    draft_metadata(draft);
    if (damage->metadata != NULL &&
        replace(&draft->metadata, damage->metadata, damage->new_metadata) != 0)
        return -1;
    draft_header(draft);
    if (damage->header != NULL && replace(&draft->header, damage->header, damage->new_header) != 0)
        return -1;
    draft_file(draft);
    if (damage->file != NULL) damage->file(draft);
    return 0;
}

int is_refused(const char *path, umas_status status, const char *message) {
    umas_model *model = NULL;
    umas_error error = {0};
    const umas_status found = umas_model_open(path, &model, &error);
    const int is_consistent = (found == UMAS_OK) == (model != NULL);
    umas_model_close(model);
    const char *name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
    if (found == status && is_consistent &&
        (status == UMAS_OK ||
         (error.status == status && strstr(error.message, message) != NULL &&
          strstr(error.message, name) != NULL && strchr(error.message, '\n') == NULL)))
        return 1;
    fprintf(stderr, "wanted '%s' with \"%s\", got '%s': %s\n", umas_status_name(status),
            message == NULL ? "" : message, umas_status_name(found), error.message);
    return 0;
}

int is_damage_noticed(const char *path, const damage_case *damage) {
    model_draft draft;
    const int is_right = apply(&draft, damage) == 0 && draft_write(&draft, path) == 0 &&
                         is_refused(path, damage->status, damage->message);
    if (!is_right) fprintf(stderr, "... in the case: %s\n", damage->what);
    draft_free(&draft);
    remove(path);
    return is_right;
}

long open_resources(void) {
    long count = 0;
    DIR *descriptors = opendir("/proc/self/fd");
    if (descriptors == NULL) return -1;
    while (readdir(descriptors) != NULL) count++;
    closedir(descriptors);
    FILE *maps = fopen("/proc/self/maps", "r");
    if (maps == NULL) return -1;
    char line[1024];
    while (fgets(line, sizeof line, maps) != NULL)
        if (strstr(line, ".safetensors") != NULL) count++;
    fclose(maps);
    return count;
}
