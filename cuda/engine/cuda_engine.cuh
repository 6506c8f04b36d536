/* The CUDA engine's state: what an engine keeps between steps and cuda_step.cu works on.  S is how
 * arrays over edges are stored: __half (mixed) or float (single). */
#ifndef UMAS_CUDA_ENGINE_CUH
#define UMAS_CUDA_ENGINE_CUH

#include <vector>

#include "core_c.h"
#include "engine/engine_memory.cuh"
#include "exchange/rank_exchange.cuh"
#include "graph/edge_forces.cuh"
#include "products/cublas.cuh"
#include "profile/stage_clock.cuh"
#include "weights/device_weights.cuh"
#include "weights/radial_tables.cuh"

/* A step as a graph, and what it was captured for. */
struct captured_step {
    cudaGraphExec_t graph = nullptr;
    bool atom_virial = false;
    float gradient_scale = 0;

    void drop() {
        if (graph) cudaGraphExecDestroy(graph);
        graph = nullptr;
    }
};

template <typename S> struct cuda_engine {
    umas_engine_setup setup{};
    const umas_architecture *a = nullptr;
    int rows = 9;
    int device = 0;
    double memory_fraction = 0; /* of free memory, to be used */
    size_t free_at_start = 0;
    size_t memory = 0; /* bytes the engine may plan with */
    cudaStream_t stream = nullptr;
    bool tiled = false; /* products by the kernels of wgmma_products.cuh; else ... */
    product_library *products = nullptr; /* ... by cuBLAS */
    bool failed = false;                 /* a product could not be queued */

    dense_weights *merged = nullptr;
    device_weights<S> weights;
    device_buffer<double> reference; /* energies of elements, eV */
    radial_tables tables;

    step_plan plan;
    input_memory input;
    list_memory list;
    node_memory<S> nodes;
    chunk_memory<S> chunk;
    std::vector<kept_activations<S>> kept; /* [layers] */
    result_memory results;
    std::vector<int> row_atom; /* [nodes] the first atom that has a row */
    rank_exchange ranks;       /* open with several ranks */

    captured_step captured;
    float gradient_scale = 1; /* loss scale: stored gradients are the true ones times this */
    int steps_at_scale = 0;   /* since it changed, the same on all ranks */
    double system_atoms = 0;

    stage_clock *clock = nullptr; /* times the step that is queued; NULL: nothing does */
    int timed_edges[2] = {0, 0};  /* of that step, inner and outer */

    ~cuda_engine();

    const step_report &reported() const { return *static_cast<step_report *>(results.report_host); }
    /* Did the last step find more edges than there is room for? */
    bool lacks_room() const {
        return reported().edges[0] > plan.inner || reported().edges[1] > plan.outer;
    }
    candidate_list candidates() const {
        return {plan.owned,      plan.nodes,          input.position,
                input.element,   input.node,          input.first,
                input.neighbour, tables.element_slot, int(tables.present.size()),
                a->cutoff,       a->max_neighbors};
    }
    /* Bytes it holds, on the device and on the host. */
    size_t device_bytes() const;
    size_t host_bytes() const;
    /* Bytes for atoms and edges: what weights, tables and rows on their way to other ranks
     * leave. */
    size_t room() const {
        const size_t taken = weights.memory.bytes() + tables.table_bytes() + ranks.device_bytes();
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
