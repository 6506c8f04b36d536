/* The matrix products of all stages, by OpenBLAS or another CBLAS; and its number of threads. */
#include "blas.h"

#include <cblas.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define BLAS_NAME(name) JOIN(UMAS_BLAS_PREFIX, name)

#if defined(UMAS_REAL_IS_DOUBLE)
#define GEMM BLAS_NAME(cblas_dgemm)
#else
#define GEMM BLAS_NAME(cblas_sgemm)
#endif

void matmul_nt(int rows, int n, int k, real alpha, const real *a, int lda, const real *w, real beta,
               real *c, int ldc) {
    if (rows > 0)
        GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, rows, n, k, alpha, a, lda, w, k, beta, c,
             ldc);
}

void matmul_nn(int rows, int n, int k, real alpha, const real *a, int lda, const real *w, real beta,
               real *c, int ldc) {
    if (rows > 0)
        GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, k, n, alpha, a, lda, w, k, beta, c,
             ldc);
}

#if defined(UMAS_REAL_IS_DOUBLE)
/* As the number of threads is OpenBLAS' and so the process', these are the process', too. */
static int evaluations, threads_before;

void umas_blas_take_threads(void) {
#pragma omp critical(umas_blas_threads)
    if (evaluations++ == 0) {
        threads_before = BLAS_NAME(openblas_get_num_threads)();
        BLAS_NAME(openblas_set_num_threads)(1);
    }
}

void umas_blas_give_back_threads(void) {
#pragma omp critical(umas_blas_threads)
    if (--evaluations == 0) BLAS_NAME(openblas_set_num_threads)(threads_before);
}
#endif
