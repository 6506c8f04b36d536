/* What is said where the run-time or the host's memory fails. */
#ifndef UMAS_DEVICE_ERROR_CUH
#define UMAS_DEVICE_ERROR_CUH

#include <cuda_runtime.h>

#include "core_c.h"

/* A failed call of the run-time as an error of ours.  Status: MEMORY, DEVICE. */
inline umas_status device_error(umas_error *error, const char *what, cudaError_t status) {
    return umas_fail(error,
                     status == cudaErrorMemoryAllocation ? UMAS_ERROR_MEMORY : UMAS_ERROR_DEVICE,
                     "%s: %s", what, cudaGetErrorString(status));
}

inline umas_status no_memory(umas_error *error) {
    return umas_fail(error, UMAS_ERROR_MEMORY, "no host memory for the engine");
}

#endif
