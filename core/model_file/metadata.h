/* What a model file says about itself: the string `umas` of its metadata. */
#ifndef UMAS_METADATA_H
#define UMAS_METADATA_H

#include "umas.h"

#include <stddef.h>

typedef struct umas_checksum {
    const char *name; /* of a tensor */
    uint32_t crc32;
} umas_checksum;

typedef struct umas_metadata {
    char model_id[64];
    char converter[64];
    char source[256];
    char sha256[65];
    int is_random;
    char note[201]; /* empty: none */
    umas_architecture architecture;
    int is_trained[UMAS_ELEMENTS];            /* for this element; only where the text is there */
    char trained_elements[4 * UMAS_ELEMENTS]; /* "O, Si"; empty: not known */
    umas_task *task;                          /* [tasks] */
    int tasks;
    umas_checksum *checksum; /* [checksums] sorted by name */
    int checksums;
    struct yyjson_doc *document; /* holds the checksums' names */
} umas_metadata;

/* Check and read the string.  On success, and only then, the caller frees it.
 * Status: FORMAT, VERSION, DUPLICATE, CHECKSUM, UNSUPPORTED, MEMORY. */
umas_status umas_metadata_read(const char *string, size_t length, umas_metadata *metadata,
                               umas_error *error);
void umas_metadata_free(umas_metadata *metadata);

#endif
