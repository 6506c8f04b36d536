/* One evaluation on the GPU, stage by stage: the counterpart of core/engine/cpu_engine.c. */
#include "engine/cuda_engine.cuh"
#include "profile/stage_costs.cuh"

#include <initializer_list>
#include <type_traits>
#include <utility>

namespace {

template <typename S> struct step {
    cuda_engine<S> &e;
    cudaStream_t stream;
    edge_list inner, outer;
    edge_gradient gradient;
    int owned, nodes, rows;
    /* Features and what the next layer makes of them; backwards the gradient by them, and by h */
    float *x, *other;
    /* Products by tiles and tabulated radial functions are of 16 bits alone. */
    static constexpr bool HALF = std::is_same<S, __half>::value;
    stage_costs<S> cost{rows,
                        double(owned),
                        double(nodes),
                        {double(e.timed_edges[0]), double(e.timed_edges[1])},
                        e.plan.inner};

    explicit step(cuda_engine<S> &engine)
        : e(engine), stream(engine.stream), inner(engine.inner_edges()),
          outer(engine.outer_edges()), gradient(engine.gradient()), owned(engine.plan.owned),
          nodes(engine.plan.nodes), rows(engine.rows), x(engine.x), other(engine.other) {}

    /* What is queued from here on is timed as this stage, where a step is timed. */
    void begin(const char *stage, stage_cost least) const {
        if (e.clock) e.clock->begin(stage, least);
    }

    float *h_of(int layer) const { return e.h[e.plan.kept_h ? size_t(layer) : 0]; }
    /* Does this chunk of a layer keep something that so many chunks do? */
    bool keeps(int kept, int layer, int chunk) const {
        return chunk < e.plan.kept_of_layer(kept, e.a->layers - 1 - layer);
    }
    /* Where a chunk's activations live: in the layer's store or in the chunk's buffers. */
    S *place(int kept, int layer, int chunk, S *store, S *chunk_buffer, int width) const {
        if (!keeps(kept, layer, chunk)) return chunk_buffer;
        return store + size_t(e.plan.span(chunk).begin) * size_t(width);
    }
    S *radial_of(int layer, int chunk) const {
        return place(e.plan.kept_radials, layer, chunk, e.kept[size_t(layer)].radial, e.radial,
                     radial_width(rows));
    }
    S *gated_of(int layer, int chunk) const {
        return place(e.plan.kept_gated, layer, chunk, e.kept[size_t(layer)].gated, e.gated,
                     gated_width(rows));
    }
    S *conv_2_of(int layer, int chunk) const {
        return place(e.plan.kept_conv_2, layer, chunk, e.kept[size_t(layer)].conv_2, e.conv_2,
                     conv_2_width(rows));
    }
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

    /* ---- products ---- */

    void so2_forward(const device_so2<S> &w, edge_span s, const S *x, S *y) {
        if constexpr (HALF)
            if (e.tiled)
                return check(tiled_products(stream, edges_of(s), s, w.forward, x, w.width_in, y,
                                            w.width_out));
        for (int i = 0; i < w.parts; i++) {
            const auto &p = w.part[i];
            check(product_nt(e.products, {s.size, p.n, p.k, w.width_in, w.width_out}, x + p.from,
                             p.w, y + p.to));
        }
    }
    void so2_backward(const device_so2<S> &w, edge_span s, const S *g_y, S *g_x) {
        if constexpr (HALF)
            if (e.tiled)
                return check(tiled_products(stream, edges_of(s), s, w.backward, g_y, w.width_out,
                                            g_x, w.width_in));
        for (int i = 0; i < w.parts; i++) {
            const auto &p = w.part[i];
            check(product_nn(e.products, {s.size, p.n, p.k, w.width_out, w.width_in}, g_y + p.to,
                             p.w, g_x + p.from));
        }
    }

    /* message -> gated */
    void conv_1_forward(const device_so2<S> &w, edge_span s, S *gated) {
        if constexpr (HALF)
            if (e.tiled) {
                begin("so2_conv_1_gate_forward products", cost.so2_gate_forward(s, w));
                return check(so2_gate_forward(stream, rows, edges_of(s), s, w.forward, w.bias,
                                              e.message, gated));
            }
        begin("so2_conv_1_forward products", cost.so2(s, w));
        so2_forward(w, s, e.message, e.conv_1);
        begin("gate_forward", cost.gate_forward(s));
        gate_forward<S>(stream, rows, edges_of(s), s, w.bias, e.conv_1, gated);
    }
    /* g_conv_2 -> the gradient of conv_1, in its place */
    void conv_2_backward(const device_so2<S> &w, edge_span s, const S *gated) {
        if constexpr (HALF)
            if (e.tiled) {
                begin("so2_conv_2_gate_backward products", cost.so2_gate_backward(s, w));
                return check(so2_gate_backward(stream, rows, edges_of(s), s, w.backward, e.g_conv_2,
                                               gated, e.conv_1));
            }
        S *g_gated = e.message; /* which is not needed any more */
        begin("so2_conv_2_backward products", cost.so2(s, w));
        so2_backward(w, s, e.g_conv_2, g_gated);
        begin("gate_backward", cost.gate_backward(s));
        gate_backward<S>(stream, rows, edges_of(s), s, gated, g_gated, e.conv_1);
    }

    /* ---- edges ---- */

    /* A layer's radial functions or their slopes, unless there are tables of them. */
    void radial_product(int layer, edge_span s, bool slope, S *out) {
        if (e.tabulated) return;
        const auto &w = e.weights.block[size_t(layer)];
        begin(slope ? "unified_radial_mlp_backward" : "unified_radial_mlp_forward",
              cost.radial_hidden(s));
        radial_hidden<S>(stream, edges_of(s), s, e.layer_table(layer), slope, e.hidden);
        begin(slope ? "unified_radial_mlp_backward products"
                    : "unified_radial_mlp_forward products",
              cost.product(s, w.radial_outputs, CHANNELS));
        const S *hidden = e.hidden;
        if constexpr (HALF)
            if (e.tiled)
                return check(tiled_products(stream, edges_of(s), s, w.radial_tiles, hidden,
                                            HIDDEN_WIDTH, out, w.radial_outputs));
        check(product_nt(e.products,
                         {s.size, w.radial_outputs, HIDDEN_WIDTH, HIDDEN_WIDTH, w.radial_outputs},
                         hidden, w.radial_w, out));
    }
    void node_to_edge_forward(int layer, int chunk) {
        const edge_span s = e.plan.span(chunk);
        const float *h = h_of(layer);
        S *message = e.message;
        begin("node_to_edge_wigner_permute_forward", cost.node_to_edge_forward(s, e.tabulated));
        if constexpr (HALF)
            if (e.tabulated)
                return node_to_edge_wigner_permute_forward(stream, rows, edges_of(s), s, h,
                                                           e.layer_radials(layer), message);
        const stored_radials<S> radials = {radial_of(layer, chunk), nullptr};
        node_to_edge_wigner_permute_forward(stream, rows, edges_of(s), s, h, radials, message);
    }
    /* add: to g_h, which else is overwritten */
    void node_to_edge_backward(int layer, int chunk, bool add) {
        const edge_span s = e.plan.span(chunk);
        const float *h = h_of(layer);
        const S *g_message = e.message;
        begin("node_to_edge_wigner_permute_backward", cost.node_to_edge_backward(s, e.tabulated));
        if constexpr (HALF)
            if (e.tabulated)
                return node_to_edge_wigner_permute_backward(stream, rows, edges_of(s), s, h,
                                                            e.layer_radials(layer), g_message,
                                                            other, add, gradient);
        const stored_radials<S> radials = {radial_of(layer, chunk), e.radial_slope};
        node_to_edge_wigner_permute_backward(stream, rows, edges_of(s), s, h, radials, g_message,
                                             other, add, gradient);
    }
    /* h -> gated */
    void convolve_1(int layer, int chunk) {
        node_to_edge_forward(layer, chunk);
        conv_1_forward(e.weights.block[size_t(layer)].conv_1, e.plan.span(chunk),
                       gated_of(layer, chunk));
    }
    /* gated -> conv_2 */
    void convolve_2(int layer, int chunk) {
        const auto &w = e.weights.block[size_t(layer)].conv_2;
        const edge_span s = e.plan.span(chunk);
        begin("so2_conv_2_forward products", cost.so2(s, w));
        so2_forward(w, s, gated_of(layer, chunk), conv_2_of(layer, chunk));
    }
    /* What the kernels over a chunk's nodes visit, where it is not the whole list. */
    void find_nodes(edge_span s) {
        const edge_list &edges = edges_of(s);
        if (!edges.extent) return;
        begin("chunk_nodes", {});
        chunk_nodes_find(stream, edges, s);
    }
    /* Inner edges are worked on while rows of h are on their way, which outer edges need. */
    umas_status edges_forward(int layer, umas_error *error) {
        const auto &w = e.weights.block[size_t(layer)];
        umas_status status = start_exchange(h_of(layer), false, error);
        for (int chunk = 0; chunk < e.plan.chunks() && status == UMAS_OK; chunk++) {
            if (chunk == e.plan.inner_chunks()) status = receive(layer, error);
            if (status != UMAS_OK) return status;
            const edge_span s = e.plan.span(chunk);
            find_nodes(s);
            radial_product(layer, s, false, radial_of(layer, chunk));
            convolve_1(layer, chunk);
            convolve_2(layer, chunk);
            begin("permute_wigner_inv_edge_to_node_forward", cost.edge_to_node_forward(s));
            permute_wigner_inv_edge_to_node_forward<S>(stream, rows, edges_of(s), s, w.conv_2.bias,
                                                       conv_2_of(layer, chunk), x);
        }
        if (status != UMAS_OK || e.plan.outer_chunks() > 0) return status;
        return receive(layer, error);
    }
    /* Rows of h from other ranks, which are kept as they are. */
    umas_status receive(int layer, umas_error *error) {
        const umas_status status = finish_exchange(h_of(layer), false, error);
        if (status == UMAS_OK && !e.plan.kept_h)
            rms_norm_sh_keep(stream, owned, nodes, h_of(layer), e.norms[size_t(layer)].norm(0));
        return status;
    }
    /* add: to g_h, which else is overwritten */
    void chunk_backward(int layer, int chunk, bool add) {
        const auto &w = e.weights.block[size_t(layer)];
        const edge_span s = e.plan.span(chunk);
        find_nodes(s);
        if (!keeps(e.plan.kept_radials, layer, chunk))
            radial_product(layer, s, false, radial_of(layer, chunk));
        if (!keeps(e.plan.kept_gated, layer, chunk)) convolve_1(layer, chunk);
        if (!keeps(e.plan.kept_conv_2, layer, chunk)) convolve_2(layer, chunk);
        begin("permute_wigner_inv_edge_to_node_backward", cost.edge_to_node_backward(s));
        permute_wigner_inv_edge_to_node_backward<S>(stream, rows, edges_of(s), s, w.conv_2.bias,
                                                    conv_2_of(layer, chunk), x, e.g_conv_2,
                                                    gradient);
        conv_2_backward(w.conv_2, s, gated_of(layer, chunk));
        begin("so2_conv_1_backward products", cost.so2(s, w.conv_1));
        so2_backward(w.conv_1, s, e.conv_1, e.message);
        radial_product(layer, s, true, e.radial_slope);
        node_to_edge_backward(layer, chunk, add);
    }
    /* Outer edges come first: what they leave for other ranks is then on its way while inner ones are
     * worked on. */
    umas_status edges_backward(int layer, umas_error *error) {
        const int first_outer = e.plan.inner_chunks(), chunks = e.plan.chunks();
        /* the whole list of inner edges writes all owned rows, and there is nobody to add to */
        const bool whole = !inner.extent && inner.capacity > 0 && first_outer == chunks;
        clear_gradients(whole ? owned : 0);
        for (int chunk = first_outer; chunk < chunks; chunk++) chunk_backward(layer, chunk, true);
        const umas_status status = start_exchange(other, true, error);
        if (status != UMAS_OK) return status;
        for (int chunk = 0; chunk < first_outer; chunk++) chunk_backward(layer, chunk, !whole);
        return finish_exchange(other, true, error);
    }
    /* g_h from node `first` on */
    void clear_gradients(int first) {
        const size_t count = size_t(nodes - first) * NODE_WIDTH;
        if (count > 0)
            cudaMemsetAsync(other + size_t(first) * NODE_WIDTH, 0, count * sizeof(float), stream);
    }

    /* ---- nodes ---- */

    /* Energies of the network, and the gradient by x that the last layer leaves, now in its place. */
    void head() {
        begin("energy_head", cost.head());
        energy_head(stream, owned, e.element, e.weights.head, e.gradient_scale, x, e.energy, other);
        std::swap(x, other);
        begin("sum_energies", cost.sum_energies());
        sum_energies(stream, owned, e.element, e.energy, e.setup.task->rmsd, e.reference,
                     e.atom_energy, e.partial, &static_cast<step_report *>(e.report)->energy);
    }

    /* ---- other ranks ---- */

    int first_channel(int set) const { return (set ? e.a->spin_channel : e.a->charge_channel)[0]; }
    int end_channel(int set) const { return (set ? e.a->spin_channel : e.a->charge_channel)[1]; }

    /* Both sets of balanced channels, in the order of the forward pass or against it. */
    umas_status balance(bool backward, umas_error *error) {
        begin(backward ? "balance_channels_backward" : "balance_channels_forward",
              cost.balance(end_channel(0) - first_channel(0) + end_channel(1) - first_channel(1)));
        const bool apart = first_channel(0) >= end_channel(1) || first_channel(1) >= end_channel(0);
        const bool alone = !e.ranks.is_open() && balance_channels_alone_pays(owned);
        if (apart)
            return alone ? balance_alone(0, 1, backward) : balance_sets({0, 1}, backward, error);
        umas_status status = UMAS_OK;
        for (int k = 0; k < 2 && status == UMAS_OK; k++) {
            const int set = backward ? 1 - k : k;
            status =
                alone ? balance_alone(set, set, backward) : balance_sets({set}, backward, error);
        }
        return status;
    }
    /* ... one set, or two that have no channel in common */
    umas_status balance_alone(int first, int second, bool backward) {
        auto channels = [&](int set) {
            return channel_set{first_channel(set), end_channel(set), target(set, backward)};
        };
        balance_channels_alone(stream, owned, e.element, channels(first),
                               second == first ? channel_set{} : channels(second), e.system_atoms,
                               x);
        return UMAS_OK;
    }
    double target(int set, bool backward) const {
        return backward ? 0 : set ? double(e.setup.spin - 1) : double(e.setup.charge);
    }
    /* Sets that have no channel in common, 64 channels of each at a time: one sum over ranks. */
    umas_status balance_sets(std::initializer_list<int> sets, bool backward, umas_error *error) {
        constexpr int BATCH = 64;
        int most = 0;
        for (int set : sets) most = max(most, end_channel(set) - first_channel(set));
        for (int done = 0; done < most; done += BATCH) {
            auto for_each_set = [&](auto &&work) {
                int at = 0;
                for (int set : sets) {
                    const int from = min(first_channel(set) + done, end_channel(set));
                    const int to = min(from + BATCH, end_channel(set));
                    work(set, from, to, e.balance_sum + at);
                    at += to - from;
                }
                return at;
            };
            const int count = for_each_set([&](int, int from, int to, double *sum) {
                balance_channels_sum(stream, owned, e.element, from, to, x, e.partial, sum);
            });
            if (e.ranks.is_open()) {
                const umas_status status = e.ranks.sum(stream, e.balance_sum, count, error);
                if (status != UMAS_OK) return status;
            }
            for_each_set([&](int set, int from, int to, double *sum) {
                balance_channels_shift(stream, owned, e.element, from, to, sum,
                                       target(set, backward), e.system_atoms, x);
            });
        }
        return UMAS_OK;
    }
    umas_status start_exchange(float *rows_of, bool reverse, umas_error *error) {
        if (!e.ranks.is_open()) return UMAS_OK;
        return reverse ? e.ranks.start_reverse(stream, rows_of, error)
                       : e.ranks.start_forward(stream, rows_of, error);
    }
    /* What is timed here is what the exchange holds up. */
    umas_status finish_exchange(float *rows_of, bool reverse, umas_error *error) {
        if (!e.ranks.is_open()) return UMAS_OK;
        begin(reverse ? "wait for gradients of other ranks" : "wait for features of other ranks",
              {});
        return reverse ? e.ranks.finish_reverse(stream, rows_of, error)
                       : e.ranks.finish_forward(stream, rows_of, error);
    }

    /* ---- the whole ---- */

    norm_weights norm_1(int layer) const {
        const auto &w = e.weights.block[size_t(layer)];
        return {w.norm_1_w, w.norm_1_b, e.weights.csd};
    }
    umas_status forward(umas_error *error) {
        begin("embed_nodes", cost.embed_nodes());
        embed_nodes(stream, owned, e.element, e.weights.sphere, x);
        begin("edge_degree_embedding_forward", cost.degree_forward());
        for (const edge_list *edges : kinds())
            edge_degree_embedding_forward(stream, *edges, e.degree_table(), x);
        for (int i = 0; i < e.a->layers; i++) {
            const auto &w = e.weights.block[size_t(i)];
            const auto &norms = e.norms[size_t(i)];
            begin("rms_norm_sh_forward", cost.norm_forward());
            rms_norm_sh_forward(stream, owned, norm_1(i), x, h_of(i), norms.norm(0));
            umas_status status = edges_forward(i, error);
            if (status != UMAS_OK) return status;
            begin("atomwise_forward", cost.atomwise_forward());
            atomwise_forward(stream, owned, w.atomwise, x, other, norms.norm(1));
            std::swap(x, other);
            status = balance(false, error);
            if (status != UMAS_OK) return status;
        }
        return UMAS_OK;
    }
    umas_status backward(umas_error *error) {
        size_t n = size_t(e.plan.edges());
        begin("clear_edge_gradients", cost.clear_gradients());
        cudaMemsetAsync(e.g_edge, 0, n * 4 * sizeof(float4), stream);
        for (int i = e.a->layers - 1; i >= 0; i--) {
            umas_status status = balance(true, error);
            if (status != UMAS_OK) return status;
            begin("atomwise_backward", cost.atomwise_backward());
            atomwise_backward(stream, owned, e.weights.block[size_t(i)].atomwise,
                              e.norms[size_t(i)].norm(1), x);
            if (!e.plan.kept_h && i < e.a->layers - 1) {
                begin("rms_norm_sh_restore", cost.norm_restore());
                rms_norm_sh_restore(stream, owned, nodes, norm_1(i), e.norms[size_t(i)].norm(0),
                                    h_of(i));
            }
            status = edges_backward(i, error);
            if (status != UMAS_OK) return status;
            begin("rms_norm_sh_backward", cost.norm_backward());
            rms_norm_sh_backward(stream, owned, norm_1(i), e.norms[size_t(i)].norm(0), other, x);
        }
        begin("edge_degree_embedding_backward", cost.degree_backward());
        for (const edge_list *edges : kinds())
            edge_degree_embedding_backward(stream, *edges, e.degree_table(), x, gradient);
        return UMAS_OK;
    }
    void results(bool atom_virial) {
        double scale = e.setup.task->rmsd / double(e.gradient_scale);
        begin("edges_to_forces", cost.forces());
        edges_to_forces(stream, inner, outer, gradient, scale, e.edge_vector, e.force,
                        atom_virial ? static_cast<double *>(e.atom_virial) : nullptr, e.partial,
                        e.report);
        size_t n = size_t(nodes);
        begin("results_to_host", cost.results());
        cudaMemcpyAsync(e.report_host, e.report, sizeof(step_report), cudaMemcpyDeviceToHost,
                        stream);
        cudaMemcpyAsync(e.force_host, e.force, n * 3 * sizeof(double), cudaMemcpyDeviceToHost,
                        stream);
        cudaMemcpyAsync(e.atom_energy_host, e.atom_energy, size_t(owned) * sizeof(double),
                        cudaMemcpyDeviceToHost, stream);
        if (atom_virial)
            cudaMemcpyAsync(e.atom_virial_host, e.atom_virial, n * 6 * sizeof(double),
                            cudaMemcpyDeviceToHost, stream);
    }
};

} // namespace

template <typename S>
umas_status queue_step(cuda_engine<S> &e, bool atom_virial, umas_error *error) {
    e.failed = false;
    step<S> s(e);
    s.begin("edge_list", s.cost.edge_list());
    edge_list_build(e.stream, e.candidates(), e.list(), e.report);
    umas_status status = s.forward(error);
    if (status != UMAS_OK) return status;
    s.head();
    status = s.backward(error);
    if (status != UMAS_OK) return status;
    s.results(atom_virial);
    if (e.failed) return umas_fail(error, UMAS_ERROR_DEVICE, "the GPU refused a product");
    return UMAS_OK;
}

template umas_status queue_step<__half>(cuda_engine<__half> &, bool, umas_error *);
template umas_status queue_step<float>(cuda_engine<float> &, bool, umas_error *);
