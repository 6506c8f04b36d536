/* The two matrix products of the stages, on top of CBLAS: a linear map of every row, and its
 * gradient.  Rows are edges or nodes. */
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

/* The stages share out edges and nodes over threads, so a product must run on the one thread that
 * asks for it.  OpenBLAS has one number of threads for the whole process.  An evaluation begins
 * with take() and ends with give_back(): while any evaluation runs, in whatever thread, the number
 * is one; when the last one has ended, it is again what it was before the first. */
void umas_blas_take_threads(void);
void umas_blas_give_back_threads(void);

#endif
