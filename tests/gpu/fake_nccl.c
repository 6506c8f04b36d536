/* A stand-in for NCCL that fails on demand.  UMAS_FAKE_NCCL is FUNCTION, which then fails on all
 * ranks, or FUNCTION:RANK:CALL, which fails on this rank from this call on, counted from 1.  A
 * ncclGetVersion that fails says an old version.  All else is done by the library whose path is
 * UMAS_REAL_NCCL. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

typedef int result;
enum { SUCCESS = 0, INTERNAL_ERROR = 3 };
enum { OLD_VERSION = 21003, ANY_VERSION = 22703 };
typedef struct unique_id {
    char bytes[128];
} unique_id;

static int own_rank = -1;

/* Is this call of the function one that fails?  `calls` counts those of the function. */
static int fails(const char *function, int *calls) {
    const char *const spec = getenv("UMAS_FAKE_NCCL");
    const size_t length = strlen(function);
    int rank = -1, call = 1;
    ++*calls;
    if (!spec || strncmp(spec, function, length) != 0) return 0;
    if (spec[length] == '\0') return 1;
    if (sscanf(spec + length, ":%d:%d", &rank, &call) != 2) return 0;
    return rank == own_rank && *calls >= call;
}

/* A function of the real library into *function, a pointer to one.  Returns whether it is there. */
static int find(const char *name, void *function) {
    static void *library = NULL;
    const char *const path = getenv("UMAS_REAL_NCCL");
    if (!library && path && path[0]) library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *const symbol = library ? dlsym(library, name) : NULL;
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

EXPORTED result ncclGetVersion(int *version) {
    static int calls = 0;
    result (*real)(int *) = NULL;
    *version = fails(__func__, &calls) ? OLD_VERSION : ANY_VERSION;
    if (*version == OLD_VERSION || !find(__func__, &real)) return SUCCESS;
    return real(version);
}

EXPORTED const char *ncclGetErrorString(result status) {
    (void)status;
    return "a stand-in for NCCL fails as it was told to";
}

EXPORTED result ncclGetUniqueId(unique_id *id) {
    static int calls = 0;
    result (*real)(unique_id *) = NULL;
    memset(id, 0, sizeof *id);
    if (fails(__func__, &calls)) return INTERNAL_ERROR;
    return find(__func__, &real) ? real(id) : SUCCESS;
}

EXPORTED result ncclCommInitRank(void **communicator, int ranks, unique_id id, int rank) {
    static int calls = 0;
    result (*real)(void **, int, unique_id, int) = NULL;
    own_rank = rank;
    if (fails(__func__, &calls) || !find(__func__, &real)) return INTERNAL_ERROR;
    return real(communicator, ranks, id, rank);
}

EXPORTED result ncclCommAbort(void *communicator) {
    result (*real)(void *) = NULL;
    return find(__func__, &real) ? real(communicator) : INTERNAL_ERROR;
}

EXPORTED result ncclGroupStart(void) {
    result (*real)(void) = NULL;
    return find(__func__, &real) ? real() : INTERNAL_ERROR;
}

/* What was begun is ended also where this fails: the next call is not to be one of the same
 * group. */
EXPORTED result ncclGroupEnd(void) {
    static int calls = 0;
    result (*real)(void) = NULL;
    const int failing = fails(__func__, &calls);
    const result status = find(__func__, &real) ? real() : INTERNAL_ERROR;
    return failing ? INTERNAL_ERROR : status;
}

EXPORTED result ncclSend(const void *data, size_t count, int type, int peer, void *communicator,
                         void *stream) {
    result (*real)(const void *, size_t, int, int, void *, void *) = NULL;
    if (!find(__func__, &real)) return INTERNAL_ERROR;
    return real(data, count, type, peer, communicator, stream);
}

EXPORTED result ncclRecv(void *data, size_t count, int type, int peer, void *communicator,
                         void *stream) {
    result (*real)(void *, size_t, int, int, void *, void *) = NULL;
    if (!find(__func__, &real)) return INTERNAL_ERROR;
    return real(data, count, type, peer, communicator, stream);
}

EXPORTED result ncclAllGather(const void *mine, void *all, size_t count, int type,
                              void *communicator, void *stream) {
    result (*real)(const void *, void *, size_t, int, void *, void *) = NULL;
    if (!find(__func__, &real)) return INTERNAL_ERROR;
    return real(mine, all, count, type, communicator, stream);
}
