/* What is done with an edge's Wigner matrix, for the nine l-major rows of one channel: rotate into
 * the edge's frame, y = D x; rotate back, x = D^T y, docs/model.md (16), (21); and the torque,
 * (35).  d [34]: the entries of D_1 [3][3] and D_2 [5][5] (graph/edge_geometry.h). */
#ifndef UMAS_ROTATION_H
#define UMAS_ROTATION_H

#include "precision.h"
#include "row_order.h"

/* For functions of `rows`: loops over rows unroll, and loops over channels vectorise, only where
 * the caller passes a constant. */
#define UNROLLED static inline __attribute__((always_inline))

/* y = D x, node frame to edge frame, l-major */
static inline void rotate(const real *d, const real x[9], real y[9]) {
    y[0] = x[0];
    for (int i = 0; i < 3; i++)
        y[1 + i] = d[3 * i] * x[1] + d[3 * i + 1] * x[2] + d[3 * i + 2] * x[3];
    for (int i = 0; i < 5; i++) {
        const real *r = d + 9 + 5 * i;
        y[4 + i] = r[0] * x[4] + r[1] * x[5] + r[2] * x[6] + r[3] * x[7] + r[4] * x[8];
    }
}

/* x = D^T y, edge frame to node frame, l-major */
static inline void rotate_back(const real *d, const real y[9], real x[9]) {
    x[0] = y[0];
    for (int i = 0; i < 3; i++) x[1 + i] = d[i] * y[1] + d[3 + i] * y[2] + d[6 + i] * y[3];
    for (int i = 0; i < 5; i++) {
        const real *r = d + 9 + i;
        x[4 + i] = r[0] * y[4] + r[5] * y[5] + r[10] * y[6] + r[15] * y[7] + r[20] * y[8];
    }
}

/* The torque g . J_x y and g . J_z y: how fast g . y changes when the frame of y turns about its
 * own x or z axis, against the right-hand rule.  J are the generators of rotations for l = 1, 2.
 * These two numbers an edge stand for the derivative by the edge's direction, so that D itself
 * is never differentiated.  A turn about the frame's y axis, which is the edge, changes nothing. */
static inline void torque(const real g[9], const real y[9], real *about_x, real *about_z) {
    const real root_3 = (real)1.7320508075688772935;
    *about_x = g[3] * y[2] - g[2] * y[3] + g[4] * y[5] - g[5] * y[4] +
               root_3 * (g[7] * y[6] - g[6] * y[7]) + g[8] * y[7] - g[7] * y[8];
    *about_z = g[2] * y[1] - g[1] * y[2] + g[7] * y[4] - g[4] * y[7] +
               root_3 * (g[6] * y[5] - g[5] * y[6]) + g[8] * y[5] - g[5] * y[8];
}

#endif
