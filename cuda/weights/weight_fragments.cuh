/* Weights of the nodes' products in the order in which warps read them: each lane's four numbers of
 * an mma.m16n8k8 side by side, so that a warp reads 512 contiguous bytes a step.  Host only. */
#ifndef UMAS_WEIGHT_FRAGMENTS_CUH
#define UMAS_WEIGHT_FRAGMENTS_CUH

#include <cstddef>

/* Channels a step of a product takes, of 128: eight. */
constexpr int PRODUCT_STEPS = 16;

/* w [matrices][128][128], transposed or as it is -> to [matrices][8 warps][16 steps][32
 * lanes][4]: of 16 outputs and 8 inputs, a lane's four in the order of mma.m16n8k8, with inputs
 * 2 t and 2 t + 1 in the places of t and t + 4. */
inline void weight_fragments(int matrices, bool transposed, const float *w, float *to) {
    constexpr size_t N = 8 * PRODUCT_STEPS;
    for (size_t i = 0; i < size_t(matrices) * N * N; i++) {
        size_t part = i % 4, lane = i / 4 % 32, step = i / 128 % PRODUCT_STEPS;
        size_t warp = i / 128 / PRODUCT_STEPS % 8, matrix = i / (N * N);
        size_t output = 16 * warp + lane / 4 + 8 * (part % 2);
        size_t input = 8 * step + 2 * (lane % 4) + part / 2;
        to[i] = w[matrix * N * N + (transposed ? input * N + output : output * N + input)];
    }
}

#endif
