/* The stages that work on nodes, and the gate, in double: every backward pass against finite
 * differences of its forward pass, and every output as stages.h says it is written: overwritten or
 * added. */
#include "stage_fixture.h"

#include "arrays.h"
#include "check.h"
#include "tolerances.h"

/* One forward pass with a random linear function of its outputs, for finite differences. */
typedef struct node_stage {
    void (*forward)(struct node_stage *s);
    const umas_architecture *a;
    const dense_weights *w;
    int nodes, rows;
    const int *degree;
    double *x, *gates; /* inputs */
    atomwise_activations act;
    double *linear[2], *hidden;
    double *out, *g_out; /* [count] */
    long count;
    int adds; /* the forward pass adds to `out` */
} node_stage;

static double weighted_sum(void *context) {
    node_stage *s = context;
    for (long i = 0; i < s->count; i++) s->out[i] = s->adds ? 0 : NAN;
    s->forward(s);
    return dot(s->g_out, s->out, s->count);
}

static void check_slopes(const char *name, node_stage *s, double *x, const double *got,
                         long count) {
    double *want = array_poisoned(count);
    differences(weighted_sum, s, x, count, DIFFERENCE_STEP, want);
    check_close(name, got, want, count, TOLERANCE_DIFFERENCE, TOLERANCE_DIFFERENCE);
}

/* ---- gate --------------------------------------------------------------------------------- */

static const int DEGREE_L_MAJOR[9] = {0, 1, 1, 1, 2, 2, 2, 2, 2};
static const int DEGREE_M_MAJOR[9] = {0, 1, 2, 1, 2, 1, 2, 2, 2};
enum { GAP = 3 }; /* what the strides of y and gates have more than their rows */

static void gate(node_stage *s) {
    const int H = s->a->hidden_channels;
    gate_forward(s->nodes, s->rows, H, s->degree, s->x, s->rows * H + GAP, s->gates, 2 * H + GAP,
                 s->out);
}

/* got [nodes][width + GAP]: the gaps are as they were; the rest is copied to packed, which has the
 * same strides. */
static void check_gaps(const double *got, int nodes, int width, double *packed) {
    for (int n = 0; n < nodes; n++)
        for (int i = 0; i < width + GAP; i++) {
            const double value = got[(long)n * (width + GAP) + i];
            if (i >= width)
                CHECK(isnan(value));
            else
                packed[(long)n * (width + GAP) + i] = value;
        }
}

static void test_gate(const umas_architecture *a, int nodes, int rows, const int *degree,
                      uint64_t *state) {
    const int H = a->hidden_channels, width = rows * H;
    const long inputs = (long)nodes * (width + GAP), gates = (long)nodes * (2 * H + GAP);
    node_stage s = {.forward = gate, .a = a, .nodes = nodes, .rows = rows, .degree = degree};
    s.count = (long)nodes * width;
    s.x = array_random(inputs, state);
    s.gates = array_random(gates, state);
    s.out = array_poisoned(s.count);
    s.g_out = array_random(s.count, state);

    double *g_y = array_poisoned(inputs), *g_gates = array_poisoned(gates);
    gate_backward(nodes, rows, H, degree, s.x, width + GAP, s.gates, 2 * H + GAP, s.g_out, g_y,
                  g_gates);
    double *got_y = array_zero(inputs), *got_gates = array_zero(gates);
    check_gaps(g_y, nodes, width, got_y);
    check_gaps(g_gates, nodes, 2 * H, got_gates);
    check_slopes("gate: y", &s, s.x, got_y, inputs);
    check_slopes("gate: gates", &s, s.gates, got_gates, gates);

    /* in place, as the engine calls it */
    gate_backward(nodes, rows, H, degree, s.x, width + GAP, s.gates, 2 * H + GAP, s.g_out, s.x,
                  s.gates);
    for (long i = 0; i < inputs; i++) CHECK(isnan(g_y[i]) || s.x[i] == g_y[i]);
    for (long i = 0; i < gates; i++) CHECK(isnan(g_gates[i]) || s.gates[i] == g_gates[i]);
}

/* ---- norm --------------------------------------------------------------------------------- */

static void norm(node_stage *s) {
    rms_norm_sh_forward(s->nodes, s->a->sphere_channels, s->w->norm_w, s->w->norm_b, s->gates, s->x,
                        s->out);
}

static void test_norm(const dense_weights *w, int nodes, uint64_t *state) {
    const umas_architecture *a = &w->architecture;
    const int C = a->sphere_channels;
    node_stage s = {.forward = norm, .a = a, .w = w, .nodes = nodes};
    s.count = 9L * C * nodes;
    s.x = array_random(s.count, state);
    s.out = array_poisoned(s.count);
    s.g_out = array_random(s.count, state);
    double *start = array_random(s.count, state), *got = array_copy(start, s.count);
    rms_norm_sh_backward(nodes, C, w->norm_w, s.x, s.g_out, got);
    for (long i = 0; i < s.count; i++) got[i] -= start[i];
    check_slopes("rms_norm_sh: x", &s, s.x, got, s.count);

    /* the shift comes on top of l = 0, and nowhere else */
    norm(&s);
    double *want = array_copy(s.out, s.count), *shift = array_random(C, state);
    for (int n = 0; n < nodes; n++)
        for (int c = 0; c < C; c++) want[9L * C * n + c] += shift[c];
    s.gates = shift;
    norm(&s);
    check_close("rms_norm_sh: shift", s.out, want, s.count, TOLERANCE_DOUBLE_SUM, 0);
}

/* ---- atom-wise part ----------------------------------------------------------------------- */

static void atomwise(node_stage *s) {
    atomwise_forward(s->a, &s->w->blocks[0], s->nodes, s->x, &s->act, s->out);
}

static void test_atomwise(const dense_weights *w, int nodes, uint64_t *state) {
    const umas_architecture *a = &w->architecture;
    const long H = a->hidden_channels;
    node_stage s = {.forward = atomwise, .a = a, .w = w, .nodes = nodes, .adds = 1};
    s.count = 9L * a->sphere_channels * nodes;
    s.x = array_random(s.count, state);
    s.out = array_poisoned(s.count);
    s.g_out = array_random(s.count, state);
    s.act = (atomwise_activations){array_poisoned(2 * H * nodes), array_poisoned(2 * H * nodes),
                                   array_poisoned(9 * H * nodes), array_poisoned(9 * H * nodes)};
    double *start = array_random(s.count, state), *sum = array_copy(start, s.count);
    (void)weighted_sum(&s);
    atomwise_forward(a, &w->blocks[0], nodes, s.x, &s.act, sum);
    for (long i = 0; i < s.count; i++) start[i] += s.out[i];
    check_close("atomwise: y", sum, start, s.count, 10 * TOLERANCE_DOUBLE_SUM, 0);

    double *g_h = array_poisoned(s.count);
    atomwise_activate(a, &w->blocks[0], nodes, s.x, &s.act);
    atomwise_backward(a, &w->blocks[0], nodes, s.g_out, &s.act, g_h);
    check_slopes("atomwise: h", &s, s.x, g_h, s.count);
}

/* ---- head --------------------------------------------------------------------------------- */

static void head(node_stage *s) {
    energy_head_forward(s->w, s->nodes, s->x, s->linear, s->hidden, s->out);
}

static void test_head(const dense_weights *w, int nodes, uint64_t *state) {
    const umas_architecture *a = &w->architecture;
    const long features = 9L * a->sphere_channels * nodes, H = a->hidden_channels;
    node_stage s = {.forward = head, .a = a, .w = w, .nodes = nodes, .count = nodes};
    s.x = array_random(features, state);
    s.out = array_poisoned(s.count);
    s.g_out = array_poisoned(s.count);
    for (int n = 0; n < nodes; n++) s.g_out[n] = 1;
    s.linear[0] = array_poisoned(H * nodes);
    s.linear[1] = array_poisoned(H * nodes);
    s.hidden = array_poisoned(H * nodes);
    double *g_x = array_poisoned(features);
    head(&s);
    energy_head_backward(w, nodes, s.linear, s.hidden, g_x);
    check_slopes("energy_head: x", &s, s.x, g_x, features);
}

/* ---- balance ------------------------------------------------------------------------------ */

enum { FIRST = 1, END = 3 };
static const int ELEMENT[4] = {3, 0, 1, 5};

static void balance(node_stage *s) {
    for (long i = 0; i < s->count; i++) s->out[i] = s->x[i];
    (void)balance_channels(s->nodes, s->a->sphere_channels, ELEMENT, FIRST, END, -2.5, 3, NULL,
                           s->out, NULL);
}

static void test_balance(uint64_t *state) {
    const umas_architecture a = small_architecture(5, 1, 1, 1, 2);
    node_stage s = {.forward = balance, .a = &a, .nodes = 4, .count = 9L * 5 * 4};
    s.x = array_random(s.count, state);
    s.out = array_poisoned(s.count);
    s.g_out = array_random(s.count, state);
    balance(&s);
    for (long i = 0; i < s.count; i++) {
        const int n = (int)(i / 45), c = (int)(i % 45);
        CHECK((s.out[i] != s.x[i]) == (c >= FIRST && c < END && ELEMENT[n] != 0));
    }
    for (int c = FIRST; c < END; c++) {
        const double sum = s.out[c] + s.out[90 + c] + s.out[135 + c], want = -2.5;
        check_close("balanced sum", &sum, &want, 1, 10 * TOLERANCE_DOUBLE_SUM, 0);
    }
    double *g_x = array_copy(s.g_out, s.count);
    CHECK(balance_channels(4, 5, ELEMENT, FIRST, END, 0, 3, NULL, g_x, NULL) == UMAS_OK);
    check_slopes("balance_channels: x", &s, s.x, g_x, s.count);
}

/* Sums over ranks: more channels than go into one exchange, and a failure. */
static int twice(void *context, double *values, int count) {
    *(int *)context += count;
    for (int i = 0; i < count; i++) values[i] *= 2; /* another rank with the same atoms */
    return 0;
}

static int refuse(void *context, double *values, int count) {
    (void)context;
    (void)values;
    (void)count;
    return 1;
}

static void test_balance_exchange(uint64_t *state) {
    enum { C = 150, CHANNELS = 140 };
    int summed = 0;
    const int element[2] = {1, 2};
    umas_exchange exchange = {.context = &summed, .sum = twice};
    umas_error error = {0};
    double *x = array_random(9L * C * 2, state);
    CHECK(balance_channels(2, C, element, 0, CHANNELS, 3, 4, &exchange, x, &error) == UMAS_OK);
    CHECK(summed == CHANNELS);
    for (int c = 0; c < CHANNELS; c++) {
        const double sum = x[c] + x[9 * C + c], want = 1.5;
        check_close("balanced sum", &sum, &want, 1, 10 * TOLERANCE_DOUBLE_SUM, 0);
    }
    exchange.sum = refuse;
    CHECK(balance_channels(2, C, element, 0, 1, 3, 4, &exchange, x, &error) == UMAS_ERROR_EXCHANGE);
    CHECK(error.status == UMAS_ERROR_EXCHANGE && error.message[0] != '\0');
}

/* ---- all ---------------------------------------------------------------------------------- */

static void test_size(int C, int H, int nodes) {
    uint64_t state = (uint64_t)(C + 100 * nodes);
    const umas_architecture a = small_architecture(C, H, 2, 2, 2);
    dense_weights *w = random_weights(&a, 12);
    const int before = checks_failed;
    test_gate(&a, nodes, 9, DEGREE_L_MAJOR, &state);
    test_gate(&a, nodes, 9, DEGREE_M_MAJOR, &state);
    test_gate(&a, nodes, 7, DEGREE_M_MAJOR, &state);
    test_norm(w, nodes, &state);
    test_atomwise(w, nodes, &state);
    test_head(w, nodes, &state);
    CHECK(arrays_free() == 0);
    if (checks_failed > before) fprintf(stderr, "... with C %d, H %d, %d nodes\n", C, H, nodes);
    dense_weights_destroy(w);
}

int main(void) {
    uint64_t state = 5;
    test_size(4, 6, 3);
    test_size(9, 2, 2);
    test_size(1, 1, 1);
    test_size(3, 70, 2); /* more channels than the gate takes at a time */
    test_size(4, 6, 0);
    test_balance(&state);
    test_balance_exchange(&state);
    CHECK(arrays_free() == 0);
    return check_report();
}
