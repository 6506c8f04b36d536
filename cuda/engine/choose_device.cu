/* Which GPU an engine runs on: what is visible, what is new enough, and what tells one card from
 * another. */
#include "engine/choose_device.cuh"

#include <cstdio>

#include "engine/cuda_backend.h"
#include "engine/device_error.cuh"
#include "engine/device_guard.cuh"

umas_status choose_device(int wanted, int *device, umas_error *error) {
    int devices = 0, driver = 0;
    cudaError_t status = cudaGetDeviceCount(&devices);
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
        return umas_fail(
            error, UMAS_ERROR_DEVICE,
            "no NVIDIA driver is loaded on this machine; use the CPU engine (pair style umas)");
    if (status == cudaErrorInsufficientDriver)
        return umas_fail(error, UMAS_ERROR_DEVICE,
                         "the NVIDIA driver is older than CUDA %d.%d needs; update it",
                         CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    if (status != cudaSuccess || devices == 0)
        return umas_fail(error, UMAS_ERROR_DEVICE, "no NVIDIA GPU is visible (%s)",
                         status == cudaSuccess ? "none found" : cudaGetErrorString(status));
    if (wanted >= devices)
        return umas_fail(error, UMAS_ERROR_DEVICE, "there is no device %d; %d visible", wanted,
                         devices);
    *device = wanted < 0 ? 0 : wanted;
    status = cudaSetDevice(*device);
    if (status == cudaSuccess) status = cudaFree(nullptr); /* takes hold of the device */
    if (status != cudaSuccess) return device_error(error, "the GPU cannot be used", status);
    cudaDeviceProp properties;
    status = cudaGetDeviceProperties(&properties, *device);
    if (status != cudaSuccess) return device_error(error, "asking about the GPU", status);
    if (properties.major < 8)
        return umas_fail(error, UMAS_ERROR_DEVICE,
                         "%s has compute capability %d.%d; 8.0 or newer is needed", properties.name,
                         properties.major, properties.minor);
    return UMAS_OK;
}

int umas_cuda_device_count(void) {
    const device_guard guard;
    int devices = 0;
    return cudaGetDeviceCount(&devices) == cudaSuccess ? devices : 0;
}

/* The UUID: a slice of a card (MIG) has one of its own, as it has memory of its own. */
int umas_cuda_device_id(int device, char id[UMAS_DEVICE_ID]) {
    cudaDeviceProp properties;
    if (device < 0 || cudaGetDeviceProperties(&properties, device) != cudaSuccess) return 0;
    static_assert(2 * sizeof(properties.uuid.bytes) < UMAS_DEVICE_ID, "two digits a byte");
    for (size_t i = 0; i < sizeof(properties.uuid.bytes); i++)
        std::snprintf(id + 2 * i, 3, "%02x", properties.uuid.bytes[i] & 0xff);
    return 1;
}
