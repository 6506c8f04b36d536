/* Are the weights the ones that were written, and are they numbers? */
#ifndef UMAS_TENSOR_CHECK_H
#define UMAS_TENSOR_CHECK_H

#include "model_file/model.h"

/* Compare every tensor's CRC-32 with crc32 [tensors], widen those of F16 and look for NaN and
 * infinity, in one parallel pass over the bytes.  Status: CHECKSUM, NONFINITE, MEMORY. */
umas_status umas_tensor_check(const umas_tensor *tensor, const uint32_t *crc32, int tensors,
                              umas_error *error);

int64_t umas_tensor_count(const umas_tensor *tensor); /* numbers in it */

#endif
