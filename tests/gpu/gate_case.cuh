/* What the gate reads and what it leaves (cuda/edge_stages/edge_stages.cuh), in double. */
#ifndef UMAS_GATE_CASE_CUH
#define UMAS_GATE_CASE_CUH

#include <algorithm>

#include "device_array.cuh"
#include "edge_stages/edge_stages.cuh"

/* Degree of every row of a message. */
static const int DEGREE[9] = {0, 1, 2, 1, 2, 1, 2, 2, 2};

/* conv_1 [edges][2 C gates, rows C] with its bias */
static inline doubles biased(doubles conv_1, const floats &bias, int rows) {
    const size_t width = (size_t)conv_1_width(rows);
    for (size_t i = 0; i < conv_1.size(); i++)
        if (i % width < bias.size()) conv_1[i] += bias[i % width];
    return conv_1;
}

/* What the gate leaves of conv_1 with its bias, and of the rows [edges][rows C] that come out of
 * it. */
static inline doubles gated_of(const doubles &conv_1, const doubles &row, int rows) {
    const size_t width_1 = (size_t)conv_1_width(rows), width_2 = (size_t)conv_2_width(rows);
    doubles gated;
    for (size_t e = 0; e < row.size() / width_2; e++) {
        const double *inputs = conv_1.data() + e * width_1, *out = row.data() + e * width_2;
        gated.insert(gated.end(), inputs, inputs + GATE_INPUTS);
        gated.insert(gated.end(), out, out + width_2);
    }
    return gated;
}

/* The conv_1, with its bias, that leaves the first `edges` of these; the row of degree 0 is among
 * what it leaves. */
static inline doubles conv_1_of(const doubles &gated, size_t edges, int rows) {
    const size_t width = (size_t)gated_width(rows), width_1 = (size_t)conv_1_width(rows);
    const size_t C = CHANNELS;
    doubles conv_1(edges * width_1);
    for (size_t e = 0; e < edges; e++) {
        const double *from = gated.data() + e * width;
        double *to = conv_1.data() + e * width_1;
        std::copy_n(from, GATE_INPUTS, to);
        for (size_t i = C; i < (size_t)rows * C; i++) {
            const double gate = from[(size_t)(DEGREE[i / C] - 1) * C + i % C];
            to[2 * C + i] = from[GATE_INPUTS + i] * (1 + exp(-gate));
        }
    }
    return conv_1;
}

#endif
