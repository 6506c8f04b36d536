/* The engine that callers of umas.h see: it checks what the caller asks, merges experts when the
 * composition changes, and drives one of two backends, CPU or CUDA, through engine/engine.h. */
#include "engine/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model_file/model.h"
#include "status.h"

#ifdef UMAS_WITH_CUDA
#include "engine/cuda_backend.h"
#endif

struct umas_engine {
    const umas_model *model;
    umas_exchange exchange;
    umas_engine_setup setup;
    const umas_engine_operations *operations;
    void *backend;
    int merged; /* `reduced` is what the backend's weights were merged for */
    int64_t reduced[UMAS_ELEMENTS];
    int64_t system_atoms; /* -1: not told yet */
    int list_taken;       /* the backend has evaluated the list of the last call */
};

#ifdef UMAS_WITH_CUDA
int umas_backend_built(umas_backend backend) { return backend == UMAS_CPU || backend == UMAS_CUDA; }
int umas_device_count(void) { return umas_cuda_device_count(); }

int umas_device_id(int device, char id[UMAS_DEVICE_ID]) {
    id[0] = '\0';
    return umas_cuda_device_id(device, id);
}
#else
int umas_backend_built(umas_backend backend) { return backend == UMAS_CPU; }
int umas_device_count(void) { return 0; }

int umas_device_id(int device, char id[UMAS_DEVICE_ID]) {
    (void)device;
    id[0] = '\0';
    return 0;
}
#endif

umas_engine_options umas_engine_default_options(void) {
    umas_engine_options options = {
        UMAS_CPU, UMAS_DOUBLE, NULL, 0, UMAS_SPIN_OF_TASK, -1, 0.9, NULL, UMAS_TRANSPORT_AUTO};
    return options;
}

static umas_status check_options(const umas_model *model, const umas_engine_options *o,
                                 umas_error *error) {
    if (!umas_backend_built(o->backend))
        return umas_fail(error, UMAS_ERROR_UNSUPPORTED,
                         "this build has no CUDA engine; use the CPU engine");
    if (o->backend == UMAS_CPU && o->precision != UMAS_DOUBLE && o->precision != UMAS_SINGLE)
        return umas_fail(error, UMAS_ERROR_UNSUPPORTED,
                         "the CPU engine runs in double or single precision, not mixed");
    if (o->backend == UMAS_CUDA && o->precision != UMAS_MIXED && o->precision != UMAS_SINGLE)
        return umas_fail(error, UMAS_ERROR_UNSUPPORTED,
                         "the CUDA engine runs in mixed or single precision, not double");
    if (o->backend == UMAS_CUDA && !(o->memory_fraction > 0 && o->memory_fraction <= 1))
        return umas_fail(error, UMAS_ERROR_ARGUMENT, "memory fraction %g is outside 0..1",
                         o->memory_fraction);
    if (!o->task || !umas_model_find_task(model, o->task))
        return umas_fail(error, UMAS_ERROR_ARGUMENT, "the model has no task '%s'",
                         o->task ? o->task : "");
    if (o->charge < -100 || o->charge > 100)
        return umas_fail(error, UMAS_ERROR_ARGUMENT, "charge %d is outside -100..100", o->charge);
    if (o->spin != UMAS_SPIN_OF_TASK && (o->spin < 0 || o->spin > 100))
        return umas_fail(error, UMAS_ERROR_ARGUMENT, "spin %d is outside 0..100", o->spin);
    return UMAS_OK;
}

static umas_status create_backend(umas_engine *e, const umas_engine_options *o, umas_error *error) {
#ifdef UMAS_WITH_CUDA
    if (o->backend == UMAS_CUDA)
        return umas_cuda_engine_create(&e->setup, o->precision, o->device, o->memory_fraction,
                                       &e->backend, &e->operations, error);
#endif
    const umas_status status =
        o->precision == UMAS_DOUBLE
            ? umas_cpu_engine_create_f64(&e->setup, &e->backend, &e->operations, error)
            : umas_cpu_engine_create_f32(&e->setup, &e->backend, &e->operations, error);
    return umas_ranks_vote(e->setup.exchange, status, NULL, error);
}

umas_status umas_engine_create(const umas_model *model, const umas_engine_options *options,
                               umas_engine **engine, umas_error *error) {
    *engine = NULL;
    umas_status status = check_options(model, options, error);
    if (status != UMAS_OK) return status;
    umas_engine *e = calloc(1, sizeof *e);
    if (!e) return umas_fail(error, UMAS_ERROR_MEMORY, "no memory for an engine");
    e->model = model;
    e->system_atoms = -1;
    if (options->exchange) e->exchange = *options->exchange;
    const umas_task *task = umas_model_find_task(model, options->task);
    const int spin = options->spin == UMAS_SPIN_OF_TASK ? task->spin : options->spin;
    e->setup = (umas_engine_setup){model,
                                   task,
                                   options->charge,
                                   spin,
                                   options->exchange ? &e->exchange : NULL,
                                   options->transport};
    status = create_backend(e, options, error);
    if (status == UMAS_OK)
        *engine = e;
    else {
        if (e->backend) e->operations->destroy(e->backend);
        free(e);
    }
    return status;
}

void umas_engine_destroy(umas_engine *engine) {
    if (!engine) return;
    engine->operations->destroy(engine->backend);
    free(engine);
}

void umas_engine_describe(const umas_engine *engine, char *text, size_t size) {
    engine->operations->describe(engine->backend, text, size);
}

int64_t umas_engine_bytes(const umas_engine *engine) {
    return (int64_t)(sizeof *engine + engine->operations->bytes(engine->backend));
}

static int64_t common_divisor(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Merged weights depend on the proportions of the elements only, docs/model.md (9), so counts are
 * divided by what they have in common; but not for the release that divides by N + 1. */
static void reduce(const umas_architecture *a, const int64_t *counts, int64_t *reduced) {
    int64_t divisor = 0;
    for (int z = 1; z < UMAS_ELEMENTS; z++) divisor = common_divisor(divisor, counts[z]);
    if (a->composition_counts_zero_row || divisor == 0) divisor = 1;
    reduced[0] = 0;
    for (int z = 1; z < UMAS_ELEMENTS; z++) reduced[z] = counts[z] / divisor;
}

umas_status umas_engine_set_composition(umas_engine *engine, const int64_t *counts,
                                        umas_error *error) {
    const umas_architecture *a = umas_model_architecture(engine->model);
    int64_t reduced[UMAS_ELEMENTS], atoms = 0;
    for (int z = 1; z < UMAS_ELEMENTS; z++) {
        if (counts[z] < 0)
            return umas_fail(error, UMAS_ERROR_ARGUMENT, "negative number of %s atoms",
                             umas_element_symbol(z));
        if (counts[z] > 0 && z >= a->elements)
            return umas_fail(error, UMAS_ERROR_ARGUMENT,
                             "element %s is not in the model, which ends at atomic number %d",
                             umas_element_symbol(z), a->elements - 1);
        if (counts[z] > 0 && !umas_model_has_element(engine->model, z))
            return umas_fail(error, UMAS_ERROR_ARGUMENT,
                             "element %s (atomic number %d) is not one of those that this model "
                             "was trained for: %s",
                             umas_element_symbol(z), z, umas_model_trained_elements(engine->model));
        if (counts[z] > 0 && isnan(engine->setup.task->reference[z]))
            return umas_fail(error, UMAS_ERROR_ARGUMENT,
                             "task '%s' of this model has no energy for element %s (atomic number "
                             "%d); use another task",
                             engine->setup.task->name, umas_element_symbol(z), z);
        atoms += counts[z];
    }
    engine->system_atoms = -1;
    reduce(a, counts, reduced);
    if (atoms > 0 && !(engine->merged && !memcmp(reduced, engine->reduced, sizeof reduced))) {
        engine->merged = 0;
        umas_status status = umas_model_unchanged(engine->model, error);
        if (status == UMAS_OK) status = engine->operations->merge(engine->backend, reduced, error);
        if (status == UMAS_OK) status = umas_model_unchanged(engine->model, error);
        if (status != UMAS_OK) return status;
        memcpy(engine->reduced, reduced, sizeof reduced);
        engine->merged = 1;
    }
    engine->system_atoms = atoms;
    return UMAS_OK;
}

static void clear(const umas_atoms *atoms, umas_result *r) {
    r->energy = 0;
    r->edges = 0;
    r->crowded = 0;
    memset(r->virial, 0, sizeof r->virial);
    memset(r->force, 0, 3 * (size_t)atoms->total * sizeof *r->force);
    if (r->atom_energy) memset(r->atom_energy, 0, atoms->owned * sizeof *r->atom_energy);
    if (r->atom_virial)
        memset(r->atom_virial, 0, 6 * (size_t)atoms->total * sizeof *r->atom_virial);
}

static umas_status check_finite(const umas_atoms *atoms, const umas_result *r, umas_error *error) {
    int finite = isfinite(r->energy);
    for (int i = 0; i < 6; i++) finite = finite && isfinite(r->virial[i]);
    if (!finite)
        return umas_fail(error, UMAS_ERROR_OVERFLOW, "the energy or the virial is not finite");
    for (int i = 0; i < atoms->total; i++) {
        const double *f = r->force + 3 * (int64_t)i;
        if (!isfinite(f[0]) || !isfinite(f[1]) || !isfinite(f[2]))
            return umas_fail_rows(error, UMAS_ERROR_OVERFLOW, i, -1, "a force is not finite");
    }
    return UMAS_OK;
}

static umas_status check_elements(const umas_engine *engine, const umas_atoms *atoms,
                                  umas_error *error) {
    for (int i = 0; i < atoms->total; i++) {
        int z = atoms->element[i];
        if (z == 0 || (z > 0 && z < UMAS_ELEMENTS && engine->reduced[z] > 0)) continue;
        return umas_fail_rows(error, UMAS_ERROR_ARGUMENT, i, -1,
                              "an atom's element (atomic number %d) is not in the composition", z);
    }
    return UMAS_OK;
}

/* The protocol of ranks.h.  A neighbour list that this call does not get to evaluate counts as
 * changed in the next call, too. */
static umas_status evaluate(umas_engine *engine, const umas_atoms *atoms, umas_result *result,
                            umas_error *error) {
    const umas_exchange *exchange = engine->setup.exchange;
    umas_atoms given = *atoms;
    int repeat = UMAS_REPEAT_NOT;
    given.list_changed = atoms->list_changed || !engine->list_taken;
    engine->list_taken = 0;
    umas_status status = check_elements(engine, atoms, error);
    do {
        if (status == UMAS_OK)
            status = engine->operations->prepare(engine->backend, &given, engine->system_atoms,
                                                 repeat, error);
        status = umas_ranks_vote(exchange, status, NULL, error);
        if (status != UMAS_OK) return status;
        repeat = UMAS_REPEAT_NOT;
        status = engine->operations->step(engine->backend, &given, result, &repeat, error);
        if (status == UMAS_ERROR_EXCHANGE || status == UMAS_ERROR_DEVICE) return status;
        if (status == UMAS_OK && !repeat) status = check_finite(atoms, result, error);
        status = umas_ranks_vote(exchange, status, &repeat, error);
    } while (status == UMAS_OK && repeat);
    engine->list_taken = status == UMAS_OK;
    return status;
}

umas_status umas_engine_evaluate(umas_engine *engine, const umas_atoms *atoms, umas_result *result,
                                 umas_error *error) {
    if (atoms->list_changed) engine->list_taken = 0;
    if (engine->system_atoms < 0)
        return umas_fail(error, UMAS_ERROR_ARGUMENT,
                         "umas_engine_set_composition must succeed before an evaluation");
    clear(atoms, result);
    if (engine->system_atoms == 0) return UMAS_OK;
    return evaluate(engine, atoms, result, error);
}

umas_status umas_engine_profile(umas_engine *engine, const umas_atoms *atoms, umas_result *result,
                                umas_stage_time *stages, int capacity, int *count,
                                umas_error *error) {
    *count = 0;
    if (!engine->operations->profile)
        return umas_fail(error, UMAS_ERROR_UNSUPPORTED,
                         "the CPU engine does not time its stages; use the CUDA engine");
    umas_status status = umas_engine_evaluate(engine, atoms, result, error);
    if (status != UMAS_OK || engine->system_atoms == 0) return status;
    return engine->operations->profile(engine->backend, result->atom_virial != NULL, stages,
                                       capacity, count, error);
}

umas_status umas_engine_device_rates(umas_engine *engine, umas_device_rates *rates,
                                     umas_error *error) {
    if (!engine->operations->device_rates)
        return umas_fail(error, UMAS_ERROR_UNSUPPORTED,
                         "the CPU engine does not measure its processor; use the CUDA engine");
    return engine->operations->device_rates(engine->backend, rates, error);
}
