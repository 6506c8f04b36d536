/* A caller's atoms on their way to the device: candidates when the list changes, positions every
 * step. */
#include "engine/step_input.cuh"

#include <cstring>

#include "engine/memory_plan.cuh"

template <typename S> void upload_list(cuda_engine<S> &e, const umas_atoms *atoms) {
    size_t total = size_t(atoms->total);
    cudaMemcpyAsync(e.input.element, atoms->element, total * sizeof(int), cudaMemcpyHostToDevice,
                    e.stream);
    std::vector<int> identity;
    const int *node = atoms->node;
    if (!node) {
        for (int i = 0; i < atoms->total; i++) identity.push_back(i);
        node = identity.data();
    }
    e.row_atom.assign(size_t(atoms->nodes), -1);
    for (int i = atoms->total - 1; i >= 0; i--)
        if (node[i] >= 0) e.row_atom[size_t(node[i])] = i;
    cudaMemcpyAsync(e.input.node, node, total * sizeof(int), cudaMemcpyHostToDevice, e.stream);
    if (atoms->owned > 0) {
        cudaMemcpyAsync(e.input.first, atoms->first, (size_t(atoms->owned) + 1) * sizeof(int64_t),
                        cudaMemcpyHostToDevice, e.stream);
        cudaMemcpyAsync(e.input.neighbour, atoms->neighbour, candidate_count(atoms) * sizeof(int),
                        cudaMemcpyHostToDevice, e.stream);
    }
    cudaStreamSynchronize(e.stream); /* `identity` ends here */
}

template <typename S>
umas_status upload_positions(cuda_engine<S> &e, const umas_atoms *atoms, umas_error *error) {
    const umas_status status = umas_positions_check(atoms, error);
    if (status != UMAS_OK) return status;
    size_t bytes = size_t(atoms->total) * 3 * sizeof(double);
    if (bytes > 0) std::memcpy(e.input.position_host, atoms->position, bytes);
    cudaMemcpyAsync(e.input.position, e.input.position_host, bytes, cudaMemcpyHostToDevice,
                    e.stream);
    return UMAS_OK;
}

template <typename S> bool input_fits(const cuda_engine<S> &e, const umas_atoms *atoms) {
    return size_t(atoms->total) < e.input.element.capacity() &&
           candidate_count(atoms) < e.input.neighbour.capacity();
}

#define INSTANTIATE(S)                                                                            \
    template void upload_list<S>(cuda_engine<S> &, const umas_atoms *);                           \
    template umas_status upload_positions<S>(cuda_engine<S> &, const umas_atoms *, umas_error *); \
    template bool input_fits<S>(const cuda_engine<S> &, const umas_atoms *);
INSTANTIATE(__half)
INSTANTIATE(float)
