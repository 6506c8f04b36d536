/* What core/engine/engine.c calls of the CUDA engine, in builds that have one. */
#ifndef UMAS_CUDA_BACKEND_H
#define UMAS_CUDA_BACKEND_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* precision: SINGLE or MIXED; device: -1 for the first.  Status: DEVICE, MEMORY, UNSUPPORTED. */
umas_status umas_cuda_engine_create(const umas_engine_setup *setup, umas_precision precision,
                                    int device, double memory_fraction, void **self,
                                    const umas_engine_operations **operations, umas_error *error);

/* Visible GPUs. */
int umas_cuda_device_count(void);

/* As umas_device_id, but a missing GPU leaves `id` as it was. */
int umas_cuda_device_id(int device, char id[UMAS_DEVICE_ID]);

#ifdef __cplusplus
}
#endif

#endif
