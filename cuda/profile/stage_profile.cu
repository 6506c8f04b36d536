/* umas_engine_profile: the last step once more, not as a CUDA graph, with a clock on every stage.
 */
#include <algorithm>
#include <cstring>

#include "engine/cuda_engine.cuh"
#include "engine/device_guard.cuh"

namespace {

umas_status gpu_failed(umas_error *error, cudaError_t status) {
    return umas_fail(error, UMAS_ERROR_DEVICE, "the GPU failed in a timed step: %s",
                     cudaGetErrorString(status));
}

/* The same input must give the same bits, or something else was timed. */
umas_status check_repeated(const step_report &before, const step_report &after, umas_error *error) {
    if (std::memcmp(after.edges, before.edges, sizeof before.edges) == 0 &&
        std::memcmp(&after.energy, &before.energy, sizeof before.energy) == 0 &&
        std::memcmp(after.virial, before.virial, sizeof before.virial) == 0)
        return UMAS_OK;
    return umas_fail(error, UMAS_ERROR_DEVICE, "a timed step gave other bits than the one before");
}

} // namespace

template <typename S>
umas_status profile_step(void *self, int atom_virial, umas_stage_time *stages, int capacity,
                         int *count, umas_error *error) {
    auto &e = *static_cast<cuda_engine<S> *>(self);
    const step_report before = e.reported();
    const device_guard guard;
    cudaError_t set = guard.enter(e.device);
    if (set != cudaSuccess) return gpu_failed(error, set);
    stage_clock clock(e.stream);
    clock.hold();
    e.clock = &clock;
    e.ranks.time_with(&clock);
    std::copy_n(before.edges, 2, e.timed_edges);
    umas_status status = queue_step(e, atom_virial != 0, error);
    e.clock = nullptr;
    e.ranks.time_with(nullptr);
    clock.end();
    cudaError_t waited = cudaStreamSynchronize(e.stream);
    if (status != UMAS_OK) return status;
    if (waited == cudaSuccess) waited = cudaGetLastError();
    if (waited == cudaSuccess) waited = clock.read(stages, capacity, count);
    if (waited != cudaSuccess) return gpu_failed(error, waited);
    if (*count > capacity)
        return umas_fail(error, UMAS_ERROR_ARGUMENT, "a step has %d stages, there is room for %d",
                         *count, capacity);
    return check_repeated(before, e.reported(), error);
}

template umas_status profile_step<__half>(void *, int, umas_stage_time *, int, int *, umas_error *);
template umas_status profile_step<float>(void *, int, umas_stage_time *, int, int *, umas_error *);
