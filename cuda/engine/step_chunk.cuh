/* What a step does with one chunk of edges of a layer: forward, docs/model.md (16) to (21), and
 * backward, (27), (32) to (36). */
#ifndef UMAS_STEP_CHUNK_CUH
#define UMAS_STEP_CHUNK_CUH

#include "engine/step_products.cuh"

/* Does this chunk of a layer keep something that so many chunks do? */
template <typename S> bool keeps(step_context<S> &c, int kept, int layer, int chunk) {
    return chunk < c.e.plan.kept_of_layer(kept, c.e.a->layers - 1 - layer);
}

/* Where a chunk's activations live: in the layer's store or in the chunk's buffers. */
template <typename S>
S *kept_or_chunk(step_context<S> &c, int kept, int layer, int chunk, S *store, S *chunk_buffer,
                 int width) {
    if (!keeps(c, kept, layer, chunk)) return chunk_buffer;
    return store + size_t(c.e.plan.span(chunk).begin) * size_t(width);
}

template <typename S> S *radial_of(step_context<S> &c, int layer, int chunk) {
    return kept_or_chunk<S>(c, c.e.plan.kept_radials, layer, chunk, c.e.kept[size_t(layer)].radial,
                            c.e.chunk.radial, radial_width(c.rows));
}

template <typename S> S *gated_of(step_context<S> &c, int layer, int chunk) {
    return kept_or_chunk<S>(c, c.e.plan.kept_gated, layer, chunk, c.e.kept[size_t(layer)].gated,
                            c.e.chunk.gated, gated_width(c.rows));
}

template <typename S> S *conv_2_of(step_context<S> &c, int layer, int chunk) {
    return kept_or_chunk<S>(c, c.e.plan.kept_conv_2, layer, chunk, c.e.kept[size_t(layer)].conv_2,
                            c.e.chunk.conv_2, conv_2_width(c.rows));
}

template <typename S> void node_to_edge_forward(step_context<S> &c, int layer, int chunk) {
    const edge_span s = c.e.plan.span(chunk);
    const float *h = c.h_of(layer);
    S *message = c.e.chunk.message;
    c.begin("node_to_edge_wigner_permute_forward",
            c.cost.node_to_edge_forward(s, c.e.tables.tabulated));
    if constexpr (HALF<S>)
        if (c.e.tables.tabulated)
            return node_to_edge_wigner_permute_forward(c.stream, c.rows, c.edges_of(s), s, h,
                                                       c.e.tables.layer_radials(layer), message);
    const stored_radials<S> radials = {radial_of(c, layer, chunk), nullptr};
    node_to_edge_wigner_permute_forward(c.stream, c.rows, c.edges_of(s), s, h, radials, message);
}

/* add: to g_h, which else is overwritten */
template <typename S>
void node_to_edge_backward(step_context<S> &c, int layer, int chunk, bool add) {
    const edge_span s = c.e.plan.span(chunk);
    const float *h = c.h_of(layer);
    const S *g_message = c.e.chunk.message;
    c.begin("node_to_edge_wigner_permute_backward",
            c.cost.node_to_edge_backward(s, c.e.tables.tabulated));
    if constexpr (HALF<S>)
        if (c.e.tables.tabulated)
            return node_to_edge_wigner_permute_backward(c.stream, c.rows, c.edges_of(s), s, h,
                                                        c.e.tables.layer_radials(layer), g_message,
                                                        c.other, add, c.gradient);
    const stored_radials<S> radials = {radial_of(c, layer, chunk), c.e.chunk.radial_slope};
    node_to_edge_wigner_permute_backward(c.stream, c.rows, c.edges_of(s), s, h, radials, g_message,
                                         c.other, add, c.gradient);
}

/* h -> gated */
template <typename S> void convolve_1(step_context<S> &c, int layer, int chunk) {
    node_to_edge_forward(c, layer, chunk);
    conv_1_forward<S>(c, c.e.weights.block[size_t(layer)].conv_1, c.e.plan.span(chunk),
                      gated_of(c, layer, chunk));
}

/* gated -> conv_2 */
template <typename S> void convolve_2(step_context<S> &c, int layer, int chunk) {
    const auto &w = c.e.weights.block[size_t(layer)].conv_2;
    const edge_span s = c.e.plan.span(chunk);
    c.begin("so2_conv_2_forward products", c.cost.so2(s, w));
    so2_forward<S>(c, w, s, gated_of(c, layer, chunk), conv_2_of(c, layer, chunk));
}

/* What the kernels over a chunk's nodes visit, where it is not the whole list. */
template <typename S> void find_nodes(step_context<S> &c, edge_span s) {
    const edge_list &edges = c.edges_of(s);
    if (!edges.extent) return;
    c.begin("chunk_nodes", {});
    chunk_nodes_find(c.stream, edges, s);
}

/* h -> messages added to x; radial functions, gated features and messages go where they are kept */
template <typename S> void chunk_forward(step_context<S> &c, int layer, int chunk) {
    const auto &w = c.e.weights.block[size_t(layer)];
    const edge_span s = c.e.plan.span(chunk);
    find_nodes(c, s);
    multiply_radials<S>(c, layer, s, false, radial_of(c, layer, chunk));
    convolve_1(c, layer, chunk);
    convolve_2(c, layer, chunk);
    c.begin("permute_wigner_inv_edge_to_node_forward", c.cost.edge_to_node_forward(s));
    permute_wigner_inv_edge_to_node_forward<S>(c.stream, c.rows, c.edges_of(s), s, w.conv_2.bias,
                                               conv_2_of(c, layer, chunk), c.x);
}

/* add: to g_h, which else is overwritten */
template <typename S> void chunk_backward(step_context<S> &c, int layer, int chunk, bool add) {
    const auto &w = c.e.weights.block[size_t(layer)];
    const edge_span s = c.e.plan.span(chunk);
    find_nodes(c, s);
    if (!keeps(c, c.e.plan.kept_radials, layer, chunk))
        multiply_radials<S>(c, layer, s, false, radial_of(c, layer, chunk));
    if (!keeps(c, c.e.plan.kept_gated, layer, chunk)) convolve_1(c, layer, chunk);
    if (!keeps(c, c.e.plan.kept_conv_2, layer, chunk)) convolve_2(c, layer, chunk);
    c.begin("permute_wigner_inv_edge_to_node_backward", c.cost.edge_to_node_backward(s));
    permute_wigner_inv_edge_to_node_backward<S>(c.stream, c.rows, c.edges_of(s), s, w.conv_2.bias,
                                                conv_2_of(c, layer, chunk), c.x, c.e.chunk.g_conv_2,
                                                c.gradient);
    conv_2_backward<S>(c, w.conv_2, s, gated_of(c, layer, chunk));
    c.begin("so2_conv_1_backward products", c.cost.so2(s, w.conv_1));
    so2_backward<S>(c, w.conv_1, s, c.e.chunk.conv_1, c.e.chunk.message);
    multiply_radials<S>(c, layer, s, true, c.e.chunk.radial_slope);
    node_to_edge_backward(c, layer, chunk, add);
}

#endif
