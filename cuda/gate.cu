#include "edge_stages.cuh"
#include "rotation.cuh"

namespace {

constexpr int EDGES = 4; /* a block, each with ROW_THREADS threads */

/* This edge's gates and rows with the bias [5 C] of the m = 0 product added. */
template <typename S, int ROWS>
__device__ __forceinline__ void load_conv_1(const S *__restrict__ from,
                                            const float *__restrict__ bias, float2 (&gate)[2],
                                            float2 (&row)[ROWS]) {
#pragma unroll
    for (int i = 0; i < ROWS + 2; i++) {
        float2 v = load_pair(from + i * CHANNELS);
        if (i < 5) {
            float2 b = load_pair(bias + i * CHANNELS);
            v = make_float2(v.x + b.x, v.y + b.y);
        }
        if (i < 2)
            gate[i] = v;
        else
            row[i - 2] = v;
    }
}

template <typename S, int ROWS>
__global__ void forward(edge_list edges, edge_span span, const float *__restrict__ bias,
                        const S *__restrict__ conv_1, S *__restrict__ gated) {
    row_thread t;
    int e = blockIdx.x * EDGES + t.lane;
    if (span.begin + e >= min(span.begin + span.size, *edges.count)) return;
    float2 gate[2], row[ROWS];
    load_conv_1<S, ROWS>(conv_1 + (size_t)e * conv_1_width(ROWS) + t.channel, bias + t.channel,
                         gate, row);
#pragma unroll
    for (int l = 0; l < 2; l++) gate[l] = make_float2(sigmoid(gate[l].x), sigmoid(gate[l].y));
    S *to = gated + (size_t)e * conv_2_width(ROWS) + t.channel;
    store_pair(to, make_float2(silu(row[0].x), silu(row[0].y)));
#pragma unroll
    for (int k = 1; k < ROWS; k++) {
        float2 open = gate[degree_of_row(k) - 1];
        store_pair(to + k * CHANNELS, make_float2(row[k].x * open.x, row[k].y * open.y));
    }
}

template <typename S, int ROWS>
__global__ void backward(edge_list edges, edge_span span, const float *__restrict__ bias,
                         const S *conv_1, const S *__restrict__ g_gated, S *g_conv_1) {
    row_thread t;
    int e = blockIdx.x * EDGES + t.lane;
    if (span.begin + e >= min(span.begin + span.size, *edges.count)) return;
    float2 gate[2], g_gate[2], row[ROWS];
    load_conv_1<S, ROWS>(conv_1 + (size_t)e * conv_1_width(ROWS) + t.channel, bias + t.channel,
                         gate, row);
#pragma unroll
    for (int l = 0; l < 2; l++) {
        gate[l] = make_float2(sigmoid(gate[l].x), sigmoid(gate[l].y));
        g_gate[l] = make_float2(0, 0);
    }
    const S *from = g_gated + (size_t)e * conv_2_width(ROWS) + t.channel;
    S *to = g_conv_1 + (size_t)e * conv_1_width(ROWS) + t.channel;
    float2 g = load_pair(from);
    store_pair(to + 2 * CHANNELS,
               make_float2(g.x * silu_slope(row[0].x), g.y * silu_slope(row[0].y)));
#pragma unroll
    for (int k = 1; k < ROWS; k++) {
        float2 &sum = g_gate[degree_of_row(k) - 1], open = gate[degree_of_row(k) - 1];
        g = load_pair(from + k * CHANNELS);
        sum = make_float2(fmaf(g.x, row[k].x, sum.x), fmaf(g.y, row[k].y, sum.y));
        store_pair(to + (k + 2) * CHANNELS, make_float2(g.x * open.x, g.y * open.y));
    }
#pragma unroll
    for (int l = 0; l < 2; l++)
        store_pair(to + l * CHANNELS, make_float2(g_gate[l].x * gate[l].x * (1 - gate[l].x),
                                                  g_gate[l].y * gate[l].y * (1 - gate[l].y)));
}

} // namespace

template <typename S>
void gate_forward(cudaStream_t stream, int rows, const edge_list &edges, edge_span span,
                  const float *bias, const S *conv_1, S *gated) {
    if (span.size == 0) return;
    auto kernel = rows == 9 ? forward<S, 9> : forward<S, 7>;
    kernel<<<(unsigned)((span.size + EDGES - 1) / EDGES), EDGES * ROW_THREADS, 0, stream>>>(
        edges, span, bias, conv_1, gated);
}

template <typename S>
void gate_backward(cudaStream_t stream, int rows, const edge_list &edges, edge_span span,
                   const float *bias, const S *conv_1, const S *g_gated, S *g_conv_1) {
    if (span.size == 0) return;
    auto kernel = rows == 9 ? backward<S, 9> : backward<S, 7>;
    kernel<<<(unsigned)((span.size + EDGES - 1) / EDGES), EDGES * ROW_THREADS, 0, stream>>>(
        edges, span, bias, conv_1, g_gated, g_conv_1);
}

#define INSTANTIATE(S)                                                                             \
    template void gate_forward<S>(cudaStream_t, int, const edge_list &, edge_span, const float *,  \
                                  const S *, S *);                                                 \
    template void gate_backward<S>(cudaStream_t, int, const edge_list &, edge_span, const float *, \
                                   const S *, const S *, S *);
INSTANTIATE(__half)
INSTANTIATE(float)
