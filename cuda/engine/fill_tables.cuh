/* Tables of radial functions for the elements at hand. */
#ifndef UMAS_FILL_TABLES_CUH
#define UMAS_FILL_TABLES_CUH

#include "engine/cuda_engine.cuh"

/* Tables for e.tables.present; they do not depend on the mixture of experts.  The plan is for no
 * atoms then.  Status: MEMORY, DEVICE. */
template <typename S> umas_status fill_tables(cuda_engine<S> &e, umas_error *error);

#endif
