/* What every part of a step works with: the engine, its stream and lists, and the features at
 * hand. */
#ifndef UMAS_STEP_CONTEXT_CUH
#define UMAS_STEP_CONTEXT_CUH

#include <type_traits>
#include <vector>

#include "engine/cuda_engine.cuh"
#include "profile/stage_costs.cuh"

/* Products by tiles and tabulated radial functions are of 16 bits alone. */
template <typename S> constexpr bool HALF = std::is_same<S, __half>::value;

template <typename S> struct step_context {
    cuda_engine<S> &e;
    cudaStream_t stream;
    edge_list inner, outer;
    edge_gradient gradient;
    int owned, nodes, rows;
    /* Features and what the next layer makes of them; backwards the gradient by them, and by h */
    float *x, *other;
    stage_costs<S> cost{rows,
                        double(owned),
                        double(nodes),
                        {double(e.timed_edges[0]), double(e.timed_edges[1])},
                        e.plan.inner};

    explicit step_context(cuda_engine<S> &engine)
        : e(engine), stream(engine.stream), inner(engine.list.inner_edges(engine.plan)),
          outer(engine.list.outer_edges(engine.plan)),
          gradient(engine.results.gradient(engine.plan)), owned(engine.plan.owned),
          nodes(engine.plan.nodes), rows(engine.rows), x(engine.nodes.x),
          other(engine.nodes.other) {}

    /* What is queued from here on is timed as this stage, where a step is timed. */
    void begin(const char *stage, stage_cost least) const {
        if (e.clock) e.clock->begin(stage, least);
    }

    /* h of a layer, if it is the one at work or all are kept */
    float *h_of(int layer) const { return e.nodes.h[e.plan.kept_h ? size_t(layer) : 0]; }
    const edge_list &edges_of(edge_span s) const {
        return s.begin >= outer.begin && outer.capacity > 0 ? outer : inner;
    }
    /* Those that there can be edges of. */
    std::vector<const edge_list *> kinds() const {
        std::vector<const edge_list *> some{&inner};
        if (outer.capacity > 0) some.push_back(&outer);
        return some;
    }
    void check(bool queued) { e.failed = e.failed || !queued; }
};

#endif
