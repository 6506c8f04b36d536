/* The CUDA engine's state: what cuda_engine.cu keeps between steps and cuda_step.cu works on. */
#ifndef UMAS_CUDA_ENGINE_CUH
#define UMAS_CUDA_ENGINE_CUH

#include <algorithm>
#include <memory>
#include <vector>

#include "core_c.h"
#include "device_buffer.cuh"
#include "edge_stages/edge_stages.cuh"
#include "exchange/rank_exchange.cuh"
#include "graph/edge_forces.cuh"
#include "node_stages/node_stages.cuh"
#include "products/products.cuh"
#include "profile/stage_clock.cuh"
#include "weights/device_weights.cuh"

/* What the memory was made for, and how the edges are cut.  Activations stay for the backward pass of
 * the last layers, of each its first chunks: as many as the memory has room for. */
struct step_plan {
    int owned = -1, nodes = -1; /* none yet */
    int node_capacity = 0;      /* rows of the nodes' arrays */
    int inner = 0, outer = 0;   /* room for edges of either kind (edge_list.cuh) */
    int chunk = 0;              /* edges worked on at a time */
    int kept_gated = 0;         /* chunks, over all layers, that keep what the gate leaves, ... */
    int kept_conv_2 = 0;        /* ... what conv2 leaves, ... */
    int kept_radials = 0;       /* ... and their radial functions */
    bool kept_h = false;        /* h of every layer stays */
    size_t bytes = 0;           /* all of it */
    int edges() const { return inner + outer; }
    int inner_chunks() const { return chunk > 0 ? (inner + chunk - 1) / chunk : 0; }
    int outer_chunks() const { return chunk > 0 ? (outer + chunk - 1) / chunk : 0; }
    int chunks() const { return inner_chunks() + outer_chunks(); }
    /* Chunks of inner edges come first. */
    bool is_outer(int i) const { return i >= inner_chunks(); }
    edge_span span(int i) const {
        const int at = (is_outer(i) ? i - inner_chunks() : i) * chunk;
        return is_outer(i) ? edge_span{inner + at, std::min(chunk, outer - at)}
                           : edge_span{at, std::min(chunk, inner - at)};
    }
    /* Of `kept` chunks those of a layer that has `later` layers behind it, and their edges. */
    int kept_of_layer(int kept, int later) const {
        return std::clamp(kept - later * chunks(), 0, chunks());
    }
    int kept_edges(int kept, int later) const {
        const int count = kept_of_layer(kept, later);
        return count == 0 ? 0 : span(count - 1).begin + span(count - 1).size;
    }
};

/* What the two norms of a layer leave for its backward pass. */
template <typename S> struct layer_norms {
    device_buffer<S> rows[2]; /* [nodes][9][C] */
    device_buffer<float> inverse[2];
    kept_norm<S> norm(int i) const { return {rows[i], inverse[i]}; }
};

/* Activations that a layer's first chunks leave for its backward pass. */
template <typename S> struct kept_activations { device_buffer<S> radial, gated, conv_2; };

template <typename S> struct cuda_engine {
    umas_engine_setup setup{};
    const umas_architecture *a = nullptr;
    int rows = 9;
    int device = 0;
    double memory_fraction = 0; /* of free memory, to be used */
    size_t free_at_start = 0;
    size_t memory = 0; /* bytes the engine may plan with */
    cudaStream_t stream = nullptr;
    bool tiled = false;                  /* products by the kernels of so2_tiles.cuh; else ... */
    product_library *products = nullptr; /* ... by cuBLAS */
    bool failed = false;                 /* a product could not be queued */

    dense_weights *merged = nullptr;
    device_weights<S> weights;
    std::vector<int> present; /* atomic numbers the radial tables are made for */
    device_buffer<int> present_elements, element_slot;
    bool tabulated = false; /* the layers' radial functions; else their MLPs' hidden layers */
    device_buffer<float> degree_values, hidden_values; /* tables */
    device_buffer<__half> radial_values;
    device_buffer<double> reference;

    step_plan plan;
    /* input */
    device_buffer<double> position;
    device_buffer<int> element, node, neighbour;
    device_buffer<long long> first;
    host_buffer<double> position_host;
    /* the edge list */
    device_buffer<int> edge_end, in_first, outer_first, out_first, out, unsorted, cursor;
    device_buffer<double> reach;
    device_buffer<radial_place> place;
    device_buffer<float4> vector;
    device_buffer<float> record;
    device_buffer<char> scan;
    device_buffer<node_visit> visit;
    device_buffer<chunk_extent> extent;
    /* nodes */
    /* [nodes][9][C] each: x, or its gradient backwards; x of the next layer, or the gradient of h;
     * and h, of a layer or of each, [1] or [layers] */
    device_buffer<float> x, other;
    std::vector<device_buffer<float>> h;
    std::vector<layer_norms<S>> norms; /* [layers] */
    device_buffer<float> energy;
    /* a chunk of edges */
    device_buffer<S> hidden, radial, radial_slope, message, conv_1, gated, conv_2, g_conv_2;
    std::vector<kept_activations<S>> kept; /* [layers] */
    /* gradients and results */
    device_buffer<float4> g_edge, edge_vector;
    device_buffer<double> force, atom_virial, atom_energy, partial, balance_sum;
    device_buffer<step_report> report;
    host_buffer<step_report> report_host;
    host_buffer<double> force_host, atom_energy_host, atom_virial_host;
    std::vector<int> row_atom; /* [nodes] the first atom that has a row */
    rank_exchange ranks;       /* open with several ranks */

    /* the captured step and what it was captured for */
    cudaGraphExec_t graph = nullptr;
    bool graph_virial = false;
    float graph_scale = 0;

    float gradient_scale = 1; /* gradients are this much larger than they are */
    int steps_at_scale = 0;   /* since it changed, the same on all ranks */
    double system_atoms = 0;

    stage_clock *clock = nullptr; /* times the step that is queued; NULL: nothing does */
    int timed_edges[2] = {0, 0};  /* of that step, inner and outer */

    const step_report &reported() const { return *static_cast<step_report *>(report_host); }
    /* Did the last step find more edges than there is room for? */
    bool lacks_room() const {
        return reported().edges[0] > plan.inner || reported().edges[1] > plan.outer;
    }

    ~cuda_engine();
    void drop_graph();

    edge_list inner_edges() const {
        const bool whole = plan.inner_chunks() <= 1;
        return {plan.owned,
                plan.owned,
                0,
                plan.inner,
                edge_end,
                in_first,
                out_first,
                out,
                place,
                vector,
                record,
                whole ? nullptr : static_cast<node_visit *>(visit),
                whole ? nullptr : static_cast<chunk_extent *>(extent)};
    }
    /* with all nodes, of which few have any; without any edges on one rank */
    edge_list outer_edges() const {
        return {plan.owned,  plan.nodes, plan.inner, plan.outer, edge_end + 1,
                outer_first, out_first,  out,        place,      vector,
                record,      visit,      extent};
    }
    edge_list_buffers list() const {
        return {plan.inner, plan.outer, edge_end, in_first, outer_first, reach, out_first,      out,
                place,      unsorted,   cursor,   vector,   record,      scan,  scan.capacity()};
    }
    edge_gradient gradient() const { return {g_edge, g_edge + 2 * size_t(plan.edges())}; }
    candidate_list candidates() const {
        return {
            plan.owned,   plan.nodes,          position,  element,         node, first, neighbour,
            element_slot, int(present.size()), a->cutoff, a->max_neighbors};
    }
    float knots_per_length() const { return float((RADIAL_KNOTS - 1) / a->cutoff); }
    size_t knots() const { return present.size() * present.size() * RADIAL_KNOTS; }
    radial_table degree_table() const { return {degree_values, knots_per_length()}; }
    size_t hidden_values_of_a_layer() const { return knots() * RADIAL_ROWS * CHANNELS; }
    float *hidden_values_of(int layer) const {
        return hidden_values + hidden_values_of_a_layer() * size_t(layer);
    }
    radial_table layer_table(int layer) const {
        return {hidden_values_of(layer), knots_per_length()};
    }
    size_t radial_values_of_a_layer() const {
        return knots() * PARABOLA_ROWS * size_t(radial_width(rows));
    }
    __half *radial_values_of(int layer) const {
        return radial_values + radial_values_of_a_layer() * size_t(layer);
    }
    tabulated_radials layer_radials(int layer) const {
        return {radial_values_of(layer), 1 / knots_per_length()};
    }
    /* Bytes it holds, on the device and on the host. */
    size_t device_bytes() const;
    size_t host_bytes() const;
    /* Bytes for atoms and edges: what weights, tables and rows on their way to other ranks leave. */
    size_t room() const {
        const size_t taken = weights.memory.bytes() + degree_values.bytes() +
                             hidden_values.bytes() + radial_values.bytes() + ranks.device_bytes();
        return memory > taken ? memory - taken : 0;
    }
};

/* Queue a whole step on the engine's stream: edge list, forward, backward, results to pinned host
 * memory.  Where rows pass through host memory to other ranks, it waits for them.
 * Status: EXCHANGE, DEVICE. */
template <typename S>
umas_status queue_step(cuda_engine<S> &e, bool atom_virial, umas_error *error);

/* `profile` and `device_rates` of umas_engine_operations. */
template <typename S>
umas_status profile_step(void *self, int atom_virial, umas_stage_time *stages, int capacity,
                         int *count, umas_error *error);
template <typename S>
umas_status measure_rates(void *self, umas_device_rates *rates, umas_error *error);

#endif
