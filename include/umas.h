/* umas: Meta's UMA-S interatomic potential, evaluated from neighbour lists.
 *
 * Use: open a model file, create an engine for a task, tell it the composition of the whole
 * system, evaluate as often as positions move, destroy, close:
 *
 *     umas_model_open -> umas_engine_create -> umas_engine_set_composition -> umas_engine_evaluate
 *
 * Units are eV and A throughout.  Every function that can fail returns a status and, where `error`
 * is not NULL, leaves a one-line message there.  Nothing here prints, exits or keeps state outside
 * its handles.  One engine may be used by one thread at a time; engines may share a model, which
 * must outlive them.
 */
#ifndef UMAS_H
#define UMAS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UMAS_VERSION "0.1.0"

/* Atomic numbers are 1..UMAS_ELEMENTS - 1; 0 marks an atom that takes no part. */
#define UMAS_ELEMENTS 119

typedef enum umas_status {
    UMAS_OK = 0,
    UMAS_ERROR_IO,            /* the file cannot be opened, read or mapped */
    UMAS_ERROR_NOT_CONVERTED, /* a PyTorch checkpoint: run umas-convert first */
    UMAS_ERROR_FORMAT,        /* not a model file, or a malformed header */
    UMAS_ERROR_VERSION,       /* a newer file format than this library reads */
    UMAS_ERROR_TRUNCATED,     /* the file is shorter than its header says */
    UMAS_ERROR_OVERSIZED,     /* the file is longer than its header says */
    UMAS_ERROR_DUPLICATE,     /* a tensor or field is given twice */
    UMAS_ERROR_TENSOR,        /* a tensor is missing or does not fit the declared architecture */
    UMAS_ERROR_CHECKSUM,      /* bits have changed since the file was written */
    UMAS_ERROR_NONFINITE,     /* a weight is NaN or infinite */
    UMAS_ERROR_UNSUPPORTED,   /* a valid model or option that this build cannot run */
    UMAS_ERROR_ARGUMENT,      /* task, charge, spin, element or option out of range */
    UMAS_ERROR_GEOMETRY,      /* non-finite positions, or atoms on top of each other */
    UMAS_ERROR_MEMORY,        /* host or device memory exhausted */
    UMAS_ERROR_DEVICE,        /* no usable GPU, or it failed */
    UMAS_ERROR_EXCHANGE,      /* another rank failed, or a callback of umas_exchange did */
    UMAS_ERROR_OVERFLOW       /* a result is not finite */
} umas_status;

typedef struct umas_error {
    umas_status status;
    char message[512]; /* one line, no newline at its end */
    int row[2];        /* rows of umas_atoms the message is about, or -1 */
} umas_error;

/* A short name of a status, for tests and logs: "truncated file" and the like. */
const char *umas_status_name(umas_status status);

/* Version of the library that is linked, as UMAS_VERSION. */
const char *umas_version(void);

/* Atomic number of an element symbol ("Si" -> 14), or 0 where there is no such element.  D and T
 * are hydrogen. */
int umas_element_number(const char *symbol);
/* Symbol of an atomic number 1..UMAS_ELEMENTS - 1, or "?". */
const char *umas_element_symbol(int number);
/* Its standard atomic weight, or the mass number of its longest-lived isotope where nature has none
 * to weigh, in g/mol; 0 where there is no such element. */
double umas_element_mass(int number);

/* ---- models ------------------------------------------------------------------------------- */

typedef struct umas_model umas_model;

typedef struct umas_architecture {
    int sphere_channels; /* C, channels of node features */
    int hidden_channels; /* H, channels between the two convolutions */
    int edge_channels;   /* channels of element embeddings on edges and of radial hidden layers */
    int layers;
    int lmax;               /* 2 */
    int mmax;               /* 1 or 2 */
    int distance_functions; /* Gaussians of the distance basis */
    int elements;           /* rows of the element embeddings: atomic numbers 0..elements - 1 */
    int experts;            /* 0: a dense model without routing */
    int routing_channels;   /* hidden width of the routing network; 0 when experts is 0 */
    int embeddings;         /* rows of the data-set embedding */
    int heads;              /* slots of the energy head */
    double cutoff;          /* A */
    int max_neighbors;      /* neighbours of an atom that count, the nearest ones; 0: all */
    int composition_counts_zero_row; /* UMA-S-1.2: the mean composition divides by N + 1 */
    int charge_channel[2]; /* scalar channels [first, end) balanced to the charge; equal: none */
    int spin_channel[2];   /* scalar channels [first, end) balanced to spin - 1; equal: none */
} umas_architecture;

typedef struct umas_task {
    char name[64];
    int embedding;                   /* row of the data-set embedding */
    int head;                        /* slot of the energy head */
    double rmsd;                     /* eV; energy = rmsd * network + references */
    double reference[UMAS_ELEMENTS]; /* eV per atom, by atomic number; NaN: an element that the
                                      * task has no energy for */
    int spin; /* multiplicity where none is given, as in fairchem: 1 for omol, 0 for others */
} umas_task;

/* Map and check the model file at `path` (safetensors as umas-convert writes it).  Every offset,
 * shape, size and checksum is verified before it returns.  The file stays open and is read again
 * later: it may be removed or replaced (mv), but not written to.  On success *model is owned by the
 * caller; on failure it is NULL.  Status: IO, NOT_CONVERTED, FORMAT, VERSION, TRUNCATED, OVERSIZED,
 * DUPLICATE, TENSOR, CHECKSUM, NONFINITE, UNSUPPORTED, MEMORY. */
umas_status umas_model_open(const char *path, umas_model **model, umas_error *error);
void umas_model_close(umas_model *model); /* NULL is allowed */

/* These live as long as the model. */
const umas_architecture *umas_model_architecture(const umas_model *model);
const char *umas_model_id(const umas_model *model);        /* "UMA-S-1.2.1" */
const char *umas_model_source(const umas_model *model);    /* name of the converted checkpoint */
const char *umas_model_sha256(const umas_model *model);    /* its SHA-256 in hexadecimal */
const char *umas_model_converter(const umas_model *model); /* program and version that wrote it */
int umas_model_is_random(const umas_model *model);         /* weights are random numbers */
int64_t umas_model_parameters(const umas_model *model);    /* numbers in all tensors */
int64_t umas_model_bytes(const umas_model *model);         /* size of the file */
/* A digest of the whole file, through its header, which has a checksum of every tensor: models with
 * the same digest give the same results.  For comparing what several processes have opened. */
uint64_t umas_model_digest(const umas_model *model);
/* One line, without a newline, that users of the model must see, or NULL. */
const char *umas_model_note(const umas_model *model);
/* Symbols of the elements that the weights were trained for ("O, Si"), or NULL where the file does
 * not say. */
const char *umas_model_trained_elements(const umas_model *model);
/* May a system hold this element?  It must be in the model's tables and, where the file lists
 * them, among those that the weights were trained for. */
int umas_model_has_element(const umas_model *model, int number);
int umas_model_task_count(const umas_model *model);
const umas_task *umas_model_task(const umas_model *model, int index);
/* The task of this name, or NULL. */
const umas_task *umas_model_find_task(const umas_model *model, const char *name);

/* ---- engines ------------------------------------------------------------------------------ */

typedef enum umas_precision { UMAS_DOUBLE, UMAS_SINGLE, UMAS_MIXED } umas_precision;
typedef enum umas_backend { UMAS_CPU, UMAS_CUDA } umas_backend;

/* Is this backend compiled into the library?  (It may still find no device.) */
int umas_backend_built(umas_backend backend);
/* GPUs that are visible to the CUDA engine; 0 without driver, GPU or CUDA engine. */
int umas_device_count(void);

#define UMAS_DEVICE_ID 40 /* characters of a device's identity, its end included */

/* The identity of GPU `device`, 0 <= device < umas_device_count(): a text that is the same in every
 * process that sees this card, whatever its number there.  Returns 1, or 0 and an empty text where
 * there is no such GPU. */
int umas_device_id(int device, char id[UMAS_DEVICE_ID]);

/* Rows that travel at once between this rank and its peers, in host memory. */
typedef struct umas_swap {
    int peers;
    const int *peer;       /* [peers] their ranks */
    size_t row_bytes;      /* of one row, the same on all ranks */
    const void *send;      /* [send_first[peers]] rows; peer p gets those from send_first[p] on */
    const int *send_first; /* [peers + 1] */
    void *receive;         /* [receive_first[peers]] rows, ordered likewise */
    const int *receive_first; /* [peers + 1] */
} umas_swap;

/* What an engine asks of other ranks.  All ranks call in the same order, also those without atoms
 * or peers.  Each returns 0, or anything else for failure; after a failure no other is called. */
typedef struct umas_exchange {
    void *context;
    int rank, ranks;
    /* Send rows to the peers and receive theirs: what this rank sends to a peer is as long as what
     * the peer receives from it. */
    int (*swap)(void *context, const umas_swap *rows);
    /* Replace each value by its sum over ranks, the same bits on all of them. */
    int (*sum)(void *context, double *values, int count);
    /* Collect `bytes` from every rank: all [ranks][bytes]. */
    int (*gather)(void *context, const void *mine, void *all, size_t bytes);
} umas_exchange;

/* How a CUDA engine's rows come to other ranks: straight between GPUs by NCCL, through host memory
 * and the callbacks, or by NCCL where it can be had. */
typedef enum umas_transport {
    UMAS_TRANSPORT_AUTO,
    UMAS_TRANSPORT_NCCL,
    UMAS_TRANSPORT_HOST
} umas_transport;

typedef struct umas_engine umas_engine;

#define UMAS_SPIN_OF_TASK (-1) /* what umas_task.spin says */

typedef struct umas_engine_options {
    umas_backend backend;
    umas_precision precision;
    const char *task; /* name of one of the model's tasks */
    int charge;       /* -100..100, of the whole system */
    int spin;   /* 0 (unspecified) .. 100, multiplicity of the whole system; UMAS_SPIN_OF_TASK */
    int device; /* CUDA: index, or -1 for automatic; CPU: ignored */
    double memory_fraction;        /* CUDA: share of the free memory to use, 0 < fraction <= 1 */
    const umas_exchange *exchange; /* copied; NULL for one rank */
    umas_transport transport;      /* CUDA with an exchange, the same on all ranks */
} umas_engine_options;

/* Options as a deck without keywords means them: task NULL (to be set), charge 0, spin
 * UMAS_SPIN_OF_TASK. */
umas_engine_options umas_engine_default_options(void);

/* On success *engine is owned by the caller.  With an exchange every rank calls, and an engine is
 * made on all of them or on none (as umas_engine_evaluate).
 * Status: ARGUMENT, UNSUPPORTED, MEMORY, DEVICE, EXCHANGE. */
umas_status umas_engine_create(const umas_model *model, const umas_engine_options *options,
                               umas_engine **engine, umas_error *error);
void umas_engine_destroy(umas_engine *engine); /* NULL is allowed */

/* One line for a log: where the engine runs and how it cut the last evaluation, memory included. */
void umas_engine_describe(const umas_engine *engine, char *text, size_t size);

/* Bytes of host and device memory that the engine holds at present, without the model's. */
int64_t umas_engine_bytes(const umas_engine *engine);

/* Tell the number of atoms of every element in the whole system, all ranks together.
 * counts [UMAS_ELEMENTS], counts[0] ignored.  Merges the experts when the reduced composition
 * changed.  Status: ARGUMENT (element that umas_model_has_element denies), IO (the model file was
 * written to since it was opened), MEMORY, DEVICE. */
umas_status umas_engine_set_composition(umas_engine *engine, const int64_t *counts,
                                        umas_error *error);

/* Which rows of feature arrays travel between this rank and others.  Features go straight from the
 * rank that owns an atom to the ranks that need them, and gradients go back the same way. */
typedef struct umas_row_plan {
    int peers;             /* ranks that rows go to or come from */
    const int *peer;       /* [peers] ascending */
    const int *send_first; /* [peers + 1] */
    const int
        *send_row; /* [send_first[peers]] owned rows; peer p gets those from send_first[p] on */
    const int *receive_first; /* [peers + 1] rows of peer p begin at owned + receive_first[p]; they
                               * are in the order in which the peer sends them */
} umas_row_plan;

/* The atoms a rank works on: `owned` ones first, then ghosts (periodic images and atoms of other
 * ranks).  The features of a ghost that is an image of an owned atom are that atom's; all images of
 * an atom of another rank share one row behind the owned ones. */
typedef struct umas_atoms {
    int owned;              /* atoms whose energy this rank computes */
    int total;              /* owned + ghosts */
    int nodes;              /* owned + atoms of other ranks: rows of feature arrays */
    const int *element;     /* [total] atomic number, 0 for none */
    const double *position; /* [total][3] A */
    /* [total] row of the features: i for owned i, -1 for a ghost that is no candidate; NULL when
     * total = owned */
    const int *node;
    const umas_row_plan *rows; /* NULL on one rank */
    /* Candidates: every ghost or owned atom within the cutoff of owned atom i (more may be listed;
     * i itself may not) is neighbour[first[i] .. first[i + 1]). */
    const int64_t *first; /* [owned + 1] */
    const int *neighbour; /* [first[owned]] */
    int list_changed;     /* 0: all but the positions is as in the last call, even if that failed */
} umas_atoms;

typedef struct umas_result {
    double energy;       /* eV, of the owned atoms, rmsd and element references included */
    double virial[6];    /* eV, xx yy zz xy xz yz: sum of r f over the edges into owned atoms */
    int64_t edges;       /* of the graph, into owned atoms */
    int crowded;         /* owned atoms with more neighbours than max_neighbors */
    double *force;       /* [total][3] eV/A, overwritten; ghosts' parts belong to their owners */
    double *atom_energy; /* [owned] eV, or NULL */
    double *atom_virial; /* [total][6] eV, or NULL: half of each edge's share to each end */
} umas_result;

/* Energy, forces and virial at these positions.  Every rank calls.  The caller owns all arrays.
 * It succeeds on all ranks or on none: where others failed, the status is EXCHANGE.  The one
 * exception is DEVICE, a GPU that fails in the middle of a step: the other ranks may wait for it,
 * so that the caller must end the whole program.
 * Status: ARGUMENT, GEOMETRY, MEMORY, DEVICE, EXCHANGE, OVERFLOW. */
umas_status umas_engine_evaluate(umas_engine *engine, const umas_atoms *atoms, umas_result *result,
                                 umas_error *error);

/* ---- where the time goes ------------------------------------------------------------------ */

/* A stage of a step: all its calls together. */
typedef struct umas_stage_time {
    char name[48]; /* fairchem's name, _forward or _backward; "... products": its matrix products */
    int calls;
    double milliseconds;
    double bytes;      /* that must be moved: arrays read and written once */
    double operations; /* of matrix products, a multiply-add counting as two */
    int beside;        /* 1: it runs beside other stages, and its time is not in their sum */
} umas_stage_time;

#define UMAS_MOST_STAGES 64 /* a step has no more */

/* Evaluate as umas_engine_evaluate does, then once more with a clock on every stage.  Every rank
 * calls and gets its own stages: `stages` [capacity], of which *count are filled, in the order of
 * their first calls.  A stage ends where the next one begins, so that their times add up to the
 * time of the step on the GPU; those that run beside others, rows on their way to other ranks, are
 * not part of it.  Steps that are not timed launch all stages at once and are a little faster.
 * Status: as umas_engine_evaluate, UNSUPPORTED (the CPU engine), ARGUMENT (capacity too small). */
umas_status umas_engine_profile(umas_engine *engine, const umas_atoms *atoms, umas_result *result,
                                umas_stage_time *stages, int capacity, int *count,
                                umas_error *error);

/* What the engine's device can do, as umas_engine_device_rates measures it. */
typedef struct umas_device_rates {
    double copy;     /* bytes/s of a copy of 1 GiB within its memory, read and written */
    double products; /* operations/s of a large matrix product in the engine's precision:
                      * 16-bit factors (mixed) or 32-bit ones (single), single sums */
} umas_device_rates;

/* Measures the rates; it takes 2 GiB of the device's memory meanwhile.  Status: UNSUPPORTED on the
 * CPU, MEMORY, DEVICE. */
umas_status umas_engine_device_rates(umas_engine *engine, umas_device_rates *rates,
                                     umas_error *error);

#ifdef __cplusplus
}
#endif

#endif
