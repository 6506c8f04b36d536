/* exp, sigmoid and silu in single precision against double. */
#define UMAS_REAL_IS_FLOAT
#include "activation.h"

#include "check.h"

/* Distance between floats at `x`. */
static double unit_in_last_place(double x) {
    const float here = (float)fabs(x);
    return (double)(nextafterf(here, INFINITY) - here);
}

typedef struct comparison {
    const char *name;
    float (*approximate)(float x);
    double (*exact)(double x);
    float from, to;
    double units, absolute; /* allowed: so many units in the last place, plus so much */
} comparison;

static double exact_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double exact_silu(double x) { return x / (1 + exp(-x)); }
static double exact_slope(double x) {
    const double s = exact_sigmoid(x);
    return s * (1 + x * (1 - s));
}

/* Every float of the range would take minutes; steps are a ratio of 1 + 2^-16 and 1/8192. */
static void compare(const comparison *c) {
    double worst = 0, worst_x = 0;
    int nan = 0;
    for (double x = (double)c->from; x <= (double)c->to;
         x += fmin(fmax(fabs(x) / 65536, 1e-30), 1.0 / 8192)) {
        const float at = (float)x;
        const double want = c->exact((double)at), got = (double)c->approximate(at);
        const double error = fmax(0, fabs(got - want) - c->absolute) / unit_in_last_place(want);
        nan += !(got == got);
        if (error > worst) {
            worst = error;
            worst_x = (double)at;
        }
    }
    printf("%s: at most %.3f units in the last place, at %.9g\n", c->name, worst, worst_x);
    CHECK(worst <= c->units);
    CHECK(nan == 0);
}

/* Beyond the range results stay at its ends, and NaN stays NaN. */
static void test_ends(void) {
    const float far[4] = {89, 1e4f, 3e38f, INFINITY};
    for (int i = 0; i < 4; i++) {
        CHECK(exponential(far[i]) == exponential(88) && exponential(-far[i]) == exponential(-87));
        CHECK(sigmoid(far[i]) == 1 && silu(far[i]) == far[i]);
        CHECK(sigmoid(-far[i]) >= 0 && sigmoid(-far[i]) < 1e-38f);
        CHECK(silu(-far[i]) <= 0 && silu(-far[i]) >= -1e-38f * far[i]);
    }
    CHECK(exponential(0) == 1 && exponential(-0.0f) == 1 && sigmoid(0) == 0.5f && silu(0) == 0);
    CHECK(isnan(exponential(NAN)) && isnan(exponential(-NAN)));
    CHECK(isnan(sigmoid(NAN)) && isnan(silu(NAN)) && isnan(silu_slope(NAN)));
}

int main(void) {
    const comparison cases[] = {
        {"exponential", exponential, exp, -87, 88, 2, 0},
        {"sigmoid", sigmoid, exact_sigmoid, -86, 200, 3, 0},
        {"silu", silu, exact_silu, -86, 200, 3, 0},
        /* the slope is zero at -1.28, and x (1 - s) has an error of some 16 times 6e-8 near 16 */
        {"silu_slope", silu_slope, exact_slope, -86, 200, 3, 1e-6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) compare(&cases[i]);
    test_ends();
    return check_report();
}
