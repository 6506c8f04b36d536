/* Matrix products over edges through cuBLAS, docs/model.md (17), (18), (33) and the last layer of
 * (12), in `single` and on GPUs other than Hopper's.  cuBLAS is opened by the first engine that
 * needs it, so that the library loads on machines without it.  Factors are of type S, sums fp32. */
#ifndef UMAS_CUBLAS_CUH
#define UMAS_CUBLAS_CUH

#include "device.cuh"
#include "umas.h"

struct product_library;

/* Bytes of device memory that an open library holds. */
constexpr size_t PRODUCT_WORKSPACE = size_t(64) << 20;

/* Status: DEVICE, MEMORY. */
umas_status products_open(cudaStream_t stream, product_library **library, umas_error *error);
void products_close(product_library *library);

/* Products of row-major matrices with fp32 sums; lda, ldc: numbers from a row to the next. */
struct product {
    int rows, n, k;
    int lda, ldc;
};

/* c [rows][n] = a [rows][k] w [n][k]^T */
template <typename S>
bool product_nt(product_library *library, const product &p, const S *a, const S *w, S *c);
/* c [rows][k] = a [rows][n] w [n][k]: the input gradient of the product above */
template <typename S>
bool product_nn(product_library *library, const product &p, const S *a, const S *w, S *c);

#endif
