/* How much memory an engine holds. */
#include "engine/cuda_engine.cuh"

namespace {

template <typename... B> size_t bytes_of(const B &...buffer) { return (buffer.bytes() + ... + 0); }

} // namespace

template <typename S> size_t cuda_engine<S>::device_bytes() const {
    size_t sum = products ? PRODUCT_WORKSPACE : 0;
    sum += bytes_of(weights.memory, present_elements, element_slot, degree_values, hidden_values,
                    radial_values, reference, position, element, node, neighbour, first);
    sum += bytes_of(edge_end, in_first, outer_first, out_first, out, unsorted, cursor, reach, place,
                    vector, record, scan, visit, extent);
    sum += bytes_of(x, other, energy, hidden, radial, radial_slope, message, conv_1, gated, conv_2,
                    g_conv_2, g_edge, edge_vector);
    sum += bytes_of(force, atom_virial, atom_energy, partial, balance_sum, report);
    sum += ranks.device_bytes();
    for (const auto &b : h) sum += bytes_of(b);
    for (const auto &n : norms) sum += bytes_of(n.rows[0], n.rows[1], n.inverse[0], n.inverse[1]);
    for (const auto &k : kept) sum += bytes_of(k.radial, k.gated, k.conv_2);
    return sum;
}

template <typename S> size_t cuda_engine<S>::host_bytes() const {
    return sizeof *this + dense_weights_bytes(merged) + row_atom.capacity() * sizeof(int) +
           ranks.host_bytes() +
           bytes_of(position_host, report_host, force_host, atom_energy_host, atom_virial_host);
}

template size_t cuda_engine<__half>::device_bytes() const;
template size_t cuda_engine<float>::device_bytes() const;
template size_t cuda_engine<__half>::host_bytes() const;
template size_t cuda_engine<float>::host_bytes() const;
