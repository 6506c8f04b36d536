/* What the CPU and the CUDA engine have in common: the interface through which engine.c drives
 * them. */
#ifndef UMAS_ENGINE_H
#define UMAS_ENGINE_H

#include "engine/ranks.h"
#include "umas.h"

/* The checked part of umas_engine_options; `model` and `task` outlive the engine. */
typedef struct umas_engine_setup {
    const umas_model *model;
    const umas_task *task;
    int charge, spin;
    const umas_exchange *exchange; /* NULL for one rank */
    umas_transport transport;
} umas_engine_setup;

typedef struct umas_engine_operations {
    /* counts [UMAS_ELEMENTS] of the whole system, checked, divided by what they have in common */
    umas_status (*merge)(void *self, const int64_t *counts, umas_error *error);
    /* Take over this rank's atoms and make room for their step.  Calls no other rank.  repeat: why
     * the last step is done again (bits of umas_repeat), 0 the first time. */
    umas_status (*prepare)(void *self, const umas_atoms *atoms, int64_t system_atoms, int repeat,
                           umas_error *error);
    /* Do the step that was prepared, together with the other ranks; result holds zeros.  *repeat:
     * why this rank wants to do it again.  After EXCHANGE and DEVICE other ranks may be waiting for
     * this one; after any other failure this rank has met the others in all exchanges. */
    umas_status (*step)(void *self, const umas_atoms *atoms, umas_result *result, int *repeat,
                        umas_error *error);
    /* one line without a newline: where it runs and how, after an evaluation */
    void (*describe)(const void *self, char *text, size_t size);
    size_t (*bytes)(const void *self); /* that it holds, on the host and on a device */
    /* Time the stages of the last evaluation, done once more; NULL where that is not supported,
     * like the next.  atom_virial: whether it had one. */
    umas_status (*profile)(void *self, int atom_virial, umas_stage_time *stages, int capacity,
                           int *count, umas_error *error);
    umas_status (*device_rates)(void *self, umas_device_rates *rates, umas_error *error);
    void (*destroy)(void *self);
} umas_engine_operations;

/* Each leaves an engine in *self and its operations in *operations. */
umas_status umas_cpu_engine_create_f64(const umas_engine_setup *setup, void **self,
                                       const umas_engine_operations **operations,
                                       umas_error *error);
umas_status umas_cpu_engine_create_f32(const umas_engine_setup *setup, void **self,
                                       const umas_engine_operations **operations,
                                       umas_error *error);

#endif
