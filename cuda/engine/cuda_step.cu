/* One evaluation on the GPU, stage by stage: docs/model.md (1) to (3), (5) to (7) and (13) to (38),
 * in this order; (4) and (8) to (12) are done when weights are merged.  The counterpart of core/engine/cpu_engine.c.  Everything is
 * queued on one stream, and only what travels to other ranks on another, so that a step can be
 * captured as a CUDA graph.  The host waits for nothing within a step, unless rows travel through
 * host memory. */
#include "engine/step_chunk.cuh"
#include "engine/step_ranks.cuh"

#include <utility>

namespace {

/* g_h from node `first` on */
template <typename S> void clear_gradients(step_context<S> &c, int first) {
    const size_t count = size_t(c.nodes - first) * NODE_WIDTH;
    if (count > 0)
        cudaMemsetAsync(c.other + size_t(first) * NODE_WIDTH, 0, count * sizeof(float), c.stream);
}

/* Rows of h from other ranks, which are kept as they are. */
template <typename S> umas_status receive(step_context<S> &c, int layer, umas_error *error) {
    const umas_status status = finish_exchange(c, c.h_of(layer), false, error);
    if (status != UMAS_OK || c.e.plan.kept_h || layer == c.e.a->layers - 1) return status;
    c.begin("rms_norm_sh_keep", c.cost.norm_keep());
    rms_norm_sh_keep(c.stream, c.owned, c.nodes, c.h_of(layer),
                     c.e.nodes.norms[size_t(layer)].norm(0));
    return status;
}

/* Inner edges are worked on while rows of h are on their way, which outer edges need. */
template <typename S> umas_status edges_forward(step_context<S> &c, int layer, umas_error *error) {
    umas_status status = start_exchange(c, c.h_of(layer), false, error);
    for (int chunk = 0; chunk < c.e.plan.chunks() && status == UMAS_OK; chunk++) {
        if (chunk == c.e.plan.inner_chunks()) status = receive(c, layer, error);
        if (status != UMAS_OK) return status;
        chunk_forward(c, layer, chunk);
    }
    if (status != UMAS_OK || c.e.plan.outer_chunks() > 0) return status;
    return receive(c, layer, error);
}

/* Outer edges come first: what they leave for other ranks is then on its way while inner ones are
 * worked on. */
template <typename S> umas_status edges_backward(step_context<S> &c, int layer, umas_error *error) {
    const int first_outer = c.e.plan.inner_chunks(), chunks = c.e.plan.chunks();
    /* the whole list of inner edges writes all owned rows, and there is nobody to add to */
    const bool whole = !c.inner.extent && c.inner.capacity > 0 && first_outer == chunks;
    clear_gradients(c, whole ? c.owned : 0);
    for (int chunk = first_outer; chunk < chunks; chunk++) chunk_backward(c, layer, chunk, true);
    const umas_status status = start_exchange(c, c.other, true, error);
    if (status != UMAS_OK) return status;
    for (int chunk = 0; chunk < first_outer; chunk++) chunk_backward(c, layer, chunk, !whole);
    return finish_exchange(c, c.other, true, error);
}

/* Energies of the network, and the gradient by x that the last layer leaves, now in its place. */
template <typename S> void head(step_context<S> &c) {
    c.begin("energy_head", c.cost.head());
    energy_head(c.stream, c.owned, c.e.input.element, c.e.weights.head, c.e.gradient_scale, c.x,
                c.e.nodes.energy, c.other);
    std::swap(c.x, c.other);
    c.begin("sum_energies", c.cost.sum_energies());
    sum_energies(c.stream, c.owned, c.e.input.element, c.e.nodes.energy, c.e.setup.task->rmsd,
                 c.e.reference, c.e.results.atom_energy, c.e.results.partial,
                 &static_cast<step_report *>(c.e.results.report)->energy);
}

template <typename S> norm_weights norm_1(step_context<S> &c, int layer) {
    const auto &w = c.e.weights.block[size_t(layer)];
    return {w.norm_1_w, w.norm_1_b, c.e.weights.csd};
}

template <typename S> umas_status forward(step_context<S> &c, umas_error *error) {
    c.begin("embed_nodes", c.cost.embed_nodes());
    embed_nodes(c.stream, c.owned, c.e.input.element, c.e.weights.sphere, c.x);
    c.begin("edge_degree_embedding_forward", c.cost.degree_forward());
    for (const edge_list *edges : c.kinds())
        edge_degree_embedding_forward(c.stream, *edges, c.e.tables.degree_table(), c.x);
    for (int i = 0; i < c.e.a->layers; i++) {
        const auto &w = c.e.weights.block[size_t(i)];
        const auto &norms = c.e.nodes.norms[size_t(i)];
        c.begin("rms_norm_sh_forward", c.cost.norm_forward());
        rms_norm_sh_forward(c.stream, c.owned, norm_1(c, i), c.x, c.h_of(i), norms.norm(0));
        umas_status status = edges_forward(c, i, error);
        if (status != UMAS_OK) return status;
        c.begin("atomwise_forward", c.cost.atomwise_forward());
        atomwise_forward(c.stream, c.owned, w.atomwise, c.x, c.other, norms.norm(1));
        std::swap(c.x, c.other);
        status = balance(c, false, error);
        if (status != UMAS_OK) return status;
    }
    return UMAS_OK;
}

template <typename S> umas_status backward(step_context<S> &c, umas_error *error) {
    size_t n = size_t(c.e.plan.edges());
    c.begin("clear_edge_gradients", c.cost.clear_gradients());
    cudaMemsetAsync(c.e.results.g_edge, 0, n * 4 * sizeof(float4), c.stream);
    for (int i = c.e.a->layers - 1; i >= 0; i--) {
        umas_status status = balance(c, true, error);
        if (status != UMAS_OK) return status;
        c.begin("atomwise_backward", c.cost.atomwise_backward());
        atomwise_backward(c.stream, c.owned, c.e.weights.block[size_t(i)].atomwise,
                          c.e.nodes.norms[size_t(i)].norm(1), c.x);
        if (!c.e.plan.kept_h && i < c.e.a->layers - 1) {
            c.begin("rms_norm_sh_restore", c.cost.norm_restore());
            rms_norm_sh_restore(c.stream, c.owned, c.nodes, norm_1(c, i),
                                c.e.nodes.norms[size_t(i)].norm(0), c.h_of(i));
        }
        status = edges_backward(c, i, error);
        if (status != UMAS_OK) return status;
        c.begin("rms_norm_sh_backward", c.cost.norm_backward());
        rms_norm_sh_backward(c.stream, c.owned, norm_1(c, i), c.e.nodes.norms[size_t(i)].norm(0),
                             c.other, c.x);
    }
    c.begin("edge_degree_embedding_backward", c.cost.degree_backward());
    for (const edge_list *edges : c.kinds())
        edge_degree_embedding_backward(c.stream, *edges, c.e.tables.degree_table(), c.x,
                                       c.gradient);
    return UMAS_OK;
}

template <typename S> void results(step_context<S> &c, bool atom_virial) {
    double scale = c.e.setup.task->rmsd / double(c.e.gradient_scale);
    c.begin("edges_to_forces", c.cost.forces());
    edges_to_forces(c.stream, c.inner, c.outer, c.gradient, scale, c.e.results.edge_vector,
                    c.e.results.force,
                    atom_virial ? static_cast<double *>(c.e.results.atom_virial) : nullptr,
                    c.e.results.partial, c.e.results.report);
    size_t n = size_t(c.nodes);
    c.begin("results_to_host", c.cost.results());
    cudaMemcpyAsync(c.e.results.report_host, c.e.results.report, sizeof(step_report),
                    cudaMemcpyDeviceToHost, c.stream);
    cudaMemcpyAsync(c.e.results.force_host, c.e.results.force, n * 3 * sizeof(double),
                    cudaMemcpyDeviceToHost, c.stream);
    cudaMemcpyAsync(c.e.results.atom_energy_host, c.e.results.atom_energy,
                    size_t(c.owned) * sizeof(double), cudaMemcpyDeviceToHost, c.stream);
    if (atom_virial)
        cudaMemcpyAsync(c.e.results.atom_virial_host, c.e.results.atom_virial,
                        n * 6 * sizeof(double), cudaMemcpyDeviceToHost, c.stream);
}

} // namespace

template <typename S>
umas_status queue_step(cuda_engine<S> &e, bool atom_virial, umas_error *error) {
    e.failed = false;
    step_context<S> c(e);
    c.begin("edge_list", c.cost.edge_list());
    edge_list_build(e.stream, e.candidates(), e.list.buffers(e.plan), e.results.report);
    umas_status status = forward(c, error);
    if (status != UMAS_OK) return status;
    head(c);
    status = backward(c, error);
    if (status != UMAS_OK) return status;
    results(c, atom_virial);
    if (e.failed) return umas_fail(error, UMAS_ERROR_DEVICE, "the GPU refused a product");
    return UMAS_OK;
}

template umas_status queue_step<__half>(cuda_engine<__half> &, bool, umas_error *);
template umas_status queue_step<float>(cuda_engine<float> &, bool, umas_error *);
