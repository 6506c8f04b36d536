/* The first SO(2) convolution and the gate in one kernel, docs/model.md (17) to (20); Hopper, 16
 * bits.  Fused, the convolution's result never goes to memory.  gate.cu does the same elsewhere.
 *
 * In: message [edges][rows][2 C] fp16, bias [5 C].
 * Out: gated [edges][3 C inputs, rows C] fp16 (edge_stages.cuh).  Sums are fp32.
 *
 * products/wgmma_pipeline.cuh says how a block multiplies.  A part of the work is half of the
 * channels of all rows of a tile of edges, so that a thread's own accumulators hold the gates of
 * the rows it gets.  Its passes are: both gates and the scalars (192 columns), the m = 0 rows of
 * degrees 1 and 2 (128), m = 1 (256), m = 2 (128).  After each pass the epilogue adds the bias,
 * applies the gate and stores straight from registers.  The bias lies in shared memory behind the
 * pipeline's buffers. */
#include "products/wgmma_pipeline.cuh"
#include "products/wgmma_products.cuh"

namespace {

#ifdef UMAS_HOPPER

/* What a thread keeps of a part, half of the channels, and where its results go. */
struct gated_rows {
    tile_rows gated;
    const float *bias;            /* of this thread's channels */
    int channel;                  /* the part's first */
    float gate_value[2][2][2][8]; /* degree 1, 2; row; eight */

    /* Box `box` of the sums is the gate of a degree. */
    __device__ __forceinline__ void gate(const float *sums, int box, int degree) {
        gated.store((degree - 1) * CHANNELS + channel, [&](int second, int eight, float(&v)[8]) {
            biased(sums, box, degree - 1, second, eight, v);
#pragma unroll
            for (int i = 0; i < 8; i++)
                gate_value[degree - 1][second][eight][i] = quick_sigmoid(v[i]);
        });
    }
    /* ... the row of degree 0 */
    __device__ __forceinline__ void scalars(const float *sums, int box) {
        gated.store(2 * CHANNELS + channel, [&](int second, int eight, float(&v)[8]) {
            biased(sums, box, 2, second, eight, v);
        });
        gated.store(3 * CHANNELS + channel, [&](int second, int eight, float(&v)[8]) {
            biased(sums, box, 2, second, eight, v);
#pragma unroll
            for (int i = 0; i < 8; i++) v[i] *= quick_sigmoid(v[i]);
        });
    }
    /* ... row k of a message, of a degree above 0 */
    __device__ __forceinline__ void vectors(const float *sums, int box, int k, int degree) {
        gated.store((k + 3) * CHANNELS + channel, [&](int second, int eight, float(&v)[8]) {
            if (k < 3)
                biased(sums, box, k + 2, second, eight, v);
            else
                take_eight(sums, box, second, eight, v);
#pragma unroll
            for (int i = 0; i < 8; i++) v[i] *= gate_value[degree - 1][second][eight][i];
        });
    }

  private:
    __device__ __forceinline__ void biased(const float *sums, int box, int k, int second, int eight,
                                           float (&v)[8]) const {
        float b[8];
        load_eight(bias + k * CHANNELS + 32 * eight, b);
        take_eight(sums, box, second, eight, v);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] += b[i];
    }
};

template <int WARPGROUPS>
__device__ __forceinline__ void multiply_parts(tile_pipeline<WARPGROUPS> &p, int warpgroup,
                                               int rows, __half *gated, const tiled_weights &w,
                                               const tile_edges &edges, const float *bias) {
    const tile_place at(warpgroup);
    for (tile_schedule<WARPGROUPS> s(edges, w.parts); s.in_range(); s.next()) {
        const tile_pass *pass = w.pass + s.part() * w.passes;
        const int channel = s.part() * CHANNELS / 2;
        gated_rows r{{gated, gated_width(rows), at, s.first_row(), s.left()},
                     bias + channel + at.column,
                     channel,
                     {}};
        {
            float sums[96];
            p.template multiply_pass<192>(warpgroup, pass[0].steps, sums);
            r.gate(sums, 0, 1);
            r.gate(sums, 1, 2);
            r.scalars(sums, 2);
        }
        {
            float sums[64];
            p.template multiply_pass<128>(warpgroup, pass[1].steps, sums);
            r.vectors(sums, 0, 1, 1);
            r.vectors(sums, 1, 2, 2);
        }
        {
            float sums[128];
            p.template multiply_pass<256>(warpgroup, pass[2].steps, sums);
#pragma unroll
            for (int i = 0; i < 4; i++) r.vectors(sums, i, 3 + i, 1 + i % 2);
        }
        if (w.passes == 4) {
            float sums[64];
            p.template multiply_pass<128>(warpgroup, pass[3].steps, sums);
            r.vectors(sums, 0, 7, 2);
            r.vectors(sums, 1, 8, 2);
        }
    }
}

#endif

template <int WARPGROUPS>
__global__ void __launch_bounds__(tile_shape<WARPGROUPS>::THREADS, 1)
    kernel(const __grid_constant__ CUtensorMap message, const __grid_constant__ tiled_weights w,
           tile_edges edges, int rows, const float *bias, __half *gated) {
#ifdef UMAS_HOPPER
    extern __shared__ __align__(1024) char memory[];
    float *shared_bias = reinterpret_cast<float *>(memory + tile_shape<WARPGROUPS>::BIAS);
    for (int i = (int)threadIdx.x; i < BIASES; i += (int)blockDim.x) shared_bias[i] = bias[i];
    run_warpgroups<WARPGROUPS>(
        memory, [&](tile_pipeline<WARPGROUPS> &p) { copy_tiles(p, &message, w, edges); },
        [&](tile_pipeline<WARPGROUPS> &p, int warpgroup) {
            multiply_parts(p, warpgroup, rows, gated, w, edges, shared_bias);
        });
#endif
}

template <int WARPGROUPS>
bool launch(cudaStream_t stream, int rows, const edge_list &edges, edge_span span,
            const tiled_weights &w, const float *bias, const __half *message, __half *gated) {
    CUtensorMap from;
    return tile_map(message, span.size, message_width(rows), tile_shape<WARPGROUPS>::EDGES,
                    &from) &&
           launch_tiles<WARPGROUPS>(kernel<WARPGROUPS>, stream, span, w.parts, from, w,
                                    tile_edges{edges.end, span}, rows, bias, gated);
}

} // namespace

bool so2_gate_forward(cudaStream_t stream, int rows, const edge_list &edges, edge_span span,
                      const tiled_weights &w, const float *bias, const __half *message,
                      __half *gated) {
    if (span.size == 0) return true;
    auto launcher = small_tiles_pay(span, w.parts) ? launch<1> : launch<2>;
    return launcher(stream, rows, edges, span, w, bias, message, gated);
}
