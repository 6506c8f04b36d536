/* Packing weights into tiles for the kernels of wgmma_products.cuh, on the host; and their tensor
 * maps.
 *
 * A pass's tiles are [steps][n][64] fp16, swizzled as TMA and wgmma want them.  The columns of a
 * result stand in such an order that a thread's accumulators are runs of eight neighbours, which
 * it can store in 16-byte words. */
#include "products/wgmma_products.cuh"

#include <cudaTypedefs.h>

#include <algorithm>

namespace {

/* Column of the result that row i of 64 in a tile stands for: the order of the tensor cores'
 * sums is such that every thread then has eight neighbours twice. */
int column_of_row(int i) { return i / 32 * 32 + i / 2 % 4 * 8 + i / 8 % 4 * 2 + i % 2; }

class tile_packer {
    tiled_weights plan_{};
    bool transposed_;
    std::vector<__half> &image_;
    size_t begin_;

  public:
    tile_packer(bool transposed, std::vector<__half> &image)
        : transposed_(transposed), image_(image), begin_(image.size()) {}

    int results(const order_matrix &m) const { return transposed_ ? m.k : m.n; }
    /* A pass over `n` columns of the result: boxes of 64 columns that follow each other, or
     * `apart`, the same half of the channels of one row after the other. */
    void add(const order_matrix &m, int n, int first, bool apart) {
        const int depth = transposed_ ? m.n : m.k;
        const int steps = (depth + TILE_COLUMNS - 1) / TILE_COLUMNS;
        const size_t from = image_.size();
        image_.resize(from + size_t(n) * size_t(steps * TILE_COLUMNS), __half(0.0f));
        plan_.pass[plan_.parts++] = {n, steps, transposed_ ? m.to : m.from,
                                     (transposed_ ? m.from : m.to) + first,
                                     unsigned((from - begin_) * sizeof(__half))};
        for (int row = 0; row < n; row++) {
            const int box = row / BOX_COLUMNS * (apart ? CHANNELS : BOX_COLUMNS);
            const int column = first + box + column_of_row(row % BOX_COLUMNS);
            for (int k = 0; k < depth; k++) {
                const int word = k % TILE_COLUMNS / 8 ^ row % 8; /* as TMA swizzles */
                const size_t tile = size_t(k / TILE_COLUMNS) * size_t(n * TILE_COLUMNS);
                image_[from + tile + size_t(row * TILE_COLUMNS + word * 8 + k % 8)] =
                    __half(transposed_ ? m.at(k, column) : m.at(column, k));
            }
        }
    }
    int passes() const { return plan_.parts; }
    /* All that was added: parts of this many passes. */
    tiled_weights plan(int passes) {
        plan_.passes = passes;
        plan_.parts /= passes;
        return plan_;
    }
};

/* The driver's function, NULL if it has none: steps of several ranks need it at every launch. */
PFN_cuTensorMapEncodeTiled_v12000 find_encode_tiled() {
    void *function = nullptr;
    cudaDriverEntryPointQueryResult found;
    if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                         cudaEnableDefault, &found) != cudaSuccess ||
        found != cudaDriverEntryPointSuccess)
        return nullptr;
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
}

} // namespace

bool tiles_supported(int device) {
#ifdef UMAS_HOPPER_KERNELS
    int major = 0, minor = 0;
    return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) ==
               cudaSuccess &&
           cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) ==
               cudaSuccess &&
           major == 9 && minor == 0;
#else
    (void)device;
    return false;
#endif
}

tiled_weights pack_tiles(const so2_matrices &w, int rows, bool transposed, bool gated,
                         std::vector<__half> &image) {
    const int orders = rows == 9 ? 3 : 2;
    tile_packer p(transposed, image);
    if (gated) {
        /* backwards the gates' gradients are complete after m = 0 */
        for (int half = 0; half < 2; half++)
            for (int i = 0; i < orders; i++) {
                const order_matrix m = matrix_of(w, transposed ? (i + 1) % orders : i);
                for (int done = 0, left = p.results(m) / 2; left > 0;) {
                    const int n = left > MOST_COLUMNS ? 192 : left;
                    p.add(m, n, 2 * done + half * CHANNELS / 2, true);
                    done += n, left -= n;
                }
            }
        return p.plan(p.passes() / 2);
    }
    for (int i = 0; i < orders; i++) {
        const order_matrix m = matrix_of(w, i);
        const int n = p.results(m) % MOST_COLUMNS == 0 ? MOST_COLUMNS : 192;
        for (int first = 0; first < p.results(m); first += n) p.add(m, n, first, false);
    }
    return p.plan(1);
}

tiled_weights pack_tiles(const float *w, int n, int k, std::vector<__half> &image) {
    tile_packer p(false, image);
    for (int first = 0; first < n; first += MOST_COLUMNS)
        p.add({w, nullptr, n, k, 0, 0}, MOST_COLUMNS, first, false);
    return p.plan(1);
}

bool tile_map(const __half *rows, int edges, int width, int tile_rows, CUtensorMap *map) {
    static const PFN_cuTensorMapEncodeTiled_v12000 encode_tiled = find_encode_tiled();
    if (!encode_tiled) return false;
    const cuuint64_t size[2] = {cuuint64_t(width), cuuint64_t(edges)};
    const cuuint64_t pitch[1] = {cuuint64_t(width) * sizeof(__half)};
    const cuuint32_t box[2] = {TILE_COLUMNS, cuuint32_t(tile_rows)}, step[2] = {1, 1};
    return encode_tiled(map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2, const_cast<__half *>(rows), size,
                        pitch, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                        CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                        CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

int tile_blocks() {
    int device = 0, multiprocessors = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
    return std::max(CLUSTER, multiprocessors / CLUSTER * CLUSTER);
}

bool small_tiles_pay(edge_span span, int parts) {
    const int clusters = tile_blocks() / CLUSTER;
    auto rounds = [&](int edges) {
        return (tile_units(span, edges, parts) + clusters - 1) / clusters;
    };
    return 1.2 * rounds(64) < 2 * rounds(128);
}
