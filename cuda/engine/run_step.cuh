/* A step from a caller's atoms to its results, in the parts of umas_engine_operations. */
#ifndef UMAS_RUN_STEP_CUH
#define UMAS_RUN_STEP_CUH

#include "engine/cuda_engine.cuh"

/* The gradients' scale at first, in mixed: 2^-4 of it and less are tried where they overflow. */
constexpr float FIRST_SCALE = 4096.0f;

/* Until the stream has done what is queued.  Status: DEVICE, MEMORY. */
template <typename S> umas_status wait_for(cuda_engine<S> &e, umas_error *error);

/* `prepare` and `run` of umas_engine_operations. */
template <typename S>
umas_status prepare_step(void *self, const umas_atoms *atoms, int64_t system_atoms, int repeat,
                         umas_error *error);
template <typename S>
umas_status run_step(void *self, const umas_atoms *atoms, umas_result *result, int *repeat,
                     umas_error *error);

#endif
