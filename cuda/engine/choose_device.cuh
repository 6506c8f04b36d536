/* Which GPU an engine runs on. */
#ifndef UMAS_CHOOSE_DEVICE_CUH
#define UMAS_CHOOSE_DEVICE_CUH

#include "umas.h"

/* The device `wanted`, or the first one where that is negative, becomes the thread's current one.
 * Status: DEVICE (none, too old, no driver), MEMORY. */
umas_status choose_device(int wanted, int *device, umas_error *error);

#endif
