/* Products without a gate on Hopper: the second convolution forward, the first one backward, each
 * in one kernel, docs/model.md (17), (18), (33), and the last layer of the radial MLPs, (12).
 *
 * In: x [edges][width_x] fp16.
 * Out: y [edges][width_y] fp16, without bias.  wgmma_pipeline.cuh says how a block multiplies.  The
 * results of a pass leave while the next pass is multiplied (tile_outbox). */
#include "products/wgmma_pipeline.cuh"
#include "products/wgmma_products.cuh"

namespace {

#ifdef UMAS_HOPPER

/* A pass of N columns; its results leave during the next. */
template <int N, int LAST, int WARPGROUPS>
__device__ __forceinline__ void multiply_columns(tile_pipeline<WARPGROUPS> &p, int warpgroup,
                                                 int steps, tile_outbox &out, const tile_rows &to,
                                                 int column) {
    float sums[N / 2];
    p.template multiply_pass<N, LAST>(warpgroup, steps, out, sums);
    out.begin(to, column, BOX_COLUMNS, N / BOX_COLUMNS);
#pragma unroll
    for (int box = 0; box < N / BOX_COLUMNS; box++)
        out.store(box, [&](int second, int eight, float(&v)[8]) {
            take_eight(sums, box, second, eight, v);
        });
}

template <int LAST, int WARPGROUPS>
__device__ __forceinline__ void multiply_parts(tile_pipeline<WARPGROUPS> &p, int warpgroup,
                                               __half *y, int width, const tiled_weights &w,
                                               const tile_edges &edges) {
    const tile_place at(warpgroup);
    tile_outbox out;
    for (tile_schedule<WARPGROUPS> s(edges, w.parts); s.in_range(); s.next()) {
        const tile_pass &pass = w.pass[s.part()];
        const tile_rows to(y, width, at, s.first_row(), s.left());
        if (pass.n == 256)
            multiply_columns<256, LAST>(p, warpgroup, pass.steps, out, to, pass.to);
        else
            multiply_columns<192, LAST>(p, warpgroup, pass.steps, out, to, pass.to);
    }
    out.send_all();
}

#endif

template <int LAST, int WARPGROUPS>
__global__ void __launch_bounds__(tile_shape<WARPGROUPS>::THREADS, 1)
    kernel(const __grid_constant__ CUtensorMap x, const __grid_constant__ tiled_weights w,
           tile_edges edges, __half *y, int width) {
#ifdef UMAS_HOPPER
    extern __shared__ __align__(1024) char memory[];
    run_warpgroups<WARPGROUPS>(
        memory, [&](tile_pipeline<WARPGROUPS> &p) { copy_tiles(p, &x, w, edges); },
        [&](tile_pipeline<WARPGROUPS> &p, int warpgroup) {
            multiply_parts<LAST>(p, warpgroup, y, width, w, edges);
        });
#endif
}

template <int WARPGROUPS>
bool launch(cudaStream_t stream, const edge_list &edges, edge_span span, const tiled_weights &w,
            const __half *x, int width_x, __half *y, int width_y) {
    constexpr int ALL = TILE_COLUMNS / 16;
    CUtensorMap from;
    return tile_map(x, span.size, width_x, tile_shape<WARPGROUPS>::EDGES, &from) &&
           launch_tiles<WARPGROUPS>(
               width_x == HIDDEN_WIDTH ? kernel<1, WARPGROUPS> : kernel<ALL, WARPGROUPS>, stream,
               span, w.parts, from, w, tile_edges{edges.end, span}, y, width_y);
}

} // namespace

bool tiled_products(cudaStream_t stream, const edge_list &edges, edge_span span,
                    const tiled_weights &w, const __half *x, int width_x, __half *y, int width_y) {
    if (span.size == 0) return true;
    auto launcher = small_tiles_pay(span, w.parts) ? launch<1> : launch<2>;
    return launcher(stream, edges, span, w, x, width_x, y, width_y);
}
