/* Packing the merged weights on the host into one image, which is copied to the device: weights of
 * convolutions in type S or as tiles, those of nodes as fragments (weight_fragments.cuh), the rest
 * in fp32. */
#include "weights/device_weights.cuh"

#include <algorithm>

#include "weights/weight_fragments.cuh"

namespace {

/* Gathers the image of one allocation on the host, and hands out its device addresses. */
class packer {
  public:
    explicit packer(char *base) : base_(base) {}

    template <typename T> const T *add(size_t count, const float *from) {
        T *to = room<T>(count);
        for (size_t i = 0; i < count; i++) to[i] = T(from[i]);
        return address(to);
    }
    /* Room for `count` items; the pointer is good until the next call. */
    template <typename T> T *room(size_t count) {
        size_t at = (image_.size() + 255) / 256 * 256;
        image_.resize(at + count * sizeof(T));
        return reinterpret_cast<T *>(image_.data() + at);
    }
    template <typename T> const T *address(const T *in_image) const {
        return reinterpret_cast<const T *>(
            base_ + (reinterpret_cast<const char *>(in_image) - image_.data()));
    }
    const std::vector<char> &image() const { return image_; }

  private:
    char *base_;
    std::vector<char> image_;
};

radial_mlp pack_radial(packer &p, const umas_architecture &a, const radial_weights &r) {
    const size_t B = CHANNELS, G = size_t(a.distance_functions), Z = size_t(a.elements);
    radial_mlp m = {};
    m.distance_functions = a.distance_functions;
    m.outputs = r.outputs;
    m.cutoff = float(a.cutoff);
    m.basis = p.add<float>(B * G, r.basis);
    m.source = p.add<float>(Z * B, r.source);
    m.target = p.add<float>(Z * B, r.target);
    m.norm_0_w = p.add<float>(B, r.norm_0_w);
    m.norm_0_b = p.add<float>(B, r.norm_0_b);
    m.linear_1_w = p.add<float>(B * B, r.linear_1_w);
    m.linear_1_b = p.add<float>(B, r.linear_1_b);
    m.norm_1_w = p.add<float>(B, r.norm_1_w);
    m.norm_1_b = p.add<float>(B, r.norm_1_b);
    m.linear_2_w = p.add<float>(size_t(r.outputs) * B, r.linear_2_w);
    m.linear_2_b = p.add<float>(size_t(r.outputs), r.linear_2_b);
    return m;
}

/* The weights [outputs][HIDDEN_WIDTH] of the radial product. */
std::vector<float> radial_matrix_of(const radial_weights &r) {
    std::vector<float> w(size_t(r.outputs) * HIDDEN_WIDTH, 0.0f);
    for (size_t i = 0; i < size_t(r.outputs); i++) {
        float *row = w.data() + i * HIDDEN_WIDTH;
        std::copy_n(r.linear_2_w + i * CHANNELS, CHANNELS, row);
        row[CHANNELS] = r.linear_2_b[i];
    }
    return w;
}

template <typename S> const S *pack_matrix(packer &p, const order_matrix &m) {
    S *w = p.room<S>(size_t(m.n) * size_t(m.k));
    for (int i = 0; i < m.n; i++)
        for (int j = 0; j < m.k; j++) w[size_t(i) * size_t(m.k) + size_t(j)] = S(m.at(i, j));
    return p.address(w);
}

tiled_weights add_tiles(packer &p, tiled_weights w, const std::vector<__half> &image) {
    __half *to = p.room<__half>(image.size());
    std::copy(image.begin(), image.end(), to);
    w.tiles = reinterpret_cast<const char *>(p.address(to));
    return w;
}

tiled_weights pack_convolution(packer &p, int rows, bool transposed, bool gated,
                               const so2_matrices &w) {
    std::vector<__half> image;
    return add_tiles(p, pack_tiles(w, rows, transposed, gated, image), image);
}

/* gate: whether the gate follows the convolution; else it precedes it, and leaves its inputs before
 * the rows. */
template <typename S>
device_so2<S> pack_so2(packer &p, int mmax, bool tiled, bool gate, const so2_weights &s) {
    const so2_matrices w = {s.inputs, s.outputs,           s.extra, gate ? 0 : GATE_INPUTS,
                            s.m0_w,   {s.m_w[0], s.m_w[1]}};
    const int rows = mmax == 2 ? 9 : 7;
    device_so2<S> d = {};
    d.parts = 1 + mmax;
    d.width_in = w.before + rows * w.inputs;
    d.width_out = w.extra + rows * w.outputs;
    for (int m = 0; m <= mmax; m++) {
        const order_matrix order = matrix_of(w, m);
        d.part[m] = {order.n, order.k, tiled ? nullptr : pack_matrix<S>(p, order), order.from,
                     order.to};
    }
    if (tiled) {
        d.forward = pack_convolution(p, rows, false, gate, w);
        d.backward = pack_convolution(p, rows, true, !gate, w);
    }
    d.bias = p.add<float>(size_t(d.part[0].n), s.m0_b);
    return d;
}

const float4 *pack_fragments(packer &p, int matrices, bool transposed, const float *w) {
    float *to = p.room<float>(size_t(matrices) * CHANNELS * CHANNELS);
    weight_fragments(matrices, transposed, w, to);
    return reinterpret_cast<const float4 *>(p.address(to));
}

atomwise_weights pack_atomwise(packer &p, const block_weights &b) {
    const size_t C = CHANNELS;
    atomwise_weights d = {};
    d.norm_w = p.add<float>(3 * C, b.norm_2_w);
    d.norm_b = p.add<float>(C, b.norm_2_b);
    d.scalar_b = p.add<float>(2 * C, b.scalar_b);
    d.linear_1_b = p.add<float>(C, b.linear_1_b);
    d.linear_2_b = p.add<float>(C, b.linear_2_b);
    d.scalar = pack_fragments(p, 2, false, b.scalar_w);
    d.linear_1 = pack_fragments(p, 3, false, b.linear_1_w);
    d.linear_2 = pack_fragments(p, 3, false, b.linear_2_w);
    d.scalar_t = pack_fragments(p, 2, true, b.scalar_w);
    d.linear_1_t = pack_fragments(p, 3, true, b.linear_1_w);
    d.linear_2_t = pack_fragments(p, 3, true, b.linear_2_w);
    return d;
}

head_weights pack_head(packer &p, const dense_weights &host) {
    const size_t C = CHANNELS, out[3] = {C, C, 1};
    head_weights d = {};
    d.norm_w = p.add<float>(3 * C, host.norm_w);
    d.norm_b = p.add<float>(C, host.norm_b);
    for (int i = 0; i < 3; i++) d.b[i] = p.add<float>(out[i], host.head_b[i]);
    for (int i = 0; i < 2; i++) {
        d.linear[i] = pack_fragments(p, 1, false, host.head_w[i]);
        d.linear_t[i] = pack_fragments(p, 1, true, host.head_w[i]);
    }
    d.last = p.add<float>(C, host.head_w[2]);
    return d;
}

template <typename S>
device_block<S> pack_block(packer &p, const umas_architecture &a, bool tiled,
                           const block_weights &b) {
    const size_t C = CHANNELS;
    device_block<S> d = {};
    d.norm_1_w = p.add<float>(3 * C, b.norm_1_w);
    d.norm_1_b = p.add<float>(C, b.norm_1_b);
    d.radial = pack_radial(p, a, b.radial);
    const std::vector<float> product = radial_matrix_of(b.radial);
    std::vector<__half> image;
    if (tiled)
        d.radial_tiles =
            add_tiles(p, pack_tiles(product.data(), b.radial.outputs, HIDDEN_WIDTH, image), image);
    else
        d.radial_w = p.add<S>(product.size(), product.data());
    d.radial_outputs = b.radial.outputs;
    d.conv_1 = pack_so2<S>(p, a.mmax, tiled, true, b.conv_1);
    d.conv_2 = pack_so2<S>(p, a.mmax, tiled, false, b.conv_2);
    d.atomwise = pack_atomwise(p, b);
    return d;
}

template <typename S>
void pack(packer &p, const dense_weights *host, bool tiled, device_weights<S> &d) {
    const umas_architecture &a = host->architecture;
    const size_t C = CHANNELS;
    d.csd = p.add<float>(C, host->csd);
    d.sphere = p.add<float>(size_t(a.elements) * C, host->sphere);
    d.edge_degree = pack_radial(p, a, host->edge_degree);
    d.block.clear();
    for (int i = 0; i < a.layers; i++)
        d.block.push_back(pack_block<S>(p, a, tiled, host->blocks[i]));
    d.head = pack_head(p, *host);
}

} // namespace

template <typename S>
bool upload_weights(cudaStream_t stream, const dense_weights *host, bool tiled,
                    device_weights<S> &device) {
    if (!device.memory) { /* the first time only the size matters */
        packer size(nullptr);
        pack(size, host, tiled, device);
        if (!device.memory.reserve(size.image().size())) return false;
    }
    packer p(device.memory);
    pack(p, host, tiled, device);
    cudaMemcpyAsync(device.memory, p.image().data(), p.image().size(), cudaMemcpyHostToDevice,
                    stream);
    cudaStreamSynchronize(stream); /* the image ends here */
    return true;
}

template bool upload_weights<__half>(cudaStream_t, const dense_weights *, bool,
                                     device_weights<__half> &);
template bool upload_weights<float>(cudaStream_t, const dense_weights *, bool,
                                    device_weights<float> &);
