/* Crystals, and reading and writing extended XYZ files: bench_structure.h. */
#include "bench_structure.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_random.h"

umas_status bench_fail(umas_error *error, umas_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    error->status = status;
    error->row[0] = error->row[1] = -1;
    return status;
}

void bench_structure_free(bench_structure *s) {
    free(s->element);
    free(s->position);
}

static umas_status reserve(int64_t atoms, bench_structure *s, umas_error *error) {
    *s = (bench_structure){.atoms = (int)atoms};
    s->element = malloc((size_t)atoms * sizeof *s->element);
    s->position = malloc((size_t)atoms * 3 * sizeof *s->position);
    if (s->element && s->position) return UMAS_OK;
    bench_structure_free(s);
    return bench_fail(error, UMAS_ERROR_MEMORY, "no memory for %lld atoms", (long long)atoms);
}

/* ---- crystals ----------------------------------------------------------------------------- */

/* A unit cell in multiples of the lattice constant. */
typedef struct unit_cell {
    const char *element;
    double constant; /* A */
    double vector[3][3];
    int sites;
    double site[8][3];
} unit_cell;

static const unit_cell UNIT_CELLS[] = {
    [BENCH_FCC] = {"C", 3.8, {{0, .5, .5}, {.5, 0, .5}, {.5, .5, 0}}, 1, {{0, 0, 0}}},
    [BENCH_FCC_FULL] = {"C",
                        3.8,
                        {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
                        4,
                        {{0, 0, 0}, {0, .5, .5}, {.5, 0, .5}, {.5, .5, 0}}},
    [BENCH_SI] = {"Si",
                  5.43,
                  {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
                  8,
                  {{0, 0, 0},
                   {0, .5, .5},
                   {.5, 0, .5},
                   {.5, .5, 0},
                   {.25, .25, .25},
                   {.25, .75, .75},
                   {.75, .25, .75},
                   {.75, .75, .25}}},
};

/* n x n x n unit cells, the last index fastest. */
static umas_status repeat(const unit_cell *u, int n, bench_structure *s, umas_error *error) {
    const umas_status status = reserve((int64_t)n * n * n * u->sites, s, error);
    if (status != UMAS_OK) return status;
    for (int k = 0; k < 3; k++) {
        s->periodic[k] = 1;
        for (int d = 0; d < 3; d++) s->cell[k][d] = n * u->constant * u->vector[k][d];
    }
    double *r = s->position;
    for (int x = 0; x < n; x++)
        for (int y = 0; y < n; y++)
            for (int z = 0; z < n; z++)
                for (int i = 0; i < u->sites; i++, r += 3)
                    for (int d = 0; d < 3; d++)
                        r[d] = u->constant * (u->site[i][d] + x * u->vector[0][d] +
                                              y * u->vector[1][d] + z * u->vector[2][d]);
    const int number = umas_element_number(u->element);
    for (int i = 0; i < s->atoms; i++) s->element[i] = number;
    return UMAS_OK;
}

/* Keep `atoms` of the sites, every choice equally likely, in their order (Knuth, The Art of
 * Computer Programming 2, 3.4.2, algorithm S). */
static void empty_sites(bench_structure *s, int atoms, bench_random *random) {
    int kept = 0;
    for (int i = 0; kept < atoms; i++)
        if (random_below(random, (uint32_t)(s->atoms - i)) < (uint32_t)(atoms - kept)) {
            memmove(s->position + 3 * (size_t)kept, s->position + 3 * (size_t)i,
                    3 * sizeof *s->position);
            kept++;
        }
    s->atoms = atoms;
}

umas_status bench_structure_crystal(bench_crystal crystal, int atoms, uint64_t seed,
                                    bench_structure *s, umas_error *error) {
    const unit_cell *u = &UNIT_CELLS[crystal];
    bench_random random = {seed};
    int n = 1;
    if (atoms < 1 || atoms > BENCH_MOST_ATOMS)
        return bench_fail(error, UMAS_ERROR_ARGUMENT, "%d atoms are not in 1..%d", atoms,
                          BENCH_MOST_ATOMS);
    if (crystal == BENCH_FCC)
        while ((int64_t)n * n * n < atoms) n++;
    else
        n = (int)fmax(1, round(cbrt((double)atoms / u->sites)));
    const umas_status status = repeat(u, n, s, error);
    if (status != UMAS_OK) return status;
    if (crystal == BENCH_FCC)
        empty_sites(s, atoms, &random);
    else
        for (int64_t i = 0; i < 3 * (int64_t)s->atoms; i++)
            s->position[i] += 0.05 * random_normal(&random);
    return UMAS_OK;
}

/* ---- files -------------------------------------------------------------------------------- */

enum { LINE = 4096 };

typedef struct reader {
    FILE *file;
    const char *path;
    long line;
    char text[LINE];
} reader;

static umas_status next_line(reader *in, umas_error *error) {
    in->line++;
    if (!fgets(in->text, sizeof in->text, in->file))
        return bench_fail(error, UMAS_ERROR_TRUNCATED, "%s ends before line %ld", in->path,
                          in->line);
    if (!strchr(in->text, '\n') && !feof(in->file))
        return bench_fail(error, UMAS_ERROR_FORMAT, "%s:%ld: a line is longer than %d characters",
                          in->path, in->line, LINE - 2);
    return UMAS_OK;
}

static umas_status malformed(const reader *in, const char *what, umas_error *error) {
    return bench_fail(error, UMAS_ERROR_FORMAT, "%s:%ld: %s", in->path, in->line, what);
}

/* Behind `key=` or `key="`, or NULL. */
static const char *value_of(const char *text, const char *key) {
    const char *at = strstr(text, key);
    if (!at) return NULL;
    at += strlen(key);
    return *at == '"' ? at + 1 : at;
}

static double triple_product(double cell[3][3]) {
    const double *a = cell[0], *b = cell[1], *c = cell[2];
    return a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) +
           a[2] * (b[0] * c[1] - b[1] * c[0]);
}

static umas_status read_cell(const reader *in, bench_structure *s, umas_error *error) {
    const char *lattice = value_of(in->text, "Lattice="), *pbc = value_of(in->text, "pbc=");
    const char *columns = value_of(in->text, "Properties=");
    if (columns && strncmp(columns, "species:S:1:pos:R:3", 19) != 0)
        return malformed(in, "Properties do not start with species:S:1:pos:R:3", error);
    for (int k = 0; k < 3; k++) {
        s->cell[k][k] = 1;
        s->periodic[k] = lattice != NULL;
    }
    if (lattice) {
        double *number = &s->cell[0][0];
        for (int i = 0; i < 9; i++) {
            char *end;
            number[i] = strtod(lattice, &end);
            if (end == lattice) return malformed(in, "Lattice does not have nine numbers", error);
            lattice = end;
        }
        const double volume = fabs(triple_product(s->cell));
        if (!(volume > 0 && isfinite(volume)))
            return malformed(in, "the vectors of Lattice span no volume", error);
    }
    for (int k = 0; k < 3 && pbc; k++) {
        pbc += strspn(pbc, " ");
        if (*pbc != 'T' && *pbc != 'F') return malformed(in, "pbc is not three of T, F", error);
        s->periodic[k] = *pbc++ == 'T';
    }
    if (!lattice && (s->periodic[0] || s->periodic[1] || s->periodic[2]))
        return malformed(in, "pbc has a T, but there is no Lattice", error);
    return UMAS_OK;
}

static umas_status read_atoms(reader *in, bench_structure *s, umas_error *error) {
    for (int i = 0; i < s->atoms; i++) {
        double *r = s->position + 3 * (size_t)i;
        char symbol[8];
        const umas_status status = next_line(in, error);
        if (status != UMAS_OK) return status;
        if (sscanf(in->text, "%7s %lf %lf %lf", symbol, r, r + 1, r + 2) != 4 ||
            !isfinite(r[0] + r[1] + r[2]))
            return malformed(in, "not an element and three coordinates", error);
        s->element[i] = umas_element_number(symbol);
        if (s->element[i] == 0)
            return bench_fail(error, UMAS_ERROR_FORMAT, "%s:%ld: there is no element '%s'",
                              in->path, in->line, symbol);
    }
    return UMAS_OK;
}

static umas_status read_structure(reader *in, bench_structure *s, umas_error *error) {
    char *end;
    umas_status status = next_line(in, error);
    if (status != UMAS_OK) return status;
    const long atoms = strtol(in->text, &end, 10);
    if (end == in->text || end[strspn(end, " \t\r\n")] || atoms < 1 || atoms > BENCH_MOST_ATOMS)
        return malformed(in, "not a number of atoms", error);
    status = reserve(atoms, s, error);
    if (status != UMAS_OK) return status;
    status = next_line(in, error);
    if (status == UMAS_OK) status = read_cell(in, s, error);
    if (status == UMAS_OK) status = read_atoms(in, s, error);
    if (status != UMAS_OK) bench_structure_free(s);
    return status;
}

umas_status bench_structure_read(const char *path, bench_structure *s, umas_error *error) {
    FILE *file = fopen(path, "r");
    if (!file) return bench_fail(error, UMAS_ERROR_IO, "cannot open %s: %s", path, strerror(errno));
    reader in = {.file = file, .path = path};
    const umas_status status = read_structure(&in, s, error);
    (void)fclose(file);
    return status;
}

static void write_atoms(FILE *file, const bench_structure *s, double energy, const double virial[6],
                        const double *force) {
    static const int component[9] = {0, 3, 4, 3, 1, 5, 4, 5, 2}; /* of xx yy zz xy xz yz */
    (void)fprintf(file, "%d\n", s->atoms);
    if (s->periodic[0] || s->periodic[1] || s->periodic[2]) {
        for (int i = 0; i < 9; i++)
            (void)fprintf(file, "%s%.17g", i ? " " : "Lattice=\"", s->cell[i / 3][i % 3]);
        (void)fprintf(file, "\" ");
    }
    (void)fprintf(file, "Properties=species:S:1:pos:R:3:forces:R:3 energy=%.17g", energy);
    for (int i = 0; i < 9; i++)
        (void)fprintf(file, "%s%.17g", i ? " " : " virial=\"", virial[component[i]]);
    (void)fprintf(file, "\" pbc=\"%c %c %c\"\n", s->periodic[0] ? 'T' : 'F',
                  s->periodic[1] ? 'T' : 'F', s->periodic[2] ? 'T' : 'F');
    for (int i = 0; i < s->atoms; i++) {
        const double *r = s->position + 3 * (size_t)i, *f = force + 3 * (size_t)i;
        (void)fprintf(file, "%s %.17g %.17g %.17g %.17g %.17g %.17g\n",
                      umas_element_symbol(s->element[i]), r[0], r[1], r[2], f[0], f[1], f[2]);
    }
}

umas_status bench_structure_write(const char *path, const bench_structure *s, double energy,
                                  const double virial[6], const double *force, umas_error *error) {
    FILE *file = fopen(path, "w");
    if (!file) return bench_fail(error, UMAS_ERROR_IO, "cannot open %s: %s", path, strerror(errno));
    write_atoms(file, s, energy, virial, force);
    const int failed = ferror(file);
    if (fclose(file) != 0 || failed)
        return bench_fail(error, UMAS_ERROR_IO, "cannot write %s", path);
    return UMAS_OK;
}
