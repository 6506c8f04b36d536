/* The matrices of an SO(2) convolution, docs/model.md (17), (18), as its products have them: one an
 * order m, [n][k].  Host only. */
#ifndef UMAS_SO2_MATRICES_H
#define UMAS_SO2_MATRICES_H

#include <cstddef>

/* The weights as core/weights/dense_weights.h has them. */
struct so2_matrices {
    int inputs, outputs, extra; /* K, N, extra */
    int before;                 /* columns of the operand before its rows */
    const float *m0;            /* [extra + 3 N][3 K] */
    const float *m[2];          /* m = 1: [2][2 N][2 K], m = 2: [2][N][K] */
};

/* The matrix of one order, [n][k]: for m > 0 the complex product as a real one of twice the size,
 * [[W1, -W2], [W2, W1]]. */
struct order_matrix {
    const float *w1, *w2; /* w2: NULL for m = 0 */
    int n, k;
    int from, to; /* columns of the operand and of the result where they begin */

    float at(int row, int column) const {
        if (!w2) return w1[size_t(row) * size_t(k) + size_t(column)];
        const int half_n = n / 2, half_k = k / 2;
        const bool low = row >= half_n, right = column >= half_k;
        const float *w = low == right ? w1 : w2;
        const float v = w[size_t(low ? row - half_n : row) * size_t(half_k) +
                          size_t(right ? column - half_k : column)];
        return right && !low ? -v : v;
    }
};

inline order_matrix matrix_of(const so2_matrices &w, int m) {
    const int K = w.inputs, N = w.outputs, first = w.extra + 3 * N;
    if (m == 0) return {w.m0, nullptr, first, 3 * K, w.before, 0};
    const int k = (3 - m) * K, n = (3 - m) * N;
    const float *w1 = w.m[m - 1];
    return {w1,    w1 + size_t(n) * size_t(k),      2 * n,
            2 * k, w.before + (m == 1 ? 3 : 7) * K, first + (m == 1 ? 0 : 4 * N)};
}

#endif
