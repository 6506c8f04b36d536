/* How many bytes an engine holds, on the device and on the host. */
#include "engine/cuda_engine.cuh"

template <typename S> size_t cuda_engine<S>::device_bytes() const {
    size_t sum = products ? PRODUCT_WORKSPACE : 0;
    sum += bytes_of(weights.memory, reference, tables, input, list, nodes, chunk, results);
    for (const auto &k : kept) sum += k.bytes();
    return sum + ranks.device_bytes();
}

template <typename S> size_t cuda_engine<S>::host_bytes() const {
    return sizeof *this + dense_weights_bytes(merged) + row_atom.capacity() * sizeof(int) +
           ranks.host_bytes() + input.position_host.bytes() + results.host_bytes();
}

template size_t cuda_engine<__half>::device_bytes() const;
template size_t cuda_engine<float>::device_bytes() const;
template size_t cuda_engine<__half>::host_bytes() const;
template size_t cuda_engine<float>::host_bytes() const;
