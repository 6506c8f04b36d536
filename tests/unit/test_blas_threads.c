/* BLAS' number of threads is the program's.  Evaluations, which thread by themselves, run with one,
 * however they overlap, and afterwards it is what it was. */
#define _POSIX_C_SOURCE 200809L /* NOLINT(bugprone-reserved-identifier): POSIX wants it */

#include <cblas.h>
#include <pthread.h>

#include "check.h"
#include "model_writer.h"
#include "small_systems.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define BLAS_NAME(name) JOIN(UMAS_BLAS_PREFIX, name)

static int threads(void) { return BLAS_NAME(openblas_get_num_threads)(); }

/* Two evaluations: the first begins, the second begins, the first ends, the second ends. */
typedef struct overlap {
    const umas_model *model;
    const structure *s;
    umas_precision precision[2];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int begun[2], ended[2];
    int most; /* threads that an evaluation found */
} overlap;

typedef struct evaluator {
    overlap *o;
    int index;
} evaluator;

static void announce(overlap *o, int *event) {
    (void)pthread_mutex_lock(&o->lock);
    *event = 1;
    (void)pthread_cond_broadcast(&o->changed);
    (void)pthread_mutex_unlock(&o->lock);
}

static void wait_for(overlap *o, const int *event) {
    (void)pthread_mutex_lock(&o->lock);
    while (!*event) (void)pthread_cond_wait(&o->changed, &o->lock);
    (void)pthread_mutex_unlock(&o->lock);
}

/* Called in the middle of an evaluation, for one or two channels; votes have more values. */
static int sum(void *context, double *values, int count) {
    const evaluator *e = context;
    overlap *o = e->o;
    (void)values;
    if (count > 2) return 0;
    announce(o, &o->begun[e->index]);
    wait_for(o, e->index == 0 ? &o->begun[1] : &o->ended[0]);
    (void)pthread_mutex_lock(&o->lock);
    if (threads() > o->most) o->most = threads();
    (void)pthread_mutex_unlock(&o->lock);
    return 0;
}

static void *evaluate(void *argument) {
    evaluator *e = argument;
    overlap *o = e->o;
    const umas_exchange exchange = {.context = e, .ranks = 1, .sum = sum};
    umas_engine_options options = umas_engine_default_options();
    umas_engine *engine = NULL;
    umas_error error;
    options.task = "omat";
    options.precision = o->precision[e->index];
    options.exchange = &exchange;
    if (umas_engine_create(o->model, &options, &engine, &error) != UMAS_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(EXIT_FAILURE);
    }
    if (e->index == 1) wait_for(o, &o->begun[0]);
    evaluation result = evaluate_all(engine, o->s);
    announce(o, &o->ended[e->index]);
    evaluation_free(&result);
    umas_engine_destroy(engine);
    return NULL;
}

static void test_overlap(const umas_model *model, umas_precision first, umas_precision second) {
    structure s = random_crystal(8, 41);
    overlap o = {.model = model, .s = &s, .precision = {first, second}};
    evaluator e[2] = {{&o, 0}, {&o, 1}};
    pthread_t thread[2];
    CHECK(pthread_mutex_init(&o.lock, NULL) == 0 && pthread_cond_init(&o.changed, NULL) == 0);
    BLAS_NAME(openblas_set_num_threads)(2);
    for (int i = 0; i < 2; i++)
        if (pthread_create(&thread[i], NULL, evaluate, &e[i]) != 0) exit(EXIT_FAILURE);
    for (int i = 0; i < 2; i++) CHECK(pthread_join(thread[i], NULL) == 0);
    CHECK(o.most == 1);
    CHECK(threads() == 2);
    (void)pthread_cond_destroy(&o.changed);
    (void)pthread_mutex_destroy(&o.lock);
    structure_free(&s);
}

int main(void) {
    umas_model *model = open_random_model(&balanced_architecture, 81);
    BLAS_NAME(openblas_set_num_threads)(2);
    if (threads() != 2) {
        printf("skipped: this OpenBLAS has one thread\n");
        return CHECK_SKIPPED;
    }
    test_overlap(model, UMAS_DOUBLE, UMAS_DOUBLE);
    test_overlap(model, UMAS_SINGLE, UMAS_DOUBLE);
    test_overlap(model, UMAS_DOUBLE, UMAS_SINGLE);
    umas_model_close(model);
    return check_report();
}
