/* The gate, docs/model.md (20), and its gradient, (27), where it is not fused into the products: in
 * `single`, and on GPUs other than Hopper's.  Elsewhere so2_gate_forward.cu and
 * so2_gate_backward.cu do the same, so a change of either is a change of both.
 *
 * In: conv_1 [edges][2 C gates, rows C] without its bias [5 C].
 * Out: gated [edges][3 C inputs, rows C]; the inputs, 2 C gates and C scalars, are kept for the
 * gradient.  The rows themselves are kept after the gate: d(v s(x))/dx = v s(x) (1 - s(x)) needs
 * what came out, not what went in.
 *
 * A block has 4 edges with 64 threads each; a thread has two channels of all rows, so that
 * everything stays in its registers.  Shared memory is not used. */
#include "edge_stages/edge_stages.cuh"
#include "edge_stages/rotation.cuh"

namespace {

constexpr int EDGES = 4; /* a block, each with ROW_THREADS threads */

template <typename S, int ROWS>
__global__ void forward(edge_list edges, edge_span span, const float *__restrict__ bias,
                        const S *__restrict__ conv_1, S *__restrict__ gated) {
    row_thread t;
    int e = blockIdx.x * EDGES + t.group;
    if (span.begin + e >= min(span.begin + span.size, *edges.end)) return;
    const S *from = conv_1 + (size_t)e * conv_1_width(ROWS) + t.channel;
    S *to = gated + (size_t)e * gated_width(ROWS) + t.channel;
    float2 gate[2];
#pragma unroll
    for (int i = 0; i < ROWS + 2; i++) {
        float2 v = load_pair(from + i * CHANNELS);
        if (i < 5) {
            float2 b = load_pair(bias + t.channel + i * CHANNELS);
            v = make_float2(v.x + b.x, v.y + b.y);
        }
        if (i < 3) store_pair(to + i * CHANNELS, v);
        if (i < 2) {
            gate[i] = make_float2(sigmoid(v.x), sigmoid(v.y));
            continue;
        }
        if (i == 2) {
            v = make_float2(silu(v.x), silu(v.y));
        } else {
            float2 g = gate[degree_of_row(i - 2) - 1];
            v = make_float2(v.x * g.x, v.y * g.y);
        }
        store_pair(to + (i + 1) * CHANNELS, v);
    }
}

/* A gate's gradient needs what came out of it, not what went in: d(v s(x))/dx = v s(x) (1 -
 * s(x)). */
template <typename S, int ROWS>
__global__ void backward(edge_list edges, edge_span span, const S *__restrict__ gated,
                         const S *__restrict__ g_gated, S *__restrict__ g_conv_1) {
    row_thread t;
    int e = blockIdx.x * EDGES + t.group;
    if (span.begin + e >= min(span.begin + span.size, *edges.end)) return;
    const S *y = gated + (size_t)e * gated_width(ROWS) + t.channel;
    const S *g_y = g_gated + (size_t)e * gated_width(ROWS) + GATE_INPUTS + t.channel;
    S *to = g_conv_1 + (size_t)e * conv_1_width(ROWS) + t.channel;
    float2 gate[2], g_gate[2];
#pragma unroll
    for (int l = 0; l < 2; l++) {
        const float2 in = load_pair(y + l * CHANNELS);
        gate[l] = make_float2(sigmoid(in.x), sigmoid(in.y));
        g_gate[l] = make_float2(0, 0);
    }
    float2 scalar = load_pair(y + 2 * CHANNELS), g = load_pair(g_y);
    store_pair(to + 2 * CHANNELS,
               make_float2(g.x * silu_slope(scalar.x), g.y * silu_slope(scalar.y)));
#pragma unroll
    for (int k = 1; k < ROWS; k++) {
        int l = degree_of_row(k) - 1;
        float2 row = load_pair(y + GATE_INPUTS + k * CHANNELS);
        g = load_pair(g_y + k * CHANNELS);
        g_gate[l] = make_float2(fmaf(g.x, row.x, g_gate[l].x), fmaf(g.y, row.y, g_gate[l].y));
        store_pair(to + (k + 2) * CHANNELS, make_float2(g.x * gate[l].x, g.y * gate[l].y));
    }
#pragma unroll
    for (int l = 0; l < 2; l++)
        store_pair(to + l * CHANNELS,
                   make_float2(g_gate[l].x * (1 - gate[l].x), g_gate[l].y * (1 - gate[l].y)));
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
                   const S *gated, const S *g_gated, S *g_conv_1) {
    if (span.size == 0) return;
    auto kernel = rows == 9 ? backward<S, 9> : backward<S, 7>;
    kernel<<<(unsigned)((span.size + EDGES - 1) / EDGES), EDGES * ROW_THREADS, 0, stream>>>(
        edges, span, gated, g_gated, g_conv_1);
}

#define INSTANTIATE(S)                                                                            \
    template void gate_forward<S>(cudaStream_t, int, const edge_list &, edge_span, const float *, \
                                  const S *, S *);                                                \
    template void gate_backward<S>(cudaStream_t, int, const edge_list &, edge_span, const S *,    \
                                   const S *, S *);
INSTANTIATE(__half)
INSTANTIATE(float)
