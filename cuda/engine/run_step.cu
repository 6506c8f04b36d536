/* A step: memory for the atoms, what they are, the step as a graph, and when it has to be done
 * again. */
#include "engine/run_step.cuh"

#include <cmath>
#include <cstring>
#include <new>

#include "engine/device_error.cuh"
#include "engine/device_guard.cuh"
#include "engine/memory_plan.cuh"
#include "engine/step_input.cuh"

template <typename S> umas_status wait_for(cuda_engine<S> &e, umas_error *error) {
    cudaError_t status = cudaStreamSynchronize(e.stream);
    if (status == cudaSuccess) status = cudaGetLastError();
    return status == cudaSuccess ? UMAS_OK
                                 : device_error(error, "the GPU failed in a step", status);
}

namespace {

/* The numbers of edges in the report, counted on the device without building them. */
template <typename S> umas_status count_edges(cuda_engine<S> &e, umas_error *error) {
    edge_list_count(e.stream, e.candidates(), e.list.buffers(e.plan), e.results.report);
    cudaMemcpyAsync(e.results.report_host, e.results.report, sizeof(step_report),
                    cudaMemcpyDeviceToHost, e.stream);
    return wait_for(e, error);
}

/* Memory, candidates and positions of atoms that the plan is for; `resized`: it has just become
 * so. */
template <typename S>
umas_status fill_plan(cuda_engine<S> &e, const umas_atoms *atoms, bool resized, umas_error *error) {
    umas_status status = UMAS_OK;
    if (resized || !input_fits(e, atoms)) status = reserve_input(e, atoms, error);
    if (status != UMAS_OK) return status;
    if (atoms->list_changed) upload_list(e, atoms);
    if (atoms->list_changed && e.ranks.is_open()) {
        e.captured.drop(); /* it knows how many rows travel */
        status = e.ranks.take_plan(atoms->rows, atoms->owned, error);
    }
    if (status == UMAS_OK) status = upload_positions(e, atoms, error);
    if (status != UMAS_OK || !resized) return status;
    status = count_edges(e, error);
    return status == UMAS_OK ? plan_memory(e, e.reported().edges, error) : status;
}

/* Make the plan one for this call's atoms.  After a failure, here or in the step, it is for none:
 * the next call starts over. */
template <typename S>
umas_status prepare(cuda_engine<S> &e, const umas_atoms *atoms, umas_error *error) {
    bool resized = atoms->owned != e.plan.owned || atoms->nodes != e.plan.nodes;
    e.plan.owned = atoms->owned;
    e.plan.nodes = atoms->nodes;
    return fill_plan(e, atoms, resized, error);
}

template <typename S> umas_status capture(cuda_engine<S> &e, bool atom_virial, umas_error *error) {
    cudaGraph_t graph = nullptr;
    e.captured.drop();
    cudaError_t status = cudaStreamBeginCapture(e.stream, cudaStreamCaptureModeThreadLocal);
    if (status != cudaSuccess) return device_error(error, "starting a graph", status);
    umas_status queued = queue_step(e, atom_virial, error);
    status = cudaStreamEndCapture(e.stream, &graph);
    if (queued == UMAS_OK && status == cudaSuccess)
        status = cudaGraphInstantiate(&e.captured.graph, graph, 0);
    if (graph) cudaGraphDestroy(graph);
    if (queued != UMAS_OK) return queued;
    if (status != cudaSuccess) return device_error(error, "making a graph of the step", status);
    e.captured.atom_virial = atom_virial;
    e.captured.gradient_scale = e.gradient_scale;
    return UMAS_OK;
}

/* Run one step and wait for it.  A step that talks to other ranks through the host is no graph. */
template <typename S> umas_status run(cuda_engine<S> &e, bool atom_virial, umas_error *error) {
    umas_status status = UMAS_OK;
    if (e.ranks.is_open() && !e.ranks.on_device()) {
        status = queue_step(e, atom_virial, error);
    } else {
        if (!e.captured.graph || e.captured.atom_virial != atom_virial ||
            e.captured.gradient_scale != e.gradient_scale)
            status = capture(e, atom_virial, error);
        if (status == UMAS_OK) {
            cudaError_t launched = cudaGraphLaunch(e.captured.graph, e.stream);
            if (launched != cudaSuccess) status = device_error(error, "starting a step", launched);
        }
    }
    return status == UMAS_OK ? wait_for(e, error) : status;
}

template <typename S> bool finite(const cuda_engine<S> &e) {
    return !e.reported().not_finite && std::isfinite(e.reported().energy);
}

/* Gradients that overflow 16 bits are tried again, smaller.  A step needs no more than a few
 * tries: 2^-4 of 2^12 is far below any gradient that fp32 itself survives. */
constexpr float SMALLEST_SCALE = 1.0f / 16;
/* What overflows passes, and small gradients lose digits at a small scale: after this many steps
 * the next larger one is tried.  Gradients of several ranks are added up, so that all must have
 * the same scale: it changes and is counted only where they are in step (run_step, and the
 * repeat that they voted for). */
constexpr int STEPS_AT_SMALLER_SCALE = 100;

template <typename S> void try_larger_scale(cuda_engine<S> &e) {
    if (sizeof(S) > 2 || e.gradient_scale >= FIRST_SCALE) return;
    if (e.steps_at_scale < STEPS_AT_SMALLER_SCALE) return;
    e.gradient_scale *= 16;
    e.steps_at_scale = 0;
}

template <typename S> umas_status try_smaller_scale(cuda_engine<S> &e, umas_error *error) {
    if (e.gradient_scale <= SMALLEST_SCALE || sizeof(S) > 2)
        return umas_fail(error, UMAS_ERROR_OVERFLOW,
                         sizeof(S) == 2
                             ? "energies or forces are not finite; try precision single"
                             : "energies or forces are not finite; try pair style umas, which "
                               "computes in double precision");
    e.gradient_scale /= 16;
    e.steps_at_scale = 0;
    return UMAS_OK;
}

/* Results from pinned memory: forces of a row belong to the first atom that has it. */
template <typename S>
void hand_out(const cuda_engine<S> &e, const umas_atoms *atoms, umas_result *result) {
    const step_report &report = e.reported();
    result->energy = report.energy;
    result->edges = int64_t(report.edges[0]) + report.edges[1];
    result->crowded = report.crowded;
    std::memcpy(result->virial, report.virial, sizeof report.virial);
    for (size_t n = 0; n < e.row_atom.size(); n++) {
        if (e.row_atom[n] < 0) continue;
        const size_t i = size_t(e.row_atom[n]);
        std::memcpy(result->force + 3 * i, e.results.force_host + 3 * n, 3 * sizeof(double));
        if (result->atom_virial)
            std::memcpy(result->atom_virial + 6 * i, e.results.atom_virial_host + 6 * n,
                        6 * sizeof(double));
    }
    if (result->atom_energy)
        std::memcpy(result->atom_energy, e.results.atom_energy_host,
                    size_t(atoms->owned) * sizeof(double));
}

/* After a failure the next call starts over: a graph may lack what could not be queued, and the
 * plan is for no atoms. */
template <typename S> umas_status or_start_over(cuda_engine<S> &e, umas_status status) {
    if (status != UMAS_OK) {
        e.captured.drop();
        e.plan.owned = -1;
    }
    return status;
}

} // namespace

template <typename S>
umas_status prepare_step(void *self, const umas_atoms *atoms, int64_t system_atoms, int repeat,
                         umas_error *error) try {
    auto &e = *static_cast<cuda_engine<S> *>(self);
    const device_guard guard;
    cudaError_t set = guard.enter(e.device);
    if (set != cudaSuccess) return device_error(error, "choosing the GPU", set);
    if (repeat == UMAS_REPEAT_NOT) {
        if (e.system_atoms != double(system_atoms)) e.captured.drop();
        e.system_atoms = double(system_atoms);
        return or_start_over(e, prepare(e, atoms, error));
    }
    umas_status status = UMAS_OK;
    if (repeat & UMAS_REPEAT_WITH_SMALLER_GRADIENTS) status = try_smaller_scale(e, error);
    if (status == UMAS_OK && e.lacks_room()) status = plan_memory(e, e.reported().edges, error);
    return or_start_over(e, status);
} catch (const std::bad_alloc &) {
    return or_start_over(*static_cast<cuda_engine<S> *>(self), no_memory(error));
}

template <typename S>
umas_status run_step(void *self, const umas_atoms *atoms, umas_result *result, int *repeat,
                     umas_error *error) try {
    auto &e = *static_cast<cuda_engine<S> *>(self);
    const device_guard guard;
    cudaError_t set = guard.enter(e.device);
    if (set != cudaSuccess) return device_error(error, "choosing the GPU", set);
    try_larger_scale(e);
    e.steps_at_scale++;
    umas_status status = e.ranks.is_open() ? e.ranks.meet_peers(error) : UMAS_OK;
    if (status == UMAS_OK) status = run(e, result->atom_virial != nullptr, error);
    if (status != UMAS_OK) return or_start_over(e, status);
    const step_report &report = e.reported();
    *repeat = UMAS_REPEAT_NOT;
    if (report.overlap[0] >= 0)
        return umas_fail_rows(error, UMAS_ERROR_GEOMETRY, report.overlap[0], report.overlap[1],
                              "two atoms are on top of each other");
    if (e.lacks_room())
        *repeat = UMAS_REPEAT_WITH_ROOM;
    else if (!finite(e))
        *repeat = UMAS_REPEAT_WITH_SMALLER_GRADIENTS;
    if (*repeat != UMAS_REPEAT_NOT) return UMAS_OK;
    hand_out(e, atoms, result);
    return UMAS_OK;
} catch (const std::bad_alloc &) {
    /* in the middle of a step, where other ranks may be waiting */
    return or_start_over(*static_cast<cuda_engine<S> *>(self),
                         umas_fail(error, UMAS_ERROR_DEVICE, "no memory to queue a step"));
}

#define INSTANTIATE(S)                                                                            \
    template umas_status wait_for<S>(cuda_engine<S> &, umas_error *);                             \
    template umas_status prepare_step<S>(void *, const umas_atoms *, int64_t, int, umas_error *); \
    template umas_status run_step<S>(void *, const umas_atoms *, umas_result *, int *,            \
                                     umas_error *);
INSTANTIATE(__half)
INSTANTIATE(float)
