/* The gradients of the second SO(2) convolution and of the gate in one kernel, docs/model.md (33),
 * (27); Hopper, 16 bits.  Fused, the gradient behind the gate never goes to memory.
 *
 * In: g_conv_2 [edges][rows][C] and what the gate left, gated [edges][3 C inputs, rows C], fp16.
 * Out: g_conv_1 [edges][2 C gates, rows C] fp16.  Sums are fp32.
 *
 * products/wgmma_pipeline.cuh says how a block multiplies.  A part of the work is half of the
 * channels of all rows of a tile of edges.  Passes run over m = 1, m = 2 and then m = 0, so that
 * the gradients of the gates, sums over rows in registers, are complete at the end.  After each
 * pass, the parts of `gated` that its epilogue needs come through the same ring of shared-memory
 * buffers as boxes of 64 columns of the tile's edges. */
#include "products/wgmma_pipeline.cuh"
#include "products/wgmma_products.cuh"

namespace {

#ifdef UMAS_HOPPER

/* What a thread keeps of a part, half of the channels, and where its results go.  Boxes of what
 * the gate left come through the pipeline behind a pass: of a degree that it has gradients of,
 * the gate and the rows of these. */
template <int WARPGROUPS> struct gate_gradients {
    static constexpr int ROWS_BYTES = tile_shape<WARPGROUPS>::ROWS_BYTES;
    tile_rows g_conv_1;
    tile_place at;
    int channel;                    /* the part's first */
    float gate_value[2][2][8];      /* row; eight: the gate of the degree at work */
    float g_gate_value[2][2][2][8]; /* degree 1, 2; row; eight */

    /* boxes[0] is the gate of a degree. */
    __device__ __forceinline__ void load_gate(const char *boxes) {
#pragma unroll
        for (int second = 0; second < 2; second++)
#pragma unroll
            for (int eight = 0; eight < 2; eight++) {
                float(&v)[8] = gate_value[second][eight];
                take(boxes, second, eight, v);
#pragma unroll
                for (int i = 0; i < 8; i++) v[i] = quick_sigmoid(v[i]);
            }
    }
    /* boxes[from] is row k, of a degree above 0, whose gradient behind the gate is `box` of
     * the sums.  FIRST: of this degree. */
    template <bool FIRST>
    __device__ __forceinline__ void gated(const char *boxes, int from, const float *sums, int box,
                                          int k, int degree) {
        g_conv_1.store(k * CHANNELS + channel, [&](int second, int eight, float(&g)[8]) {
            float v[8];
            take(boxes + from * ROWS_BYTES, second, eight, v);
            take_eight(sums, box, second, eight, g);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                float &sum = g_gate_value[degree - 1][second][eight][i];
                sum = FIRST ? g[i] * v[i] : fmaf(g[i], v[i], sum);
                g[i] *= gate_value[second][eight][i];
            }
        });
    }
    /* boxes[from] is the row of degree 0. */
    __device__ __forceinline__ void scalar(const char *boxes, int from, const float *sums) {
        g_conv_1.store(2 * CHANNELS + channel, [&](int second, int eight, float(&g)[8]) {
            float v[8];
            take(boxes + from * ROWS_BYTES, second, eight, v);
            take_eight(sums, 0, second, eight, g);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const float s = quick_sigmoid(v[i]);
                g[i] *= s * (1 + v[i] * (1 - s));
            }
        });
    }
    /* The gate of the degree at work, whose gradient is complete. */
    __device__ __forceinline__ void gate(int degree) {
        g_conv_1.store((degree - 1) * CHANNELS + channel, [&](int second, int eight, float(&g)[8]) {
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const float s = gate_value[second][eight][i];
                g[i] = g_gate_value[degree - 1][second][eight][i] * (1 - s);
            }
        });
    }

  private:
    /* eight numbers of a box */
    __device__ __forceinline__ void take(const char *box, int second, int eight,
                                         float (&v)[8]) const {
        load_eight(reinterpret_cast<const __half *>(box + at.in_box(second, eight)), v);
    }
};

/* What one thread of the last warpgroup does. */
template <int WARPGROUPS>
__device__ __forceinline__ void copy_parts(tile_pipeline<WARPGROUPS> &p,
                                           const CUtensorMap *g_conv_2, const CUtensorMap *gated,
                                           const tiled_weights &w, const tile_edges &edges) {
    constexpr int C = CHANNELS;
    for (tile_schedule<WARPGROUPS> s(edges, w.parts); s.in_range(); s.next()) {
        const tile_pass *pass = w.pass + s.part() * w.passes;
        const int row = s.first_row(), at = s.part() * C / 2;
        p.copy(g_conv_2, row, w.tiles, pass[0]);
        p.template copy_boxes<3>(gated, row, {at, at + 6 * C, at + 8 * C});
        p.template copy_boxes<3>(gated, row, {at + C, at + 7 * C, at + 9 * C});
        if (w.passes == 3) {
            p.copy(g_conv_2, row, w.tiles, pass[1]);
            p.template copy_boxes<3>(gated, row, {at + C, at + 10 * C, at + 11 * C});
        }
        p.copy(g_conv_2, row, w.tiles, pass[w.passes - 1]);
        p.template copy_boxes<3>(gated, row, {at, at + 4 * C, at + 2 * C});
        p.template copy_boxes<2>(gated, row, {at + C, at + 5 * C});
    }
}

/* What each of the others does. */
template <int WARPGROUPS>
__device__ __forceinline__ void multiply_parts(tile_pipeline<WARPGROUPS> &p, int warpgroup,
                                               int rows, __half *g_conv_1, const tiled_weights &w,
                                               const tile_edges &edges) {
    const tile_place at(warpgroup);
    for (tile_schedule<WARPGROUPS> s(edges, w.parts); s.in_range(); s.next()) {
        const tile_pass *pass = w.pass + s.part() * w.passes;
        const int channel = s.part() * CHANNELS / 2;
        gate_gradients<WARPGROUPS> g{{g_conv_1, conv_1_width(rows), at, s.first_row(), s.left()},
                                     at,
                                     channel,
                                     {},
                                     {}};
        {
            float sums[128];
            p.template multiply_pass<256>(warpgroup, pass[0].steps, sums);
#pragma unroll
            for (int degree = 1; degree <= 2; degree++) {
                const char *boxes = p.begin_boxes();
                g.load_gate(boxes);
                g.template gated<true>(boxes, 1, sums, degree - 1, 4 + degree, degree);
                g.template gated<false>(boxes, 2, sums, degree + 1, 6 + degree, degree);
                p.end_boxes();
            }
        }
        if (w.passes == 3) {
            float sums[64];
            p.template multiply_pass<128>(warpgroup, pass[1].steps, sums);
            const char *boxes = p.begin_boxes();
            g.load_gate(boxes);
            g.template gated<false>(boxes, 1, sums, 0, 9, 2);
            g.template gated<false>(boxes, 2, sums, 1, 10, 2);
            p.end_boxes();
        }
        float sums[96];
        p.template multiply_pass<192>(warpgroup, pass[w.passes - 1].steps, sums);
#pragma unroll
        for (int degree = 1; degree <= 2; degree++) {
            const char *boxes = p.begin_boxes();
            if (degree == 1) g.scalar(boxes, 2, sums);
            g.load_gate(boxes);
            g.template gated<false>(boxes, 1, sums, degree, 2 + degree, degree);
            p.end_boxes();
            g.gate(degree);
        }
    }
}

#endif

template <int WARPGROUPS>
__global__ void __launch_bounds__(tile_shape<WARPGROUPS>::THREADS, 1)
    kernel(const __grid_constant__ CUtensorMap g_conv_2, const __grid_constant__ CUtensorMap gated,
           const __grid_constant__ tiled_weights w, tile_edges edges, int rows, __half *g_conv_1) {
#ifdef UMAS_HOPPER
    extern __shared__ __align__(1024) char memory[];
    run_warpgroups<WARPGROUPS>(
        memory, [&](tile_pipeline<WARPGROUPS> &p) { copy_parts(p, &g_conv_2, &gated, w, edges); },
        [&](tile_pipeline<WARPGROUPS> &p, int warpgroup) {
            multiply_parts(p, warpgroup, rows, g_conv_1, w, edges);
        });
#endif
}

template <int WARPGROUPS>
bool launch(cudaStream_t stream, int rows, const edge_list &edges, edge_span span,
            const tiled_weights &w, const __half *g_conv_2, const __half *gated, __half *g_conv_1) {
    constexpr int EDGES = tile_shape<WARPGROUPS>::EDGES;
    CUtensorMap from, from_gated;
    return tile_map(g_conv_2, span.size, conv_2_width(rows), EDGES, &from) &&
           tile_map(gated, span.size, gated_width(rows), EDGES, &from_gated) &&
           launch_tiles<WARPGROUPS>(kernel<WARPGROUPS>, stream, span, w.parts, from, from_gated, w,
                                    tile_edges{edges.end, span}, rows, g_conv_1);
}

} // namespace

bool so2_gate_backward(cudaStream_t stream, int rows, const edge_list &edges, edge_span span,
                       const tiled_weights &w, const __half *g_conv_2, const __half *gated,
                       __half *g_conv_1) {
    if (span.size == 0) return true;
    auto launcher = small_tiles_pay(span, w.parts) ? launch<1> : launch<2>;
    return launcher(stream, rows, edges, span, w, g_conv_2, gated, g_conv_1);
}
