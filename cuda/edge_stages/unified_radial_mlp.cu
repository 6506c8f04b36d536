/* The radial MLPs, docs/model.md (4), (11), (12), as tables over the distance, and reading the second
 * hidden layer's values and slopes at every edge's distance; slopes take the place of a backward
 * pass, (36).  Parabolas are read in node_to_edge_wigner_permute.cu.
 *
 * Radial functions depend on the distance and the elements of both ends alone.  They are computed
 * once for the elements present, in double, at 1024 knots from 0 to the cutoff, for every ordered
 * pair of elements.  Each number is a dual number, value and slope.
 * Out: tables [pair][knot][3][width] of cubic Hermite pieces in fp32 or parabolas in fp16
 * (edge_stages.cuh); and, at every edge's distance, the second hidden layer [edges][HIDDEN_WIDTH]
 * or its slope, 1/A, for the product that makes radial functions of it.
 *
 * fill: a block has a knot of a pair, a thread a channel; shared memory holds the first hidden
 * layer, and the second one at both ends of the knot's cell, which every thread reads for its next
 * product.  read_table: a warp has an edge, a lane two channels at a time. */
#include "weights/radial_table.cuh"

namespace {

constexpr double NORM_EPSILON = 1e-5;
constexpr int WARPS = 8; /* a block, each with one edge */

/* Sum over a block of CHANNELS threads, on every thread. */
__device__ double block_sum(double v, double *shared) {
    for (int offset = 16; offset; offset >>= 1) v += __shfl_xor_sync(0xffffffffu, v, offset);
    __syncthreads();
    if ((threadIdx.x & 31) == 0) shared[threadIdx.x / 32] = v;
    __syncthreads();
    return shared[0] + shared[1] + shared[2] + shared[3];
}

/* A number and its derivative by the distance. */
struct dual {
    double value, slope;
};

__device__ dual norm_silu(dual x, float weight, float bias, double *shared) {
    double mean = block_sum(x.value, shared) / CHANNELS;
    double mean_slope = block_sum(x.slope, shared) / CHANNELS;
    double centred = x.value - mean;
    double inverse = rsqrt(block_sum(centred * centred, shared) / CHANNELS + NORM_EPSILON);
    double along = block_sum(centred * x.slope, shared) / CHANNELS * inverse * inverse;
    double slope = inverse * (x.slope - mean_slope - centred * along) * weight;
    double v = centred * inverse * weight + bias, s = 1 / (1 + exp(-v));
    return {v * s, s * (1 + v * (1 - s)) * slope};
}

/* One output of COUNT hidden layers x [COUNT][CHANNELS]; w: at a multiple of 16 bytes */
template <int COUNT>
__device__ void product(const float *__restrict__ w, const dual *x, double bias, dual (&y)[COUNT]) {
    for (dual &sum : y) sum = {bias, 0};
    for (int j = 0; j < CHANNELS; j += 4) {
        const float4 v = __ldg(reinterpret_cast<const float4 *>(w + j));
        const float four[4] = {v.x, v.y, v.z, v.w};
        for (int i = 0; i < 4; i++)
            for (int k = 0; k < COUNT; k++) {
                y[k].value += four[i] * x[k * CHANNELS + j + i].value;
                y[k].slope += four[i] * x[k * CHANNELS + j + i].slope;
            }
    }
}

/* This thread's channel of the second hidden layer at distance d, and its slope. */
__device__ dual second_hidden(const radial_mlp &m, int source, int target, double d, dual *hidden,
                              double *shared) {
    int G = m.distance_functions, c = threadIdx.x;
    double spacing = G > 1 ? (double)m.cutoff / (G - 1) : (double)m.cutoff, wide = 2 * spacing;
    dual x = {(double)m.source[source * CHANNELS + c] + m.target[target * CHANNELS + c], 0};
    for (int g = 0; g < G; g++) {
        double t = (d - g * spacing) / wide, value = exp(-0.5 * t * t);
        x.value += m.basis[c * G + g] * value;
        x.slope -= m.basis[c * G + g] * t / wide * value;
    }
    __syncthreads();
    hidden[c] = norm_silu(x, m.norm_0_w[c], m.norm_0_b[c], shared);
    __syncthreads();
    dual second[1];
    product(m.linear_1_w + c * CHANNELS, hidden, m.linear_1_b[c], second);
    return norm_silu(second[0], m.norm_1_w[c], m.norm_1_b[c], shared);
}

/* Numbers of the cell between two knots, `width` apart: a Hermite piece, or a parabola. */
__device__ void put_cell(const dual &here, const dual &next, double step, size_t width, float *to) {
    to[0] = (float)here.value;
    to[width] = (float)(here.slope * step);
    to[2 * width] = (float)(next.value - here.value);
}
__device__ void put_cell(const dual &here, const dual &next, double step, size_t width,
                         __half *to) {
    to[0] = __double2half(here.value);
    to[width] = __double2half((next.value - here.value) / step);
    to[2 * width] = __double2half(next.slope - here.slope);
}
constexpr int CELL_ROWS = 3;
static_assert(CELL_ROWS == RADIAL_ROWS && CELL_ROWS == PARABOLA_ROWS, "as put_cell has it");

/* A block a knot of a pair, a thread a hidden channel. */
template <typename T>
__global__ void fill(radial_mlp m, const int *elements, int present, bool with_output, T *values) {
    __shared__ double shared[4];
    __shared__ dual hidden[CHANNELS], ends[2][CHANNELS];
    int knot = blockIdx.x % RADIAL_KNOTS, pair = blockIdx.x / RADIAL_KNOTS, c = threadIdx.x;
    int source = elements[pair / present], target = elements[pair % present];
    double step = (double)m.cutoff / (RADIAL_KNOTS - 1);
    for (int end = 0; end < 2; end++)
        ends[end][c] = second_hidden(m, source, target, (knot + end) * step, hidden, shared);
    __syncthreads();
    int width = with_output ? m.outputs : CHANNELS;
    T *to = values + (size_t)blockIdx.x * CELL_ROWS * width;
    for (int i = c; i < width; i += CHANNELS) {
        dual y[2];
        if (with_output)
            product(m.linear_2_w + (size_t)i * CHANNELS, ends[0], m.linear_2_b[i], y);
        else
            for (int end = 0; end < 2; end++) y[end] = ends[end][i];
        put_cell(y[0], y[1], step, (size_t)width, to + i);
    }
}

template <typename T>
void launch_fill(cudaStream_t stream, const radial_mlp &mlp, const int *elements, int present,
                 bool with_output, T *values) {
    unsigned blocks = (unsigned)(present * present * RADIAL_KNOTS);
    if (blocks > 0)
        fill<<<blocks, CHANNELS, 0, stream>>>(mlp, elements, present, with_output, values);
}

template <typename S, bool SLOPE>
__global__ void read_table(edge_list edges, edge_span span, radial_table table,
                           S *__restrict__ hidden) {
    int row = blockIdx.x * WARPS + threadIdx.x / 32, lane = threadIdx.x & 31;
    int e = span.begin + row;
    if (e >= min(span.begin + span.size, *edges.end)) return;
    radial_piece piece(table, edges.table_index[e], CHANNELS);
    S *to = hidden + (size_t)row * HIDDEN_WIDTH;
    for (int c = 2 * lane; c < CHANNELS; c += 64)
        store_pair(to + c, SLOPE ? piece.slope(c) : piece.value(c));
    if (lane < (HIDDEN_WIDTH - CHANNELS) / 2)
        store_pair(to + CHANNELS + 2 * lane, make_float2(lane == 0 && !SLOPE ? 1 : 0, 0));
}

unsigned blocks_for(edge_span span) { return (unsigned)((span.size + WARPS - 1) / WARPS); }

} // namespace

void radial_table_fill(cudaStream_t stream, const radial_mlp &mlp, const int *elements, int present,
                       bool with_output, float *values) {
    launch_fill(stream, mlp, elements, present, with_output, values);
}

void radial_parabolas_fill(cudaStream_t stream, const radial_mlp &mlp, const int *elements,
                           int present, __half *values) {
    launch_fill(stream, mlp, elements, present, true, values);
}

template <typename S>
void radial_hidden(cudaStream_t stream, const edge_list &edges, edge_span span, radial_table table,
                   bool slope, S *hidden) {
    if (span.size == 0) return;
    auto kernel = slope ? read_table<S, true> : read_table<S, false>;
    kernel<<<blocks_for(span), WARPS * 32, 0, stream>>>(edges, span, table, hidden);
}

template void radial_hidden<__half>(cudaStream_t, const edge_list &, edge_span, radial_table, bool,
                                    __half *);
template void radial_hidden<float>(cudaStream_t, const edge_list &, edge_span, radial_table, bool,
                                   float *);
