/* The two matrix products the stages need, on top of CBLAS. */
#ifndef UMAS_BLAS_H
#define UMAS_BLAS_H

#include <stddef.h>

#include "precision.h"

#define matmul_nt PRECISE(umas_matmul_nt)
#define matmul_nn PRECISE(umas_matmul_nn)

/* c [rows][n] = alpha a [rows][k] w [n][k]^T + beta c; lda, ldc: row strides. */
void matmul_nt(int rows, int n, int k, real alpha, const real *a, int lda, const real *w, real beta,
               real *c, int ldc);

/* c [rows][k] = alpha a [rows][n] w [n][k] + beta c: the input gradient of the product above. */
void matmul_nn(int rows, int n, int k, real alpha, const real *a, int lda, const real *w, real beta,
               real *c, int ldc);

/* The stages thread over edges and nodes, so a product runs on the thread that asks for it.
 * OpenBLAS keeps one thread count a process.  An evaluation begins with take() and ends with
 * give_back(); while any is under way, in whatever thread, the count is one, and when the last has
 * ended it is again what it was before the first. */
void umas_blas_take_threads(void);
void umas_blas_give_back_threads(void);

#endif
