/* One source, two precisions.  Every file that includes this is compiled twice: once with
 * UMAS_REAL_IS_DOUBLE, where `real` is double, and once with UMAS_REAL_IS_FLOAT, where it is
 * float.  Its external names carry a suffix, _f64 or _f32. */
#ifndef UMAS_PRECISION_H
#define UMAS_PRECISION_H

#include "umas.h"

#if defined(UMAS_REAL_IS_DOUBLE)
typedef double real;
#define PRECISE(name) name##_f64
#elif defined(UMAS_REAL_IS_FLOAT)
typedef float real;
#define PRECISE(name) name##_f32
#else
#error "define UMAS_REAL_IS_DOUBLE or UMAS_REAL_IS_FLOAT"
#endif

#endif
