/* umas-info FILE: what a model file holds, in a table. */
#include "umas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

static const char usage[] =
    "usage: umas-info FILE\n"
    "\n"
    "Check a model file that umas-convert wrote and print what it holds.\n"
    "\n"
    "options:\n"
    "  -h, --help  print this and exit\n"
    "  --version   print the version and exit\n"
    "\n"
    "exit status: 0 the file is whole, 1 it is not or cannot be read, 2 wrong usage\n";

static void print_row(const char *name, const char *value) { printf("%-26s%s\n", name, value); }

static void print_integer(const char *name, int value) { printf("%-26s%d\n", name, value); }

/* 1234567 -> "1,234,567"; text holds 28 characters. */
static const char *with_commas(int64_t number, char text[28]) {
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%lld", (long long)number);
    char *next = text;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) *next++ = ',';
        *next++ = digits[i];
    }
    *next = '\0';
    return text;
}

static void print_origin(const umas_model *model) {
    char number[28];
    const char *sha256 = umas_model_sha256(model); /* zeros where there is no source */
    const double mebibytes = (double)umas_model_bytes(model) / (1 << 20);
    print_row("model", umas_model_id(model));
    print_row("weights",
              umas_model_is_random(model) ? "random numbers: not a trained model" : "trained");
    if (umas_model_trained_elements(model) != NULL)
        print_row("trained for", umas_model_trained_elements(model));
    if (umas_model_note(model) != NULL) print_row("note", umas_model_note(model));
    print_row("source", umas_model_source(model));
    print_row("source SHA-256", sha256[strspn(sha256, "0")] != '\0' ? sha256 : "none");
    print_row("converter", umas_model_converter(model));
    print_row("parameters", with_commas(umas_model_parameters(model), number));
    printf("%-26s%s bytes (%.1f MiB)\n", "size", with_commas(umas_model_bytes(model), number),
           mebibytes);
}

static void print_channels(const char *name, const int channel[2]) {
    if (channel[0] == channel[1])
        print_row(name, "none");
    else
        printf("%-26s%d to %d\n", name, channel[0], channel[1] - 1);
}

static void print_architecture(const umas_architecture *a) {
    print_integer("sphere channels", a->sphere_channels);
    print_integer("hidden channels", a->hidden_channels);
    print_integer("edge channels", a->edge_channels);
    print_integer("layers", a->layers);
    printf("%-26s%d, %d\n", "lmax, mmax", a->lmax, a->mmax);
    print_integer("distance functions", a->distance_functions);
    printf("%-26s%g A\n", "cutoff", a->cutoff);
    if (a->max_neighbors > 0)
        print_integer("neighbours at most", a->max_neighbors);
    else
        print_row("neighbours at most", "all");
    printf("%-26sH to %s\n", "elements", umas_element_symbol(a->elements - 1));
    if (a->experts > 0)
        printf("%-26s%d, routed by %d channels\n", "experts", a->experts, a->routing_channels);
    else
        print_row("experts", "none");
    if (a->experts > 0)
        print_row("mean composition",
                  a->composition_counts_zero_row ? "sum / (atoms + 1)" : "sum / atoms");
    print_channels("charge-balanced channels", a->charge_channel);
    print_channels("spin-balanced channels", a->spin_channel);
    print_integer("data-set embeddings", a->embeddings);
    print_integer("energy heads", a->heads);
}

/* What a task knows of an element: nothing to add (0), a reference energy, or no energy at all. */
enum { NO_REFERENCE, REFERENCE, NO_ENERGY };

static int kind_of(const umas_task *task, int z) {
    if (z >= UMAS_ELEMENTS) return -1;
    if (isnan(task->reference[z])) return NO_ENERGY;
    return task->reference[z] != 0 ? REFERENCE : NO_REFERENCE;
}

/* Elements of a kind, neighbours in the periodic table joined: "H-Be, O". */
static void print_elements(const umas_task *task, int kind) {
    const char *separator = "";
    for (int z = 1; z < UMAS_ELEMENTS; z++) {
        if (kind_of(task, z) != kind) continue;
        const int first = z;
        while (kind_of(task, z + 1) == kind) z++;
        printf("%s%s", separator, umas_element_symbol(first));
        if (z > first) printf("-%s", umas_element_symbol(z));
        separator = ", ";
    }
}

/* "5 (H-Be, O), no energy for Pu-Es" */
static void print_references(const umas_task *task) {
    int count[3] = {0};
    for (int z = 1; z < UMAS_ELEMENTS; z++) count[kind_of(task, z)]++;
    if (count[REFERENCE] > 0) {
        printf("%d (", count[REFERENCE]);
        print_elements(task, REFERENCE);
        printf(")");
    } else {
        printf("none");
    }
    if (count[NO_ENERGY] > 0) {
        printf(", no energy for ");
        print_elements(task, NO_ENERGY);
    }
}

static void print_tasks(const umas_model *model) {
    int width = 4;
    for (int i = 0; i < umas_model_task_count(model); i++) {
        const int length = (int)strlen(umas_model_task(model, i)->name);
        if (length > width) width = length;
    }
    printf("%-*s  embedding  head  rmsd (eV)  elements with a reference energy\n", width, "task");
    for (int i = 0; i < umas_model_task_count(model); i++) {
        const umas_task *task = umas_model_task(model, i);
        printf("%-*s  %9d  %4d  %9.6g  ", width, task->name, task->embedding, task->head,
               task->rmsd);
        print_references(task);
        printf("\n");
    }
}

static int describe(const char *path) {
    umas_model *model;
    umas_error error;
    if (umas_model_open(path, &model, &error) != UMAS_OK) {
        fprintf(stderr, "umas-info: %s\n", error.message);
        return EXIT_FAILURE;
    }
    print_origin(model);
    printf("\n");
    print_architecture(umas_model_architecture(model));
    printf("\n");
    print_tasks(model);
    umas_model_close(model);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    int result = EXIT_SUCCESS;
    const int ended = argc > 1 && strcmp(argv[1], "--") == 0; /* of options: a FILE follows */
    if (ended) argv++, argc--;
    if (argc == 2 && !ended && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        fputs(usage, stdout);
    } else if (argc == 2 && !ended && strcmp(argv[1], "--version") == 0) {
        printf("umas-info %s\n", umas_version());
    } else if (argc != 2) {
        fprintf(stderr, "umas-info: one FILE is expected, %d are given (umas-info --help)\n",
                argc - 1);
        return EXIT_USAGE;
    } else if (!ended && argv[1][0] == '-' && argv[1][1] != '\0') {
        fprintf(stderr, "umas-info: unknown option '%s' (umas-info --help)\n", argv[1]);
        return EXIT_USAGE;
    } else {
        result = describe(argv[1]);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "umas-info: cannot write its output\n");
        return EXIT_FAILURE;
    }
    return result;
}
