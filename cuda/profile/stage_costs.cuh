/* What the stages of a step must at least move, in bytes, and multiply, in operations: every array
 * is read once and written once, however often a kernel does it.  What all blocks share and the
 * caches hold (weights outside products, tables of radial functions) is not counted. */
#ifndef UMAS_STAGE_COSTS_CUH
#define UMAS_STAGE_COSTS_CUH

#include "edge_stages/edge_stages.cuh"
#include "profile/stage_clock.cuh"
#include "weights/device_weights.cuh"

template <typename S> struct stage_costs {
    int rows;
    double owned, nodes;
    double edges_of[2]; /* inner and outer ones in the list */
    int room;           /* for inner edges: outer ones begin behind it */
    double edges = edges_of[0] + edges_of[1];

    /* ---- edges ---- */

    stage_cost edge_list() const {
        return {nodes * POSITION + edges * (VECTOR + RECORD + 5 * sizeof(int)), 0};
    }
    stage_cost degree_forward() const {
        return {edges * (VECTOR + RECORD) + owned * 2 * FEATURES, 0};
    }
    stage_cost degree_backward() const {
        return {edges * (VECTOR + RECORD + GRADIENT) + owned * FEATURES, 0};
    }
    stage_cost clear_gradients() const { return {edges * GRADIENT, 0}; }
    stage_cost radial_hidden(edge_span s) const { return pass(s, CHANNELS, VECTOR, 0); }
    /* tabulated: radial functions come of tables that all blocks share */
    stage_cost node_to_edge_forward(edge_span s, bool tabulated) const {
        return pass(s, message_width(rows) + (tabulated ? 0 : radial_width(rows)), RECORD, 1);
    }
    /* both ends' gradients are added to: read and written */
    stage_cost node_to_edge_backward(edge_span s, bool tabulated) const {
        return pass(s, message_width(rows) + (tabulated ? 0 : 2 * radial_width(rows)),
                    RECORD + 2 * GRADIENT, 2);
    }
    stage_cost edge_to_node_forward(edge_span s) const {
        return pass(s, conv_2_width(rows), RECORD, 2);
    }
    stage_cost edge_to_node_backward(edge_span s) const {
        return pass(s, 2 * conv_2_width(rows), RECORD + GRADIENT, 1);
    }
    stage_cost gate_forward(edge_span s) const {
        return pass(s, conv_1_width(rows) + gated_width(rows), 0, 0);
    }
    stage_cost gate_backward(edge_span s) const {
        return pass(s, gate_gradient_reads() + conv_2_width(rows) + conv_1_width(rows), 0, 0);
    }
    stage_cost forces() const { return {edges * (GRADIENT + VECTOR + FRAME) + nodes * FORCE, 0}; }

    /* ---- products: [edges][n] and [edges][k] with weights [n][k] ---- */

    stage_cost product(edge_span s, int n, int k) const {
        double here = edges_in(s), weights = double(n) * k;
        return {(here * (n + k) + weights) * sizeof(S), 2 * here * weights};
    }
    stage_cost so2(edge_span s, const device_so2<S> &w) const {
        stage_cost sum;
        for (int i = 0; i < w.parts; i++) {
            stage_cost part = product(s, w.part[i].n, w.part[i].k);
            sum.bytes += part.bytes;
            sum.operations += part.operations;
        }
        return sum;
    }

    /* with the gate: its result is written instead of conv1's, its gradient instead of conv2's */
    stage_cost so2_gate_forward(edge_span s, const device_so2<S> &w) const {
        stage_cost sum = so2(s, w);
        sum.bytes += pass(s, gated_width(rows) - conv_1_width(rows), 0, 0).bytes;
        return sum;
    }
    stage_cost so2_gate_backward(edge_span s, const device_so2<S> &w) const {
        stage_cost sum = so2(s, w);
        sum.bytes +=
            pass(s, gate_gradient_reads() + conv_1_width(rows) - conv_2_width(rows), 0, 0).bytes;
        return sum;
    }

    /* ---- nodes; maps: matrices [C][C] that a node's rows are multiplied with ---- */

    stage_cost owned_rows(int arrays, int maps = 0, int kept = 0) const {
        return {owned * (arrays * FEATURES + kept * KEPT), 2 * owned * maps * CHANNELS * CHANNELS};
    }
    stage_cost embed_nodes() const { return owned_rows(1); }
    stage_cost norm_forward() const { return owned_rows(2, 0, 1); }
    stage_cost norm_restore() const { return {nodes * (FEATURES + KEPT), 0}; }
    stage_cost norm_keep() const { return {(nodes - owned) * (FEATURES + KEPT), 0}; }
    stage_cost norm_backward() const { return owned_rows(3, 0, 1); }
    /* 2 maps to the gates, one a row before and one a row behind them */
    stage_cost atomwise_forward() const { return owned_rows(2, 2 + 9 + 9, 1); }
    /* ... and those before the gates again */
    stage_cost atomwise_backward() const { return owned_rows(2, 2 * (2 + 9) + 9, 1); }
    stage_cost head() const { return owned_rows(2, 4); }
    stage_cost balance(int channels) const { return {owned * 2 * channels * sizeof(float), 0}; }
    stage_cost sum_energies() const { return {owned * (sizeof(float) + sizeof(double)), 0}; }
    stage_cost results() const { return {nodes * FORCE + owned * sizeof(double), 0}; }

  private:
    static constexpr double FEATURES = NODE_WIDTH * sizeof(float);
    static constexpr double KEPT = NODE_WIDTH * sizeof(S);
    static constexpr double VECTOR = sizeof(float4), RECORD = EDGE_RECORD * sizeof(float);
    static constexpr double FRAME = 9 * sizeof(float);
    static constexpr double GRADIENT = 4 * sizeof(float4); /* both ends', or one end's twice */
    static constexpr double POSITION = 3 * sizeof(double), FORCE = 3 * sizeof(double);

    /* all that the gate left but the row of degree 0 */
    int gate_gradient_reads() const { return gated_width(rows) - CHANNELS; }
    double edges_in(edge_span s) const {
        double left = s.begin < room ? edges_of[0] - s.begin : room + edges_of[1] - s.begin;
        return left < 0 ? 0 : left < s.size ? left : s.size;
    }
    /* Over a chunk: `stored` numbers of type S and `bytes` an edge; arrays of features, all nodes'
     * in all chunks together. */
    stage_cost pass(edge_span s, int stored, double bytes, int features) const {
        double here = edges_in(s);
        if (here == 0) return {};
        return {here * (stored * sizeof(S) + bytes) + here / edges * nodes * features * FEATURES,
                0};
    }
};

#endif
