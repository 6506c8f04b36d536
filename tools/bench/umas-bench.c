/* umas-bench MODEL: how fast this machine evaluates a model, without LAMMPS. */
#if !defined(_POSIX_C_SOURCE) || _POSIX_C_SOURCE < 200809L
#define _POSIX_C_SOURCE 200809L
#endif
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_measure.h"

enum { EXIT_USAGE = 2, MOST_SIZES = 64 };

static const char usage[] =
    "usage: umas-bench MODEL [options]\n"
    "\n"
    "Time evaluations of energy, forces and virial: every step moves the atoms a little and ends "
    "with\n"
    "forces in the host's memory.  Before the clock starts, the forces must be finite, sum to "
    "zero\n"
    "and come out with the same bits twice.\n"
    "\n"
    "atoms:\n"
    "  --atoms N,N,...        sizes, a row each (100,1000,2000)\n"
    "  --structure NAME       fcc: carbon, a = 3.8 A, sites emptied at random (the default);\n"
    "                         fccfull: all sites, 0.05 A noise; si: diamond silicon, 0.05 A "
    "noise;\n"
    "                         the last two take the nearest whole number of cubic cells\n"
    "  --positions FILE       the atoms of an extended XYZ file instead\n"
    "  --seed N               of vacancies, noise and steps (1)\n"
    "\n"
    "model:\n"
    "  --task NAME            (omat)\n"
    "  --charge N, --spin N   of the whole system (0, and 1 for omol, 0 for others)\n"
    "\n"
    "engine:\n"
    "  --device D             cpu, the number of a GPU, or auto: the first GPU, or the CPU where "
    "none\n"
    "                         is visible (auto)\n"
    "  --precision P          double, single or mixed (double on the CPU, mixed on a GPU)\n"
    "  --memory F             share of the free GPU memory to use, above 0 and up to 1 (0.9)\n"
    "\n"
    "run:\n"
    "  --steps N              timed steps (30)\n"
    "  --warmup N             steps before them (5)\n"
    "  --move A               how far from their places atoms are in a step: the standard "
    "deviation\n"
    "                         of each coordinate, 0 to 0.05 A (0.01)\n"
    "  --csv FILE             write the table there too\n"
    "  --profile              after each size, the time of every stage on the GPU\n"
    "  --forces FILE          write energy, virial and forces as extended XYZ; one size only\n"
    "  -h, --help             print this and exit\n"
    "  --version              print the version and exit\n"
    "\n"
    "Edges are those of the last step.  TFLOP/s counts the products of the convolutions,\n"
    "forward and gradient.  Host GiB is the most memory the process had so far.\n"
    "\n"
    "--profile: a stage's floor is the time in which this GPU copies as many bytes as the stage\n"
    "must read and write once, or multiplies as much in a large product of the same precision,\n"
    "whichever is longer; both rates are measured first.  Arrays that stay in the cache let a\n"
    "stage be faster than its floor.\n"
    "\n"
    "exit status: 0 done, 1 an error or a failed check, 2 wrong usage\n";

typedef struct command {
    const char *model, *positions, *csv;
    const char *structure;
    bench_crystal crystal;
    int sizes, atoms[MOST_SIZES];
    const char *device, *precision;
    const char *why_cpu; /* for the head of the output */
    int memory_given, profile;
    bench_settings settings;
} command;

static const char *const precision_names[] = {
    [UMAS_DOUBLE] = "double", [UMAS_SINGLE] = "single", [UMAS_MIXED] = "mixed"};

/* ---- command line ------------------------------------------------------------------------- */

static int wrong_usage(const char *what, const char *value) {
    fprintf(stderr, "umas-bench: %s '%s' (umas-bench --help)\n", what, value);
    return EXIT_USAGE;
}

/* A whole number between the limits, up to `end`; 0 on success. */
static int parse_integer(const char *text, char **end, long low, long high, int *number) {
    errno = 0;
    const long value = strtol(text, end, 10);
    if (*end == text || errno || value < low || value > high) return -1;
    *number = (int)value;
    return 0;
}

static int parse_sizes(const char *text, command *c) {
    char *next = (char *)text;
    c->sizes = 0;
    do {
        if (c->sizes == MOST_SIZES) return -1;
        const char *number = c->sizes > 0 ? next + 1 : next;
        if (parse_integer(number, &next, 1, BENCH_MOST_ATOMS, &c->atoms[c->sizes++])) return -1;
    } while (*next == ',');
    return *next ? -1 : 0;
}

static int parse_name(const char *text, const char *const *names, int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0) return i;
    return -1;
}

static int parse_whole(const char *text, long low, long high, int *number) {
    char *end;
    return parse_integer(text, &end, low, high, number) || *end ? -1 : 0;
}

/* A number from 0 to `high`. */
static int parse_real(const char *text, double high, double *number) {
    char *end;
    *number = strtod(text, &end);
    return end != text && !*end && *number >= 0 && *number <= high ? 0 : -1;
}

enum option_name {
    ATOMS = 1000,
    STRUCTURE,
    POSITIONS,
    SEED,
    TASK,
    CHARGE,
    SPIN,
    DEVICE,
    PRECISION,
    MEMORY,
    STEPS,
    WARMUP,
    MOVE,
    CSV,
    PROFILE,
    FORCES,
    VERSION
};

static const struct option long_options[] = {
    {"atoms", required_argument, NULL, ATOMS},
    {"structure", required_argument, NULL, STRUCTURE},
    {"positions", required_argument, NULL, POSITIONS},
    {"seed", required_argument, NULL, SEED},
    {"task", required_argument, NULL, TASK},
    {"charge", required_argument, NULL, CHARGE},
    {"spin", required_argument, NULL, SPIN},
    {"device", required_argument, NULL, DEVICE},
    {"precision", required_argument, NULL, PRECISION},
    {"memory", required_argument, NULL, MEMORY},
    {"steps", required_argument, NULL, STEPS},
    {"warmup", required_argument, NULL, WARMUP},
    {"move", required_argument, NULL, MOVE},
    {"csv", required_argument, NULL, CSV},
    {"profile", no_argument, NULL, PROFILE},
    {"forces", required_argument, NULL, FORCES},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, VERSION},
    {NULL, 0, NULL, 0},
};

/* 0, or -1 where the value does not fit the option. */
static int set_option(int name, const char *value, command *c) {
    static const char *const crystals[] =
        {[BENCH_FCC] = "fcc", [BENCH_FCC_FULL] = "fccfull", [BENCH_SI] = "si"};
    umas_engine_options *options = &c->settings.options;
    int number;
    switch (name) {
    case ATOMS: return parse_sizes(value, c);
    case STRUCTURE:
        c->structure = value;
        number = parse_name(value, crystals, 3);
        if (number >= 0) c->crystal = (bench_crystal)number;
        return number < 0 ? -1 : 0;
    case POSITIONS: c->positions = value; return 0;
    case SEED:
        if (parse_whole(value, 0, 2147483647, &number)) return -1;
        c->settings.seed = (uint64_t)number;
        return 0;
    case TASK: options->task = value; return 0;
    case CHARGE: return parse_whole(value, -100, 100, &options->charge);
    case SPIN: return parse_whole(value, 0, 100, &options->spin);
    case DEVICE: c->device = value; return 0;
    case PRECISION: c->precision = value; return 0;
    case MEMORY:
        c->memory_given = 1;
        if (parse_real(value, 1, &options->memory_fraction)) return -1;
        return options->memory_fraction > 0 ? 0 : -1;
    case STEPS: return parse_whole(value, 1, 1000000, &c->settings.steps);
    case WARMUP: return parse_whole(value, 0, 1000000, &c->settings.warmup);
    case MOVE: return parse_real(value, BENCH_MOST_MOVE, &c->settings.move);
    case CSV: c->csv = value; return 0;
    case PROFILE: c->profile = 1; return 0;
    default: c->settings.forces = value; return 0;
    }
}

/* The engine that --device and --precision ask for; 0 or EXIT_USAGE. */
static int choose_engine(command *c) {
    umas_engine_options *options = &c->settings.options;
    if (!c->device) c->device = "auto";
    c->why_cpu = "";
    if (strcmp(c->device, "auto") == 0 && umas_device_count() == 0) {
        c->device = "cpu";
        c->why_cpu =
            umas_backend_built(UMAS_CUDA) ? " (no GPU is visible)" : " (built without CUDA)";
    }
    options->backend = strcmp(c->device, "cpu") == 0 ? UMAS_CPU : UMAS_CUDA;
    options->device = -1;
    if (options->backend == UMAS_CUDA && strcmp(c->device, "auto") != 0 &&
        parse_whole(c->device, 0, 1023, &options->device))
        return wrong_usage("--device is cpu, auto or a number, not", c->device);
    if (options->backend == UMAS_CUDA && options->device >= umas_device_count()) {
        fprintf(stderr, "umas-bench: there is no GPU %d, %s: use --device cpu%s\n", options->device,
                umas_backend_built(UMAS_CUDA) ? "of those that are visible"
                                              : "as this was built without CUDA",
                umas_device_count() > 0 ? " or auto" : "");
        return EXIT_FAILURE;
    }
    if (options->backend == UMAS_CPU && c->memory_given)
        return wrong_usage("--memory is for a GPU, not for --device", c->device);
    if (options->backend == UMAS_CPU && c->profile)
        return wrong_usage("--profile is for a GPU, not for --device", c->device);
    options->precision = options->backend == UMAS_CPU ? UMAS_DOUBLE : UMAS_MIXED;
    if (c->precision) {
        const int precision = parse_name(c->precision, precision_names, 3);
        if (precision < 0)
            return wrong_usage("--precision is double, single or mixed, not", c->precision);
        options->precision = (umas_precision)precision;
    }
    return 0;
}

/* 0 to go on, EXIT_USAGE, or -1 where everything asked for is printed. */
static int parse_command(int argc, char **argv, command *c) {
    int name, index = 0;
    opterr = 0;
    while ((name = getopt_long(argc, argv, ":h", long_options, &index)) != -1) {
        if (name == '?') return wrong_usage("unknown option", argv[optind - 1]);
        if (name == ':') return wrong_usage("a value is missing after", argv[optind - 1]);
        if (name == 'h') {
            fputs(usage, stdout);
            return -1;
        }
        if (name == VERSION) {
            printf("umas-bench %s\n", umas_version());
            return -1;
        }
        if (set_option(name, optarg, c) != 0) {
            fprintf(stderr, "umas-bench: --%s cannot be '%s' (umas-bench --help)\n",
                    long_options[index].name, optarg);
            return EXIT_USAGE;
        }
    }
    if (optind == argc) {
        fprintf(stderr, "umas-bench: no MODEL is given (umas-bench --help)\n");
        return EXIT_USAGE;
    }
    if (argc - optind > 1) return wrong_usage("there is one MODEL, but also", argv[optind + 1]);
    c->model = argv[optind];
    if (c->positions) c->sizes = 1;
    if (c->settings.forces && c->sizes > 1)
        return wrong_usage("one size only (--atoms N) can be written to --forces",
                           c->settings.forces);
    return choose_engine(c);
}

/* ---- output ------------------------------------------------------------------------------- */

static void print_processor(void) {
    char line[512] = "";
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file) && strncmp(line, "model name", 10) != 0)
        ;
    const char *colon = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
    const char *threads = getenv("OMP_NUM_THREADS");
    printf("host: %.*s, %ld processors, OMP_NUM_THREADS %s\n",
           colon ? (int)strcspn(colon + 1, "\n") - 1 : 7, colon ? colon + 2 : "unknown",
           sysconf(_SC_NPROCESSORS_ONLN), threads ? threads : "unset");
    if (file) (void)fclose(file);
}

static void print_head(const command *c, const umas_model *model) {
    const umas_engine_options *options = &c->settings.options;
    const umas_task *task = umas_model_find_task(model, options->task); /* NULL: refused later */
    const int spin = options->spin == UMAS_SPIN_OF_TASK && task ? task->spin : options->spin;
    printf("umas-bench %s: %s%s, task %s, charge %d, spin %d\n", umas_version(),
           umas_model_id(model), umas_model_is_random(model) ? " with random weights" : "",
           options->task, options->charge, spin);
    print_processor();
    printf("device %s%s, %s precision; %s %s; %d steps after %d, atoms moved by %g A\n", c->device,
           c->why_cpu, precision_names[options->precision], c->positions ? "atoms of" : "structure",
           c->positions ? c->positions : c->structure, c->settings.steps, c->settings.warmup,
           c->settings.move);
}

static void print_columns(void) {
    printf("\n   atoms      edges    ms/step (10 %%, 90 %%)              steps/s   ns/day   us/atom"
           "  TFLOP/s  host GiB\n");
}

static void print_row(const bench_row *row) {
    printf("%8d %10lld %10.3f (%9.3f, %9.3f) %10.3f %8.3f %9.2f %8.2f %9.2f\n", row->atoms,
           (long long)row->edges, row->ms, row->ms_low, row->ms_high, row->steps_per_second,
           row->ns_per_day, row->us_per_atom, row->tflops, row->host_gib);
    (void)fflush(stdout);
}

static void write_row(FILE *file, const command *c, const bench_row *row) {
    if (!file) return;
    (void)fprintf(file, "%s,%s,%s,%d,%lld,%d,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g\n", c->device,
                  precision_names[c->settings.options.precision],
                  c->positions ? "file" : c->structure, row->atoms, (long long)row->edges,
                  c->settings.steps, row->ms, row->ms_low, row->ms_high, row->steps_per_second,
                  row->ns_per_day, row->us_per_atom, row->tflops, row->host_gib);
    (void)fflush(file);
}

static int fail(const char *message) {
    fprintf(stderr, "umas-bench: %s\n", message);
    return EXIT_FAILURE;
}

static int time_size(const command *c, int atoms, FILE *csv) {
    bench_structure s;
    bench_row row;
    bench_profile profile;
    umas_error error;
    umas_status status =
        c->positions ? bench_structure_read(c->positions, &s, &error)
                     : bench_structure_crystal(c->crystal, atoms, c->settings.seed, &s, &error);
    if (status != UMAS_OK) return fail(error.message);
    status = bench_measure(&c->settings, &s, &row, c->profile ? &profile : NULL, &error);
    if (status == UMAS_OK) {
        print_row(&row);
        write_row(csv, c, &row);
        if (c->profile) bench_profile_print(&profile, row.ms);
    } else
        fprintf(stderr, "umas-bench: %d atoms: %s\n", s.atoms, error.message);
    bench_structure_free(&s);
    return status == UMAS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int time_all(command *c) {
    umas_model *model;
    umas_error error;
    FILE *csv = NULL;
    int result = EXIT_SUCCESS;
    if (umas_model_open(c->model, &model, &error) != UMAS_OK) return fail(error.message);
    c->settings.model = model;
    if (c->csv && !(csv = fopen(c->csv, "w"))) {
        fprintf(stderr, "umas-bench: cannot open %s: %s\n", c->csv, strerror(errno));
        result = EXIT_FAILURE;
    }
    if (csv)
        (void)fputs("device,precision,structure,atoms,edges,steps,ms,ms_10,ms_90,steps_per_s,"
                    "ns_per_day,us_per_atom,tflops,host_gib\n",
                    csv);
    if (result == EXIT_SUCCESS) print_head(c, model);
    for (int i = 0; i < c->sizes && result == EXIT_SUCCESS; i++) {
        if (i == 0 || c->profile) print_columns();
        result = time_size(c, c->atoms[i], csv);
    }
    if (csv) {
        const int failed = ferror(csv);
        if ((fclose(csv) != 0 || failed) && result == EXIT_SUCCESS) {
            fprintf(stderr, "umas-bench: cannot write %s\n", c->csv);
            result = EXIT_FAILURE;
        }
    }
    umas_model_close(model);
    return result;
}

int main(int argc, char **argv) {
    command c = {.structure = "fcc", .crystal = BENCH_FCC, .sizes = 3, .atoms = {100, 1000, 2000}};
    c.settings = (bench_settings){.options = umas_engine_default_options(),
                                  .warmup = 5,
                                  .steps = 30,
                                  .seed = 1,
                                  .move = 0.01};
    c.settings.options.task = "omat";
    int result = parse_command(argc, argv, &c);
    if (result == 0)
        result = time_all(&c);
    else if (result < 0)
        result = EXIT_SUCCESS;
    if (fflush(stdout) != 0 || ferror(stdout)) return fail("cannot write its output");
    return result;
}
