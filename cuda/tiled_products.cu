/* The products of a convolution in one kernel, and that of the radial functions, on Hopper. */
#include "so2_tiles.cuh"
#include "tiled_product.cuh"

namespace {

#ifdef UMAS_HOPPER

template <int N>
__device__ __forceinline__ void put_columns(const float *sums, const tile_rows &to, int column) {
#pragma unroll
    for (int box = 0; box < N / BOX_COLUMNS; box++)
        to.put(column + box * BOX_COLUMNS, [&](int second, int eight, float(&v)[8]) {
            take_eight(sums, box, second, eight, v);
        });
}

#endif

template <int LAST>
__global__ void __launch_bounds__(TILE_THREADS, 1)
    kernel(const __grid_constant__ CUtensorMap x, const __grid_constant__ tiled_weights w,
           tile_edges edges, __half *y, int width) {
#ifdef UMAS_HOPPER
    extern __shared__ __align__(1024) char memory[];
    tile_pipeline pipeline(memory);
    const int warpgroup = (int)threadIdx.x / WARPGROUP;
    if (warpgroup == 2) {
        fewer_registers<40>();
        if (threadIdx.x % WARPGROUP == 0) copy_tiles(pipeline, &x, w, edges);
    } else {
        more_registers<232>();
        const tile_place at(warpgroup);
        for (tile_schedule s(edges, w.parts); s.more(); s.next()) {
            const tile_pass &pass = w.pass[s.part()];
            const tile_rows rows(y, width, at, s.first_row(), s.left());
            float sums[MOST_COLUMNS / 2];
            if (pass.n == 256) {
                pipeline.multiply_pass<256, LAST>(warpgroup, pass.steps, sums);
                put_columns<256>(sums, rows, pass.to);
            } else {
                pipeline.multiply_pass<192, LAST>(warpgroup, pass.steps, sums);
                put_columns<192>(sums, rows, pass.to);
            }
        }
    }
    cluster_sync();
#endif
}

} // namespace

bool tiled_products(cudaStream_t stream, const edge_list &edges, edge_span span,
                    const tiled_weights &w, const __half *x, int width_x, __half *y, int width_y) {
    if (span.size == 0) return true;
    CUtensorMap from;
    return tile_source(x, span.size, width_x, &from) &&
           launch_tiles(width_x == HIDDEN_WIDTH ? kernel<1> : kernel<TILE_COLUMNS / 16>, stream,
                        span, w.parts, from, w, tile_edges{edges.count, span}, y, width_y);
}
