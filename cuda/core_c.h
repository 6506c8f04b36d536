/* The core's C headers that the CUDA engine stands on, in single precision. */
#ifndef UMAS_CORE_C_H
#define UMAS_CORE_C_H

#ifndef UMAS_REAL_IS_FLOAT
#define UMAS_REAL_IS_FLOAT
#endif

extern "C" {
#include "engine/engine.h"
#include "graph/edges.h"
#include "status.h"
#include "weights/dense_weights.h"
}

#endif
