/* A caller's atoms on their way to the device. */
#ifndef UMAS_STEP_INPUT_CUH
#define UMAS_STEP_INPUT_CUH

#include "engine/cuda_engine.cuh"

/* Elements, rows and candidates, which change with the list; they have arrived on return. */
template <typename S> void upload_list(cuda_engine<S> &e, const umas_atoms *atoms);
/* Positions, which are queued on the engine's stream.  Status: GEOMETRY. */
template <typename S>
umas_status upload_positions(cuda_engine<S> &e, const umas_atoms *atoms, umas_error *error);
/* Do the buffers that the input goes through suffice as they are? */
template <typename S> bool input_fits(const cuda_engine<S> &e, const umas_atoms *atoms);

#endif
