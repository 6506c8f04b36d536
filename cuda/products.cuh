/* Matrix products through cuBLAS, which is opened when the first engine is made, so that the
 * library loads on machines without it. */
#ifndef UMAS_PRODUCTS_CUH
#define UMAS_PRODUCTS_CUH

#include "device.cuh"
#include "umas.h"

struct product_library;

/* Status: DEVICE. */
umas_status products_open(cudaStream_t stream, product_library **library, umas_error *error);
void products_close(product_library *library);

/* Products of row-major matrices with fp32 sums.  `batch` of them, whose operands a and c lie
 * stride_a and stride_c apart and share w. */
struct product {
    int rows, n, k;
    int lda, ldc;
    int batch;
    int stride_a, stride_c;
};

/* c [rows][n] = a [rows][k] w [n][k]^T + beta c */
template <typename S, typename T>
bool product_nt(product_library *library, const product &p, const S *a, const S *w, T *c,
                float beta = 0);
/* c [rows][k] = a [rows][n] w [n][k] + beta c: the input gradient of the product above */
template <typename S, typename T>
bool product_nn(product_library *library, const product &p, const S *a, const S *w, T *c,
                float beta = 0);

#endif
