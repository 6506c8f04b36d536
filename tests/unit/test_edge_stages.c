/* The stages that work on edges, in double: every backward pass against finite differences of its
 * forward pass, and every output as stages.h says it is written: overwritten or added. */
#include "stage_fixture.h"

#include <string.h>

#include "arrays.h"
#include "check.h"
#include "tolerances.h"

static const int ROWS[3] = {0, 7, 9}; /* of a message, by mmax */

/* One forward pass with a random linear function of its outputs, for finite differences. */
typedef struct edge_stage {
    void (*forward)(struct edge_stage *s);
    edge_fixture *f;
    const dense_weights *w;
    const so2_weights *convolution;
    int rows, C;
    double *h, *radial, *message; /* inputs, as the stage has them */
    radial_activations act;
    double *out, *g_out; /* [count] */
    long count;
    int adds; /* the forward pass adds to `out` */
} edge_stage;

static double weighted_sum(void *context) {
    edge_stage *s = context;
    edge_fixture_move(s->f);
    for (long i = 0; i < s->count; i++) s->out[i] = s->adds ? 0 : NAN;
    s->forward(s);
    return dot(s->g_out, s->out, s->count);
}

static void check_slopes(const char *name, edge_stage *s, double *x, const double *got,
                         long count) {
    double *want = array_poisoned(count);
    differences(weighted_sum, s, x, count, DIFFERENCE_STEP, want);
    check_close(name, got, want, count, TOLERANCE_DIFFERENCE, TOLERANCE_DIFFERENCE);
}

/* got [edges] started from `start`; `parts`: which of distance and torques the stage adds. */
enum { DISTANCE = 1, TORQUES = 2 };

static void check_edge_gradient(const char *name, edge_stage *s, const umas_edge_gradient *got,
                                const umas_edge_gradient *start, int parts) {
    const int edges = s->f->chunk.edges;
    double *distance = array_zero(edges), *torque = array_zero(2L * edges);
    for (int e = 0; e < edges; e++) {
        distance[e] = got[e].distance - start[e].distance;
        torque[2 * e] = got[e].torque_x - start[e].torque_x;
        torque[2 * e + 1] = got[e].torque_z - start[e].torque_z;
    }
    char label[128];
    (void)snprintf(label, sizeof label, "%s: distance", name);
    if (parts & DISTANCE)
        check_slopes(label, s, s->f->stretch, distance, edges);
    else
        for (int e = 0; e < edges; e++) CHECK(distance[e] == 0);
    (void)snprintf(label, sizeof label, "%s: torques", name);
    if (parts & TORQUES)
        check_slopes(label, s, s->f->turn, torque, 2L * edges);
    else
        for (int e = 0; e < 2 * edges; e++) CHECK(torque[e] == 0);
}

/* Gradients with something in them already, and a copy of that. */
static umas_edge_gradient *random_gradient(int edges, umas_edge_gradient **start, uint64_t *state) {
    umas_edge_gradient *gradient = (umas_edge_gradient *)array_random(3L * edges, state);
    *start = (umas_edge_gradient *)array_copy((double *)gradient, 3L * edges);
    return gradient;
}

/* Does a forward pass that adds give the same on top of other numbers? */
static void check_forward_adds(const char *name, edge_stage *s, uint64_t *state) {
    double *start = array_random(s->count, state), *want = array_copy(start, s->count);
    (void)weighted_sum(s);
    for (long i = 0; i < s->count; i++) want[i] += s->out[i];
    double *alone = s->out;
    s->out = start;
    s->forward(s);
    s->out = alone;
    check_close(name, start, want, s->count, TOLERANCE_DOUBLE_SUM * 10, TOLERANCE_DOUBLE_SUM);
}

static radial_activations poisoned_activations(const edge_fixture *f) {
    const long n = (long)f->chunk.edges * f->a.edge_channels;
    return (radial_activations){{array_poisoned(n), array_poisoned(n)},
                                array_poisoned(n),
                                array_poisoned((long)f->chunk.edges * f->a.distance_functions)};
}

/* ---- geometry ----------------------------------------------------------------------------- */

static void check_frame(const double vector[3]) {
    double frame[3][3], product[9], unit[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, want[3] = {0};
    want[1] = umas_edge_frame(vector, frame);
    for (int i = 0; i < 9; i++) product[i] = dot(frame[i / 3], frame[i % 3], 3);
    check_close("R R^T", product, unit, 9, 10 * TOLERANCE_DOUBLE_SUM, 0);
    for (int i = 0; i < 3; i++) product[i] = dot(frame[i], vector, 3);
    check_close("R v", product, want, 3, 10 * TOLERANCE_DOUBLE_SUM, 0);
    const double *x = frame[0], *y = frame[1], *z = frame[2];
    const double volume = x[0] * (y[1] * z[2] - y[2] * z[1]) + x[1] * (y[2] * z[0] - y[0] * z[2]) +
                          x[2] * (y[0] * z[1] - y[1] * z[0]);
    check_close("det R", &volume, unit, 1, 10 * TOLERANCE_DOUBLE_SUM, 0);
}

static void test_geometry(edge_fixture *f) {
    const int edges = f->chunk.edges, G = f->a.distance_functions;
    for (int axis = 0; axis < 6; axis++) {
        double vector[3] = {0};
        vector[axis / 2] = axis % 2 ? 2.5 : -2.5;
        check_frame(vector);
    }
    for (int e = 0; e < edges; e++) {
        double frame[3][3], wigner[WIGNER_ENTRIES];
        check_frame(f->vector[e]);
        (void)umas_edge_frame(f->vector[e], frame);
        wigner_by_definition(frame, wigner);
        check_close("Wigner entries", f->chunk.wigner + (long)WIGNER_ENTRIES * e, wigner,
                    WIGNER_ENTRIES, 10 * TOLERANCE_DOUBLE_SUM, 0);
    }
    /* the values at five places along the edge, and the slopes in their middle */
    double *slopes[2] = {array_copy(f->chunk.envelope_slope, edges),
                         array_copy(f->chunk.basis_slope, (long)edges * G)};
    double *want[2] = {array_zero(edges), array_zero((long)edges * G)};
    const double weight[4] = {1.0 / 12, -8.0 / 12, 8.0 / 12, -1.0 / 12}, place[4] = {-2, -1, 1, 2};
    for (int i = 0; i < 4; i++) {
        for (int e = 0; e < edges; e++) f->stretch[e] = place[i] * DIFFERENCE_STEP;
        edge_fixture_move(f);
        for (int e = 0; e < edges; e++)
            want[0][e] += weight[i] / DIFFERENCE_STEP * f->chunk.envelope[e];
        for (int k = 0; k < edges * G; k++)
            want[1][k] += weight[i] / DIFFERENCE_STEP * f->chunk.basis[k];
    }
    for (int e = 0; e < edges; e++) f->stretch[e] = 0;
    edge_fixture_move(f);
    check_close("envelope slope", slopes[0], want[0], edges, TOLERANCE_DIFFERENCE, 0);
    check_close("basis slope", slopes[1], want[1], (long)edges * G, TOLERANCE_DIFFERENCE, 0);
}

/* The envelope goes from one to zero with two continuous derivatives. */
static void test_envelope_ends(void) {
    const umas_architecture a = small_architecture(1, 1, 1, 2, 2);
    const double vector[2][3] = {{0, 0, 1e-3}, {0, 6 - 1e-5, 0}}, want[2] = {1, 0};
    double wigner[2 * WIGNER_ENTRIES], envelope[2], slope[2], basis[4], basis_slope[4];
    edge_chunk chunk = {.edges = 2,
                        .wigner = wigner,
                        .envelope = envelope,
                        .envelope_slope = slope,
                        .basis = basis,
                        .basis_slope = basis_slope};
    edge_geometry_forward(&a, vector, &chunk);
    check_close("envelope", envelope, want, 2, 1e-14, 0);        /* 35 (1 - u)^3 = 1.6e-16 */
    check_close("envelope slope", slope, want + 1, 1, 2e-14, 0); /* -105 / 6 u^4 = -1.35e-14 */
    check_close("envelope slope", slope + 1, want + 1, 1, 1e-10,
                0); /* -105 / 6 (1 - u)^2 = -5e-11 */
}

/* ---- rotations ---------------------------------------------------------------------------- */

static void to_edge(edge_stage *s) {
    node_to_edge_wigner_permute_forward(&s->f->chunk, s->rows, s->C, s->h, s->radial, s->out);
}

static void test_node_to_edge(edge_fixture *f, uint64_t *state) {
    const int edges = f->chunk.edges, C = f->a.sphere_channels, rows = ROWS[f->a.mmax];
    const long features = 9L * C * f->nodes, radials = (rows == 9 ? 12L : 10L) * C * edges;
    edge_stage s = {.forward = to_edge,
                    .f = f,
                    .rows = rows,
                    .C = C,
                    .count = 2L * rows * C * edges};
    s.h = array_random(features, state);
    s.radial = array_random(radials, state);
    s.out = array_poisoned(s.count);
    s.g_out = array_random(s.count, state);

    double *g_radial = array_poisoned(radials), *g_source = array_poisoned(9L * C * edges);
    double *g_target = array_random(features, state), *g_h = array_copy(g_target, features);
    umas_edge_gradient *start, *gradient = random_gradient(edges, &start, state);
    node_to_edge_wigner_permute_backward(&f->chunk, rows, C, s.h, s.radial, s.g_out, g_radial,
                                         g_source, g_target, gradient);
    for (long i = 0; i < features; i++) g_h[i] = g_target[i] - g_h[i];
    for (int e = 0; e < edges; e++)
        for (int k = 0; k < 9 * C; k++)
            g_h[9L * C * f->chunk.source[e] + k] += g_source[9L * C * e + k];
    check_slopes("node_to_edge: h", &s, s.h, g_h, features);
    check_slopes("node_to_edge: radial", &s, s.radial, g_radial, radials);
    check_edge_gradient("node_to_edge", &s, gradient, start, TORQUES);
}

static const double SCALE = 0.7;

static void to_node(edge_stage *s) {
    permute_wigner_inv_edge_to_node_forward(&s->f->chunk, s->rows, s->C, SCALE, s->message, s->out);
}

static void test_edge_to_node(edge_fixture *f, int rows, uint64_t *state) {
    const int edges = f->chunk.edges, C = f->a.sphere_channels;
    const long messages = (long)rows * C * edges;
    edge_stage s = {.forward = to_node, .f = f, .rows = rows, .C = C, .count = 9L * C * f->nodes};
    s.adds = 1;
    s.message = array_random(messages, state);
    s.out = array_poisoned(s.count);
    s.g_out = array_random(s.count, state);
    check_forward_adds("edge_to_node: x", &s, state);

    double *g_message = array_poisoned(messages);
    umas_edge_gradient *start, *gradient = random_gradient(edges, &start, state);
    permute_wigner_inv_edge_to_node_backward(&f->chunk, rows, C, SCALE, s.message, s.g_out,
                                             g_message, gradient);
    check_slopes("edge_to_node: message", &s, s.message, g_message, messages);
    check_edge_gradient("edge_to_node", &s, gradient, start, DISTANCE | TORQUES);
}

/* ---- radial functions --------------------------------------------------------------------- */

static void radial_mlp(edge_stage *s) {
    unified_radial_mlp_forward(&s->f->a, &s->w->blocks[0].radial, &s->f->chunk, &s->act, s->out);
}

static void test_radial_mlp(edge_fixture *f, const dense_weights *w, uint64_t *state) {
    edge_stage s = {.forward = radial_mlp, .f = f, .w = w, .act = poisoned_activations(f)};
    s.count = (long)f->chunk.edges * w->blocks[0].radial.outputs;
    s.out = array_poisoned(s.count);
    s.g_out = array_random(s.count, state);
    radial_mlp(&s);
    umas_edge_gradient *start, *gradient = random_gradient(f->chunk.edges, &start, state);
    unified_radial_mlp_backward(&f->a, &w->blocks[0].radial, &f->chunk, &s.act, s.g_out, gradient);
    check_edge_gradient("radial_mlp", &s, gradient, start, DISTANCE);
}

static void edge_degree(edge_stage *s) {
    edge_degree_embedding_forward(s->w, &s->f->chunk, &s->act, s->radial, s->out);
}

static void test_edge_degree(edge_fixture *f, const dense_weights *w, uint64_t *state) {
    const long radials = 3L * f->a.sphere_channels * f->chunk.edges;
    edge_stage s = {.forward = edge_degree, .f = f, .w = w, .act = poisoned_activations(f)};
    s.adds = 1;
    s.count = 9L * f->a.sphere_channels * f->nodes;
    s.radial = array_poisoned(radials);
    s.out = array_poisoned(s.count);
    s.g_out = array_random(s.count, state);
    check_forward_adds("edge_degree: x", &s, state);
    umas_edge_gradient *start, *gradient = random_gradient(f->chunk.edges, &start, state);
    edge_degree_embedding_backward(w, &f->chunk, &s.act, array_poisoned(radials), s.g_out,
                                   array_poisoned(radials), gradient);
    check_edge_gradient("edge_degree", &s, gradient, start, DISTANCE | TORQUES);
}

/* ---- convolutions ------------------------------------------------------------------------- */

static void convolve(edge_stage *s) {
    so2_conv_forward(s->f->chunk.edges, s->rows, s->convolution, s->message, s->out);
}

static void test_so2_conv(edge_fixture *f, const so2_weights *w, uint64_t *state) {
    const int edges = f->chunk.edges, rows = ROWS[f->a.mmax];
    const long inputs = (long)edges * rows * w->inputs;
    edge_stage s = {.forward = convolve, .f = f, .rows = rows};
    s.count = (long)edges * (w->extra + rows * w->outputs);
    s.message = array_random(inputs, state);
    s.out = array_poisoned(s.count);
    s.g_out = array_random(s.count, state);
    s.convolution = w;
    double *g_message = array_poisoned(inputs);
    so2_conv_backward(edges, rows, w, s.g_out, g_message);
    check_slopes("so2_conv: x", &s, s.message, g_message, inputs);
}

/* ---- all ---------------------------------------------------------------------------------- */

static void test_size(int C, int H, int B, int G, int mmax, int edges, int nodes) {
    uint64_t state = (uint64_t)(C + 100 * edges);
    const umas_architecture a = small_architecture(C, H, B, G, mmax);
    dense_weights *w = random_weights(&a, 11);
    const int before = checks_failed;
    edge_fixture f = edge_fixture_create(&a, edges, nodes, &state);
    test_geometry(&f);
    test_node_to_edge(&f, &state);
    test_edge_to_node(&f, 3, &state);
    test_edge_to_node(&f, ROWS[mmax], &state);
    test_radial_mlp(&f, w, &state);
    test_edge_degree(&f, w, &state);
    test_so2_conv(&f, &w->blocks[0].conv_1, &state);
    test_so2_conv(&f, &w->blocks[0].conv_2, &state);
    CHECK(arrays_free() == 0);
    if (checks_failed > before)
        fprintf(stderr, "... with C %d, H %d, B %d, G %d, mmax %d, %d edges, %d nodes\n", C, H, B,
                G, mmax, edges, nodes);
    edge_fixture_free(&f);
    dense_weights_destroy(w);
}

int main(void) {
    test_envelope_ends();
    test_size(3, 5, 8, 4, 2, 5, 3);
    test_size(8, 3, 6, 7, 1, 6, 2);
    test_size(17, 2, 9, 2, 2, 2, 2);
    test_size(1, 1, 4, 2, 1, 1, 1);
    test_size(4, 6, 5, 3, 2, 0, 2);
    test_size(4, 6, 5, 3, 1, 0, 1);
    return check_report();
}
