/* The RMS norm of node features, docs/model.md (15), and its backward pass, (31).
 *
 * The scalars (l = 0) are centred over the channels, x~; then every row is divided by one number,
 * the root of the mean square over channels in which each degree has the same weight beta_l:
 *     iota = (1/C sum_{k,c} beta_l x~_{k,c}^2 + 1e-5)^(-1/2),      y_{k,c} = w_{l,c} iota x~_{k,c}
 * and b (and `shift`, the csd of line (16)) are added to the scalars.
 * In: x [count][9][C], l-major; w [3][C] by degree, b [C].
 * Out: y [count][9][C].  No units. */
#include <tgmath.h>

#include "row_order.h"
#include "stages.h"

static const real NORM_EPSILON = (real)1e-5;

/* beta_l = 1 / (3 (2 l + 1)): the weight of a row of degree l in the mean square */
static const real BALANCE[3] = {(real)(1.0 / 3), (real)(1.0 / 9), (real)(1.0 / 15)};

/* Of x [9][C]: the mean of the scalars over the channels, and iota. */
static void moments(int C, const real *x, real *mean, real *inverse) {
    real sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int c = 0; c < C; c++) sum += x[c];
    *mean = sum / (real)C;
#pragma omp simd reduction(+ : squares)
    for (int c = 0; c < C; c++) squares += BALANCE[0] * (x[c] - *mean) * (x[c] - *mean);
    for (int k = 1; k < 9; k++) {
        real row = 0;
#pragma omp simd reduction(+ : row)
        for (int c = 0; c < C; c++) row += x[k * C + c] * x[k * C + c];
        squares += BALANCE[DEGREE_OF_L_MAJOR[k]] * row;
    }
    *inverse = 1 / sqrt(squares / (real)C + NORM_EPSILON);
}

void rms_norm_sh_forward(int count, int C, const real *w, const real *b, const real *shift,
                         const real *x, real *y) {
    for (int n = 0; n < count; n++, x += 9 * C, y += 9 * C) {
        real mean, inverse;
        moments(C, x, &mean, &inverse);
        for (int c = 0; c < C; c++)
            y[c] = (x[c] - mean) * inverse * w[c] + b[c] + (shift ? shift[c] : 0);
        for (int k = 1; k < 9; k++)
            for (int c = 0; c < C; c++)
                y[k * C + c] = x[k * C + c] * inverse * w[DEGREE_OF_L_MAJOR[k] * C + c];
    }
}

void rms_norm_sh_backward(int count, int C, const real *w, const real *x, const real *g_y,
                          real *g_x) {
    for (int n = 0; n < count; n++, x += 9 * C, g_y += 9 * C, g_x += 9 * C) {
        real mean, inverse, along = 0, sum = 0;
        moments(C, x, &mean, &inverse);
        for (int k = 0; k < 9; k++) {
            real centre = k == 0 ? mean : 0, row = 0;
            const real *w_k = w + DEGREE_OF_L_MAJOR[k] * C;
#pragma omp simd reduction(+ : row)
            for (int c = 0; c < C; c++) row += g_y[k * C + c] * w_k[c] * (x[k * C + c] - centre);
            along += row;
        }
        along *= inverse * inverse / (real)C;
        for (int k = 1; k < 9; k++) {
            const real *w_k = w + DEGREE_OF_L_MAJOR[k] * C;
            for (int c = 0; c < C; c++)
                g_x[k * C + c] += inverse * (g_y[k * C + c] * w_k[c] -
                                             BALANCE[DEGREE_OF_L_MAJOR[k]] * along * x[k * C + c]);
        }
        /* l = 0: centring takes the mean out of the gradient; that of x - mean is zero already */
#pragma omp simd reduction(+ : sum)
        for (int c = 0; c < C; c++) sum += g_y[c] * w[c];
        sum /= (real)C;
        for (int c = 0; c < C; c++)
            g_x[c] += inverse * (g_y[c] * w[c] - sum - BALANCE[0] * along * (x[c] - mean));
    }
}
