/* cuBLAS opened at run time, and the two products that are asked of it (cublas.cuh). */
#include "products/cublas.cuh"

#include <cublas_v2.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <new>
#include <type_traits>

#include "core_c.h"

/* cublasGemmEx as the library exports it; the header overloads the name in C++. */
using gemm_function = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int,
                                         int, int, const void *, const void *, cudaDataType, int,
                                         const void *, cudaDataType, int, const void *, void *,
                                         cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);

struct product_library {
    void *file;
    cublasHandle_t handle;
    void *workspace;
    decltype(&cublasCreate_v2) create;
    decltype(&cublasDestroy_v2) destroy;
    decltype(&cublasSetStream_v2) set_stream;
    decltype(&cublasSetWorkspace_v2) set_workspace;
    gemm_function gemm;
};

namespace {

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
const char *const LIBRARY_NAME = "libcublas.so." TEXT(CUBLAS_VER_MAJOR);

template <typename F> bool find(void *file, const char *name, F &function) {
    function = reinterpret_cast<F>(dlsym(file, name));
    return function != nullptr;
}

bool load(product_library *l) {
    l->file = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);
#ifdef UMAS_CUDA_LIBRARY_DIR
    if (!l->file)
        l->file = dlopen((UMAS_CUDA_LIBRARY_DIR "/libcublas.so." TEXT(CUBLAS_VER_MAJOR)),
                         RTLD_NOW | RTLD_LOCAL);
#endif
    return l->file && find(l->file, "cublasCreate_v2", l->create) &&
           find(l->file, "cublasDestroy_v2", l->destroy) &&
           find(l->file, "cublasSetStream_v2", l->set_stream) &&
           find(l->file, "cublasSetWorkspace_v2", l->set_workspace) &&
           find(l->file, "cublasGemmEx", l->gemm);
}

template <typename S> constexpr cudaDataType type_of() {
    return std::is_same<S, __half>::value ? CUDA_R_16F : CUDA_R_32F;
}

} // namespace

umas_status products_open(cudaStream_t stream, product_library **library, umas_error *error) {
    *library = new (std::nothrow) product_library();
    if (!*library) return umas_fail(error, UMAS_ERROR_MEMORY, "no memory for cuBLAS");
    product_library *l = *library;
    if (!load(l)) {
        products_close(l);
        *library = nullptr;
        return umas_fail(error, UMAS_ERROR_DEVICE,
                         "cannot open %s; put the CUDA run-time libraries on LD_LIBRARY_PATH, or, "
                         "for umas from pip, pip install 'umas[gpu]'",
                         LIBRARY_NAME);
    }
    if (cudaMalloc(&l->workspace, PRODUCT_WORKSPACE) != cudaSuccess) {
        (void)cudaGetLastError();
        products_close(l);
        *library = nullptr;
        return umas_fail(error, UMAS_ERROR_MEMORY, "no GPU memory for cuBLAS");
    }
    if (l->create(&l->handle) != CUBLAS_STATUS_SUCCESS ||
        l->set_stream(l->handle, stream) != CUBLAS_STATUS_SUCCESS ||
        l->set_workspace(l->handle, l->workspace, PRODUCT_WORKSPACE) != CUBLAS_STATUS_SUCCESS) {
        products_close(l);
        *library = nullptr;
        return umas_fail(error, UMAS_ERROR_DEVICE, "cuBLAS cannot be started on this GPU");
    }
    return UMAS_OK;
}

void products_close(product_library *library) {
    if (!library) return;
    if (library->handle) library->destroy(library->handle);
    cudaFree(library->workspace);
    /* the file stays open: closing a CUDA library takes its state from other users of it */
    delete library;
}

/* cuBLAS is column-major: row-major c = a w^T is its c^T = w a^T. */
template <typename S>
bool product_nt(product_library *library, const product &p, const S *a, const S *w, S *c) {
    if (p.rows == 0) return true;
    const float one = 1, zero = 0;
    return library->gemm(library->handle, CUBLAS_OP_T, CUBLAS_OP_N, p.n, p.rows, p.k, &one, w,
                         type_of<S>(), p.k, a, type_of<S>(), p.lda, &zero, c, type_of<S>(), p.ldc,
                         CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS;
}

template <typename S>
bool product_nn(product_library *library, const product &p, const S *a, const S *w, S *c) {
    if (p.rows == 0) return true;
    const float one = 1, zero = 0;
    return library->gemm(library->handle, CUBLAS_OP_N, CUBLAS_OP_N, p.k, p.rows, p.n, &one, w,
                         type_of<S>(), p.k, a, type_of<S>(), p.lda, &zero, c, type_of<S>(), p.ldc,
                         CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS;
}

#define INSTANTIATE(S)                                                                          \
    template bool product_nt<S>(product_library *, const product &, const S *, const S *, S *); \
    template bool product_nn<S>(product_library *, const product &, const S *, const S *, S *);
INSTANTIATE(__half)
INSTANTIATE(float)
