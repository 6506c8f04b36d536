/* The geometry of a chunk of edges: Wigner matrices, docs/model.md (6), envelope, (3), and distance
 * basis, (4), with the derivatives of the last two by the distance.  Computed in double, stored as
 * `real`. */
#include "graph/edge_geometry.h"

#include <math.h>

#include "graph/edges.h"

/* Square roots of 1/2 and 1/6: the norms of the l = 2 harmonics. */
static const double S = 0.70710678118654752440, T = 0.40824829046386301637;

/* a^T L2_m b for the five l = 2 matrices, m = -2..2 */
static void harmonics_2(const double a[3], const double b[3], double y[5]) {
    y[0] = S * (a[0] * b[2] + a[2] * b[0]);
    y[1] = S * (a[0] * b[1] + a[1] * b[0]);
    y[2] = T * (2 * a[1] * b[1] - a[0] * b[0] - a[2] * b[2]);
    y[3] = S * (a[1] * b[2] + a[2] * b[1]);
    y[4] = S * (a[2] * b[2] - a[0] * b[0]);
}

/* D_1 is the rotation R itself; (D_2)_ab = tr(L_a R L_b R^T): row a is R^T L_a R in the basis of
 * the L_b. */
static void wigner_entries(double frame[3][3], real *wigner) {
    for (int i = 0; i < 9; i++) wigner[i] = (real)frame[i / 3][i % 3];
    const double *x = frame[0], *y = frame[1], *z = frame[2];
    double xx[5], xy[5], xz[5], yy[5], yz[5], zz[5];
    harmonics_2(x, x, xx);
    harmonics_2(x, y, xy);
    harmonics_2(x, z, xz);
    harmonics_2(y, y, yy);
    harmonics_2(y, z, yz);
    harmonics_2(z, z, zz);
    real *d = wigner + 9;
    for (int b = 0; b < 5; b++) {
        d[b] = (real)(2 * S * xz[b]);
        d[5 + b] = (real)(2 * S * xy[b]);
        d[10 + b] = (real)(T * (2 * yy[b] - xx[b] - zz[b]));
        d[15 + b] = (real)(2 * S * yz[b]);
        d[20 + b] = (real)(S * (zz[b] - xx[b]));
    }
}

void edge_geometry_forward(const umas_architecture *a, const double (*vector)[3],
                           edge_chunk *chunk) {
    int G = a->distance_functions;
    double spacing = G > 1 ? a->cutoff / (G - 1) : a->cutoff, width = 2 * spacing;
    for (int64_t e = 0; e < chunk->edges; e++) {
        double frame[3][3], d = umas_edge_frame(vector[e], frame);
        wigner_entries(frame, chunk->wigner + e * WIGNER_ENTRIES);
        double u = d / a->cutoff, u2 = u * u, u4 = u2 * u2;
        chunk->envelope[e] = (real)(1 + u4 * u * (-21 + 35 * u - 15 * u2));
        chunk->envelope_slope[e] = (real)(u4 * (-105 + 210 * u - 105 * u2) / a->cutoff);
        for (int g = 0; g < G; g++) {
            double t = (d - g * spacing) / width, value = exp(-0.5 * t * t);
            chunk->basis[e * G + g] = (real)value;
            chunk->basis_slope[e * G + g] = (real)(-t / width * value);
        }
    }
}
