/* The caller's CUDA state, which an engine leaves as it found it: the program may use GPUs of its
 * own, and other engines on other GPUs. */
#ifndef UMAS_DEVICE_GUARD_CUH
#define UMAS_DEVICE_GUARD_CUH

#include <cudaTypedefs.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

/* The driver's functions that tell and set this thread's context; NULL without a driver.  Setting a
 * device again in its place would make a context on it where the caller had none. */
struct context_functions {
    PFN_cuCtxGetCurrent_v4000 get = nullptr;
    PFN_cuCtxSetCurrent_v4000 set = nullptr;

    context_functions() {
        void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
        if (!driver) return;
        get = reinterpret_cast<PFN_cuCtxGetCurrent_v4000>(dlsym(driver, "cuCtxGetCurrent"));
        set = reinterpret_cast<PFN_cuCtxSetCurrent_v4000>(dlsym(driver, "cuCtxSetCurrent"));
    }
};

/* Stands at the top of every function that callers of the engine call.  An error that the caller's
 * own CUDA calls left behind is none of the engine's and is dropped; so is, at the end, one of the
 * engine's: its status tells. */
class device_guard {
  public:
    device_guard() {
        if (cudaGetDevice(&device_) != cudaSuccess) device_ = -1;
        if (driver().get) driver().get(&context_);
        (void)cudaGetLastError();
    }
    ~device_guard() {
        int device = -1;
        const bool changed = cudaGetDevice(&device) == cudaSuccess && device != device_;
        if (changed && context_ && device_ >= 0) cudaSetDevice(device_);
        if (driver().set) driver().set(context_);
        (void)cudaGetLastError();
    }
    device_guard(const device_guard &) = delete;
    device_guard &operator=(const device_guard &) = delete;

    cudaError_t enter(int device) const { return cudaSetDevice(device); }

  private:
    int device_ = -1;
    CUcontext context_ = nullptr;

    static const context_functions &driver() {
        static const context_functions functions;
        return functions;
    }
};

#endif
