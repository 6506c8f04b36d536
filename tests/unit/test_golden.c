/* Energy, forces and virial against fairchem-core in float64.
 * usage: test_golden double|single MODEL_FOLDER CASE.golden... ; the format is said in
 * tests/golden/make_goldens.py. */
#include <string.h>

#include "check.h"
#include "periodic.h"
#include "tolerances.h"

typedef struct golden {
    char model[64], task[64];
    int charge, spin;
    structure s;
    double energy, virial[6], *force;
} golden;

static void bad(const char *path, const char *what) {
    fprintf(stderr, "%s: cannot read %s\n", path, what);
    exit(EXIT_FAILURE);
}

/* The next line that is not a comment, behind its keyword. */
static char *line_of(FILE *file, const char *path, const char *keyword, char *line, int size) {
    do {
        if (!fgets(line, size, file)) bad(path, keyword);
    } while (line[0] == '#');
    size_t length = strlen(keyword);
    if (strncmp(line, keyword, length) != 0) bad(path, keyword);
    line[strcspn(line, "\n")] = 0;
    return line + length;
}

static void numbers(const char *path, const char *keyword, char *text, int count, double *value) {
    for (int i = 0; i < count; i++) {
        char *end;
        value[i] = strtod(text, &end);
        if (end == text) bad(path, keyword);
        text = end;
    }
}

static golden read_golden(const char *path) {
    golden g;
    char line[512], symbol[4];
    double cell[9], pbc[3];
    FILE *file = fopen(path, "r");
    if (!file) bad(path, "the file");
    if (sscanf(line_of(file, path, "model", line, sizeof line), "%63s", g.model) != 1)
        bad(path, "model");
    if (sscanf(line_of(file, path, "task", line, sizeof line), "%63s", g.task) != 1)
        bad(path, "task");
    g.charge = atoi(line_of(file, path, "charge", line, sizeof line));
    g.spin = atoi(line_of(file, path, "spin", line, sizeof line));
    numbers(path, "cell", line_of(file, path, "cell", line, sizeof line), 9, cell);
    numbers(path, "pbc", line_of(file, path, "pbc", line, sizeof line), 3, pbc);
    numbers(path, "energy", line_of(file, path, "energy", line, sizeof line), 1, &g.energy);
    numbers(path, "virial", line_of(file, path, "virial", line, sizeof line), 6, g.virial);
    g.s = structure_create(atoi(line_of(file, path, "atoms", line, sizeof line)));
    g.force = malloc((size_t)g.s.atoms * 3 * sizeof *g.force + 1);
    for (int i = 0; i < 9; i++) g.s.cell[i / 3][i % 3] = cell[i];
    for (int i = 0; i < 3; i++) g.s.periodic[i] = pbc[i] != 0;
    for (int i = 0; i < g.s.atoms; i++) {
        double row[6];
        int used = 0;
        char *text = line_of(file, path, "", line, sizeof line);
        if (sscanf(text, "%3s%n", symbol, &used) != 1) bad(path, "an atom");
        numbers(path, "an atom", text + used, 6, row);
        g.s.element[i] = umas_element_number(symbol);
        memcpy(g.s.position + 3 * (size_t)i, row, 3 * sizeof *row);
        memcpy(g.force + 3 * (size_t)i, row + 3, 3 * sizeof *row);
    }
    fclose(file);
    return g;
}

static void check_golden(const char *path, const char *models, umas_precision precision) {
    golden g = read_golden(path);
    char model_path[4096];
    umas_error error;
    umas_model *model;
    (void)snprintf(model_path, sizeof model_path, "%s/%s.safetensors", models, g.model);
    if (umas_model_open(model_path, &model, &error) != UMAS_OK) bad(model_path, error.message);
    umas_engine *engine = create_engine(model, g.task, g.charge, g.spin, precision);
    double *force = malloc((size_t)g.s.atoms * 3 * sizeof *force + 1), virial[6];
    double energy = evaluate_structure(engine, &g.s, force, virial);
    int exact = precision == UMAS_DOUBLE;
    double n = g.s.atoms, e_per_atom = energy / n, want = g.energy / n;
    printf("%s: energy off by %.2e eV/atom\n", path, fabs(e_per_atom - want));
    check_close("energy per atom", &e_per_atom, &want, 1,
                exact ? TOLERANCE_GOLDEN_ENERGY : TOLERANCE_SINGLE_ENERGY, 0);
    check_close("force", force, g.force, 3L * g.s.atoms,
                exact ? TOLERANCE_GOLDEN_FORCE : TOLERANCE_SINGLE_FORCE, 0);
    check_close("virial", virial, g.virial, 6,
                (exact ? TOLERANCE_GOLDEN_FORCE : TOLERANCE_SINGLE_FORCE) * n, 0);
    free(force);
    free(g.force);
    structure_free(&g.s);
    umas_engine_destroy(engine);
    umas_model_close(model);
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: test_golden double|single MODEL_FOLDER CASE.golden...\n");
        return EXIT_FAILURE;
    }
    umas_precision precision = strcmp(argv[1], "single") == 0 ? UMAS_SINGLE : UMAS_DOUBLE;
    for (int i = 3; i < argc; i++) check_golden(argv[i], argv[2], precision);
    return check_report();
}
