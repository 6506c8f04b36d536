/* Radial functions, docs/model.md (12), and their slopes, (36), read from tables: one table an
 * ordered pair of elements, over the distance alone.  Two reads an edge take the place of the MLP's
 * hidden layers, their norms and their backward pass.  docs/accuracy.md says what is stored in how
 * many bits. */
#ifndef UMAS_RADIAL_TABLE_CUH
#define UMAS_RADIAL_TABLE_CUH

#include "edge_stages/edge_stages.cuh"

/* The cubic piece that holds one edge's distance.  It stands on the difference of the values at its
 * ends as it was before they were rounded: the slope would show that rounding magnified by the
 * number of knots. */
struct radial_piece {
    const float *knot;
    int width;
    float value_weight[3], slope_weight[3]; /* of slope, difference, next slope */

    __device__ __forceinline__ radial_piece(const radial_table &table, const radial_index &index,
                                            int row_width)
        : width(row_width) {
        float u = index.fraction, v = 1 - u, per = table.knots_per_length;
        knot = table.values + (size_t)index.knot * RADIAL_ROWS * width;
        value_weight[0] = u * v * v;
        value_weight[1] = u * u * (3 - 2 * u);
        value_weight[2] = -u * u * v;
        slope_weight[0] = v * (1 - 3 * u) * per;
        slope_weight[1] = 6 * u * v * per;
        slope_weight[2] = u * (3 * u - 2) * per;
    }
    __device__ __forceinline__ float2 row(int index, int channel) const {
        return __ldg(reinterpret_cast<const float2 *>(knot + index * width + channel));
    }
    __device__ __forceinline__ float2 combine(float2 sum, const float (&weight)[3],
                                              int channel) const {
        constexpr int rows[3] = {1, 2, RADIAL_ROWS + 1};
#pragma unroll
        for (int i = 0; i < 3; i++) {
            float2 v = row(rows[i], channel);
            sum.x = fmaf(weight[i], v.x, sum.x);
            sum.y = fmaf(weight[i], v.y, sum.y);
        }
        return sum;
    }
    __device__ __forceinline__ float2 value(int channel) const {
        return combine(row(0, channel), value_weight, channel);
    }
    __device__ __forceinline__ float2 slope(int channel) const {
        return combine(make_float2(0, 0), slope_weight, channel);
    }
};

/* Weights of one radial MLP in device memory (core/weights/dense_weights.h), B = CHANNELS. */
struct radial_mlp {
    int distance_functions, outputs;
    float cutoff;
    const float *basis, *source, *target; /* [B][G], [Z][B], [Z][B] */
    const float *norm_0_w, *norm_0_b, *linear_1_w, *linear_1_b, *norm_1_w, *norm_1_b;
    const float *linear_2_w, *linear_2_b; /* [outputs][B], [outputs] */
};

/* Fill a table for all ordered pairs of elements [present] (atomic numbers, device memory), source
 * first.  with_output: the MLP's outputs, width `outputs`; else its second hidden layer, width B.
 * Computed in double. */
void radial_table_fill(cudaStream_t stream, const radial_mlp &mlp, const int *elements, int present,
                       bool with_output, float *values);
/* The MLP's outputs as parabolas (tabulated_radials). */
void radial_parabolas_fill(cudaStream_t stream, const radial_mlp &mlp, const int *elements,
                           int present, __half *values);

#endif
