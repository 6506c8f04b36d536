/* A step's matrix products over a chunk of edges, docs/model.md (17) to (20), (27), (33) and the
 * last layer of (12): by kernels for Hopper, which take the gate along, or by cuBLAS. */
#ifndef UMAS_STEP_PRODUCTS_CUH
#define UMAS_STEP_PRODUCTS_CUH

#include "engine/step_context.cuh"
#include "products/wgmma_products.cuh"

template <typename S>
void so2_forward(step_context<S> &c, const device_so2<S> &w, edge_span s, const S *x, S *y) {
    if constexpr (HALF<S>)
        if (c.e.tiled)
            return c.check(tiled_products(c.stream, c.edges_of(s), s, w.forward, x, w.width_in, y,
                                          w.width_out));
    for (int i = 0; i < w.parts; i++) {
        const auto &p = w.part[i];
        c.check(product_nt(c.e.products, {s.size, p.n, p.k, w.width_in, w.width_out}, x + p.from,
                           p.w, y + p.to));
    }
}

template <typename S>
void so2_backward(step_context<S> &c, const device_so2<S> &w, edge_span s, const S *g_y, S *g_x) {
    if constexpr (HALF<S>)
        if (c.e.tiled)
            return c.check(tiled_products(c.stream, c.edges_of(s), s, w.backward, g_y, w.width_out,
                                          g_x, w.width_in));
    for (int i = 0; i < w.parts; i++) {
        const auto &p = w.part[i];
        c.check(product_nn(c.e.products, {s.size, p.n, p.k, w.width_out, w.width_in}, g_y + p.to,
                           p.w, g_x + p.from));
    }
}

/* message -> gated */
template <typename S>
void conv_1_forward(step_context<S> &c, const device_so2<S> &w, edge_span s, S *gated) {
    if constexpr (HALF<S>)
        if (c.e.tiled) {
            c.begin("so2_conv_1_gate_forward products", c.cost.so2_gate_forward(s, w));
            return c.check(so2_gate_forward(c.stream, c.rows, c.edges_of(s), s, w.forward, w.bias,
                                            c.e.chunk.message, gated));
        }
    c.begin("so2_conv_1_forward products", c.cost.so2(s, w));
    so2_forward<S>(c, w, s, c.e.chunk.message, c.e.chunk.conv_1);
    c.begin("gate_forward", c.cost.gate_forward(s));
    gate_forward<S>(c.stream, c.rows, c.edges_of(s), s, w.bias, c.e.chunk.conv_1, gated);
}

/* g_conv_2 -> the gradient of conv_1, in its place */
template <typename S>
void conv_2_backward(step_context<S> &c, const device_so2<S> &w, edge_span s, const S *gated) {
    if constexpr (HALF<S>)
        if (c.e.tiled) {
            c.begin("so2_conv_2_gate_backward products", c.cost.so2_gate_backward(s, w));
            return c.check(so2_gate_backward(c.stream, c.rows, c.edges_of(s), s, w.backward,
                                             c.e.chunk.g_conv_2, gated, c.e.chunk.conv_1));
        }
    S *g_gated = c.e.chunk.message; /* which is not needed any more */
    c.begin("so2_conv_2_backward products", c.cost.so2(s, w));
    so2_backward<S>(c, w, s, c.e.chunk.g_conv_2, g_gated);
    c.begin("gate_backward", c.cost.gate_backward(s));
    gate_backward<S>(c.stream, c.rows, c.edges_of(s), s, gated, g_gated, c.e.chunk.conv_1);
}

/* A layer's radial functions or their slopes, unless there are tables of them. */
template <typename S>
void multiply_radials(step_context<S> &c, int layer, edge_span s, bool slope, S *out) {
    if (c.e.tables.tabulated) return;
    const auto &w = c.e.weights.block[size_t(layer)];
    c.begin(slope ? "unified_radial_mlp_backward" : "unified_radial_mlp_forward",
            c.cost.radial_hidden(s));
    radial_hidden<S>(c.stream, c.edges_of(s), s, c.e.tables.hidden_table(layer), slope,
                     c.e.chunk.hidden);
    c.begin(slope ? "unified_radial_mlp_backward products" : "unified_radial_mlp_forward products",
            c.cost.product(s, w.radial_outputs, CHANNELS));
    const S *hidden = c.e.chunk.hidden;
    if constexpr (HALF<S>)
        if (c.e.tiled)
            return c.check(tiled_products(c.stream, c.edges_of(s), s, w.radial_tiles, hidden,
                                          HIDDEN_WIDTH, out, w.radial_outputs));
    c.check(product_nt(c.e.products,
                       {s.size, w.radial_outputs, HIDDEN_WIDTH, HIDDEN_WIDTH, w.radial_outputs},
                       hidden, w.radial_w, out));
}

#endif
