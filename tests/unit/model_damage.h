/* Tests of refusals: a valid tiny model file, damaged at one of the stages of its making. */
#ifndef UMAS_MODEL_DAMAGE_H
#define UMAS_MODEL_DAMAGE_H

#include "model_writer.h"

/* Distinct numbers, so that no two of them can be mixed up unseen. */
extern const umas_architecture tiny_architecture;

typedef struct damage_case {
    const char *what;
    umas_status status;  /* expected; UMAS_OK: no harm is done */
    const char *message; /* expected part of the message */
    /* Each of the following is optional; what was written before it fits what it leaves. */
    void (*tensors)(model_draft *draft);
    const char *metadata, *new_metadata; /* a text in it, and what to put there */
    const char *header, *new_header;
    void (*file)(model_draft *draft);
} damage_case;

/* Write the damaged file at `path` and open it: is the outcome the expected one?  If not, says what
 * came instead. */
int is_damage_noticed(const char *path, const damage_case *damage);

/* Open `path`; is it refused with this status, a message with its name and this text in one line,
 * and no model?  UMAS_OK: is it accepted? */
int is_refused(const char *path, umas_status status, const char *message);

/* Open descriptors and mappings of this process, or -1 where the system does not tell. */
long open_resources(void);

#endif
