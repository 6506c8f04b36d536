/* The CUDA engine's life: device and weights, what comes in and goes out, a step as a graph, and when
 * it has to be done again. */
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <new>

#include "engine/cuda_backend.h"
#include "engine/device_guard.cuh"
#include "engine/memory_plan.cuh"

namespace {

umas_status device_error(umas_error *error, const char *what, cudaError_t status) {
    return umas_fail(error,
                     status == cudaErrorMemoryAllocation ? UMAS_ERROR_MEMORY : UMAS_ERROR_DEVICE,
                     "%s: %s", what, cudaGetErrorString(status));
}

umas_status no_memory(umas_error *error) {
    return umas_fail(error, UMAS_ERROR_MEMORY, "no host memory for the engine");
}

/* ---- input -------------------------------------------------------------------------------- */

template <typename S> void upload_list(cuda_engine<S> &e, const umas_atoms *atoms) {
    size_t total = size_t(atoms->total);
    cudaMemcpyAsync(e.element, atoms->element, total * sizeof(int), cudaMemcpyHostToDevice,
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
    cudaMemcpyAsync(e.node, node, total * sizeof(int), cudaMemcpyHostToDevice, e.stream);
    if (atoms->owned > 0) {
        cudaMemcpyAsync(e.first, atoms->first, (size_t(atoms->owned) + 1) * sizeof(int64_t),
                        cudaMemcpyHostToDevice, e.stream);
        cudaMemcpyAsync(e.neighbour, atoms->neighbour, candidate_count(atoms) * sizeof(int),
                        cudaMemcpyHostToDevice, e.stream);
    }
    cudaStreamSynchronize(e.stream); /* `identity` ends here */
}

template <typename S>
umas_status upload_positions(cuda_engine<S> &e, const umas_atoms *atoms, umas_error *error) {
    const umas_status status = umas_positions_check(atoms, error);
    if (status != UMAS_OK) return status;
    size_t bytes = size_t(atoms->total) * 3 * sizeof(double);
    if (bytes > 0) std::memcpy(e.position_host, atoms->position, bytes);
    cudaMemcpyAsync(e.position, e.position_host, bytes, cudaMemcpyHostToDevice, e.stream);
    return UMAS_OK;
}

/* ---- steps -------------------------------------------------------------------------------- */

template <typename S> umas_status wait_for(cuda_engine<S> &e, umas_error *error) {
    cudaError_t status = cudaStreamSynchronize(e.stream);
    if (status == cudaSuccess) status = cudaGetLastError();
    return status == cudaSuccess ? UMAS_OK
                                 : device_error(error, "the GPU failed in a step", status);
}

/* The numbers of edges in the report, counted on the device without building them. */
template <typename S> umas_status count_edges(cuda_engine<S> &e, umas_error *error) {
    edge_list_count(e.stream, e.candidates(), e.list(), e.report);
    cudaMemcpyAsync(e.report_host, e.report, sizeof(step_report), cudaMemcpyDeviceToHost, e.stream);
    return wait_for(e, error);
}

/* Do the buffers that the input goes through suffice as they are? */
template <typename S> bool input_fits(const cuda_engine<S> &e, const umas_atoms *atoms) {
    return size_t(atoms->total) < e.element.capacity() &&
           candidate_count(atoms) < e.neighbour.capacity();
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
        e.drop_graph(); /* it knows how many rows travel */
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
    e.drop_graph();
    cudaError_t status = cudaStreamBeginCapture(e.stream, cudaStreamCaptureModeThreadLocal);
    if (status != cudaSuccess) return device_error(error, "starting a graph", status);
    umas_status queued = queue_step(e, atom_virial, error);
    status = cudaStreamEndCapture(e.stream, &graph);
    if (queued == UMAS_OK && status == cudaSuccess)
        status = cudaGraphInstantiate(&e.graph, graph, 0);
    if (graph) cudaGraphDestroy(graph);
    if (queued != UMAS_OK) return queued;
    if (status != cudaSuccess) return device_error(error, "making a graph of the step", status);
    e.graph_virial = atom_virial;
    e.graph_scale = e.gradient_scale;
    return UMAS_OK;
}

/* Run one step and wait for it.  A step that talks to other ranks through the host is no graph. */
template <typename S> umas_status run(cuda_engine<S> &e, bool atom_virial, umas_error *error) {
    umas_status status = UMAS_OK;
    if (e.ranks.is_open() && !e.ranks.on_device()) {
        status = queue_step(e, atom_virial, error);
    } else {
        if (!e.graph || e.graph_virial != atom_virial || e.graph_scale != e.gradient_scale)
            status = capture(e, atom_virial, error);
        if (status == UMAS_OK) {
            cudaError_t launched = cudaGraphLaunch(e.graph, e.stream);
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
constexpr float FIRST_SCALE = 4096.0f, SMALLEST_SCALE = 1.0f / 16;
/* What overflows passes, and small gradients lose digits at a small scale: after this many steps the
 * next larger one is tried.  Gradients of several ranks are added up, so that all must have the same
 * scale: it changes and is counted only where they are in step (run_step, and the repeat that they
 * voted for). */
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
        std::memcpy(result->force + 3 * i, e.force_host + 3 * n, 3 * sizeof(double));
        if (result->atom_virial)
            std::memcpy(result->atom_virial + 6 * i, e.atom_virial_host + 6 * n,
                        6 * sizeof(double));
    }
    if (result->atom_energy)
        std::memcpy(result->atom_energy, e.atom_energy_host, size_t(atoms->owned) * sizeof(double));
}

/* After a failure the next call starts over: a graph may lack what could not be queued, and the plan is
 * for no atoms. */
template <typename S> umas_status or_start_over(cuda_engine<S> &e, umas_status status) {
    if (status != UMAS_OK) {
        e.drop_graph();
        e.plan.owned = -1;
    }
    return status;
}

template <typename S>
umas_status prepare_step(void *self, const umas_atoms *atoms, int64_t system_atoms, int repeat,
                         umas_error *error) try {
    auto &e = *static_cast<cuda_engine<S> *>(self);
    const device_guard guard;
    cudaError_t set = guard.enter(e.device);
    if (set != cudaSuccess) return device_error(error, "choosing the GPU", set);
    if (repeat == UMAS_REPEAT_NOT) {
        if (e.system_atoms != double(system_atoms)) e.drop_graph();
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

/* ---- weights ------------------------------------------------------------------------------ */

/* Of the memory, what tabulated radial functions may take: more would be missed by atoms. */
constexpr size_t TABLES_SHARE = 16;

/* Tables of other elements go first: they may need more than these, or the room of these. */
template <typename S> umas_status reserve_tables(cuda_engine<S> &e, umas_error *error) {
    const size_t layers = size_t(e.a->layers), radials = layers * e.radial_values_of_a_layer();
    const size_t degrees = e.knots() * RADIAL_ROWS * 3 * CHANNELS;
    e.degree_values.release();
    e.hidden_values.release();
    e.radial_values.release();
    settle_share(e);
    e.tabulated = sizeof(S) == 2 && radials * sizeof(__half) <= e.memory / TABLES_SHARE;
    const size_t hidden = e.tabulated ? 0 : layers * e.hidden_values_of_a_layer();
    const size_t bytes =
        (degrees + hidden) * sizeof(float) + (e.tabulated ? radials * sizeof(__half) : 0);
    const size_t room = e.room();
    if (bytes <= room && e.present_elements.reserve(UMAS_ELEMENTS) &&
        e.element_slot.reserve(UMAS_ELEMENTS) && e.degree_values.reserve(degrees) &&
        (e.tabulated ? e.radial_values.reserve(radials) : e.hidden_values.reserve(hidden)))
        return UMAS_OK;
    if (bytes <= room)
        return umas_fail(error, UMAS_ERROR_MEMORY,
                         "no GPU memory for tables of radial functions of %d elements, %.3g GiB: "
                         "use a smaller memory fraction",
                         int(e.present.size()), gib(bytes));
    return umas_fail(error, UMAS_ERROR_MEMORY,
                     "tables of radial functions of %d elements need %.3g GiB of GPU memory and "
                     "may take %.3g: use fewer elements or a larger memory fraction",
                     int(e.present.size()), gib(bytes), gib(room));
}

/* Radial tables for the elements that are present; they do not depend on the mixture. */
template <typename S> umas_status fill_tables(cuda_engine<S> &e, umas_error *error) {
    const int present = int(e.present.size());
    int slot[UMAS_ELEMENTS] = {};
    for (size_t i = 0; i < e.present.size(); i++) slot[size_t(e.present[i])] = int(i);
    release_edges(e); /* what a plan needs depends on the tables */
    e.plan.owned = -1;
    const umas_status status = reserve_tables(e, error);
    if (status != UMAS_OK) return status;
    cudaMemcpyAsync(e.present_elements, e.present.data(), e.present.size() * sizeof(int),
                    cudaMemcpyHostToDevice, e.stream);
    cudaMemcpyAsync(e.element_slot, slot, sizeof slot, cudaMemcpyHostToDevice, e.stream);
    radial_table_fill(e.stream, e.weights.edge_degree, e.present_elements, present, true,
                      e.degree_values);
    for (int i = 0; i < e.a->layers; i++) {
        const radial_mlp &mlp = e.weights.block[size_t(i)].radial;
        if (e.tabulated)
            radial_parabolas_fill(e.stream, mlp, e.present_elements, present,
                                  e.radial_values_of(i));
        else
            radial_table_fill(e.stream, mlp, e.present_elements, present, false,
                              e.hidden_values_of(i));
    }
    return wait_for(e, error);
}

template <typename S> umas_status merge(void *self, const int64_t *counts, umas_error *error) try {
    auto &e = *static_cast<cuda_engine<S> *>(self);
    const device_guard guard;
    cudaError_t set = guard.enter(e.device);
    if (set != cudaSuccess) return device_error(error, "choosing the GPU", set);
    umas_status status = merge_experts(e.setup.model, e.setup.task, e.setup.charge, e.setup.spin,
                                       counts, e.merged, error);
    if (status != UMAS_OK) return status;
    e.drop_graph();
    if (!upload_weights(e.stream, e.merged, e.tiled, e.weights))
        return umas_fail(error, UMAS_ERROR_MEMORY, "no GPU memory for the merged weights");
    status = wait_for(e, error);
    if (status != UMAS_OK) return status;
    std::vector<int> present;
    for (int z = 1; z < UMAS_ELEMENTS; z++)
        if (counts[z] > 0) present.push_back(z);
    if (present == e.present) return UMAS_OK;
    e.present = present;
    status = fill_tables(e, error);
    if (status != UMAS_OK) e.present.clear(); /* there are no tables then */
    return status;
} catch (const std::bad_alloc &) {
    return no_memory(error);
}

/* ---- what is said of it --------------------------------------------------------------------- */

template <typename S> void describe(const void *self, char *text, size_t size) {
    const auto &e = *static_cast<const cuda_engine<S> *>(self);
    const device_guard guard;
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, e.device) != cudaSuccess) properties.name[0] = 0;
    auto share = [&](int kept) {
        double edges = 0;
        for (int later = 0; later < e.a->layers; later++) edges += e.plan.kept_edges(kept, later);
        return 100 * edges / std::max(1.0, double(e.plan.edges()) * e.a->layers);
    };
    char radials[64] = "";
    if (!e.tabulated)
        (void)std::snprintf(radials, sizeof radials, ", %.0f %% of radial functions",
                            share(e.plan.kept_radials));
    (void)std::snprintf(text, size,
                        "GPU %d (%s): %d atoms, %d edges in %d chunks; kept for gradients: %.0f %% "
                        "of gated features, %.0f %% of messages%s; %.2f GiB (%.1f KiB an atom) of "
                        "%.1f%s%s",
                        e.device, properties.name, std::max(0, e.plan.owned), e.plan.edges(),
                        e.plan.chunks(), share(e.plan.kept_gated), share(e.plan.kept_conv_2),
                        radials, gib(e.plan.bytes),
                        double(e.plan.bytes) / 1024 / std::max(1, e.plan.owned), gib(e.memory),
                        e.ranks.is_open() ? "; " : "", e.ranks.description().c_str());
}

template <typename S> size_t bytes(const void *self) {
    const auto &e = *static_cast<const cuda_engine<S> *>(self);
    return e.device_bytes() + e.host_bytes();
}

/* ---- life --------------------------------------------------------------------------------- */

template <typename S> void destroy(void *self) {
    auto *e = static_cast<cuda_engine<S> *>(self);
    const device_guard guard;
    (void)guard.enter(e->device);
    delete e;
}

umas_status choose_device(int wanted, int *device, umas_error *error) {
    int devices = 0, driver = 0;
    cudaError_t status = cudaGetDeviceCount(&devices);
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
        return umas_fail(
            error, UMAS_ERROR_DEVICE,
            "no NVIDIA driver is loaded on this machine; use the CPU engine (pair style umas)");
    if (status == cudaErrorInsufficientDriver)
        return umas_fail(error, UMAS_ERROR_DEVICE,
                         "the NVIDIA driver is older than CUDA %d.%d needs; update it",
                         CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    if (status != cudaSuccess || devices == 0)
        return umas_fail(error, UMAS_ERROR_DEVICE, "no NVIDIA GPU is visible (%s)",
                         status == cudaSuccess ? "none found" : cudaGetErrorString(status));
    if (wanted >= devices)
        return umas_fail(error, UMAS_ERROR_DEVICE, "there is no device %d; %d visible", wanted,
                         devices);
    *device = wanted < 0 ? 0 : wanted;
    status = cudaSetDevice(*device);
    if (status == cudaSuccess) status = cudaFree(nullptr); /* takes hold of the device */
    if (status != cudaSuccess) return device_error(error, "the GPU cannot be used", status);
    cudaDeviceProp properties;
    status = cudaGetDeviceProperties(&properties, *device);
    if (status != cudaSuccess) return device_error(error, "asking about the GPU", status);
    if (properties.major < 8)
        return umas_fail(error, UMAS_ERROR_DEVICE,
                         "%s has compute capability %d.%d; 8.0 or newer is needed", properties.name,
                         properties.major, properties.minor);
    return UMAS_OK;
}

template <typename S>
umas_status start(cuda_engine<S> &e, const umas_engine_setup *setup, int device,
                  umas_error *error) {
    e.setup = *setup;
    e.a = umas_model_architecture(setup->model);
    e.rows = e.a->mmax == 2 ? 9 : 7;
    e.gradient_scale = sizeof(S) == 2 ? FIRST_SCALE : 1;
    umas_status status = choose_device(device, &e.device, error);
    if (status != UMAS_OK) return status;
    cudaError_t made = cudaStreamCreateWithFlags(&e.stream, cudaStreamNonBlocking);
    return made == cudaSuccess ? UMAS_OK : device_error(error, "making a stream", made);
}

/* Once the device is there, and the transport to other ranks has taken what it needs. */
template <typename S>
umas_status equip(cuda_engine<S> &e, const umas_engine_setup *setup, double memory_fraction,
                  umas_error *error) {
    umas_status status = UMAS_OK;
    size_t free_bytes = 0, all_bytes = 0;
    cudaError_t made = cudaMemGetInfo(&free_bytes, &all_bytes);
    if (made != cudaSuccess) return device_error(error, "asking for free GPU memory", made);
    e.memory_fraction = memory_fraction;
    e.free_at_start = free_bytes;
    e.memory = size_t(memory_fraction * double(free_bytes));
    e.tiled = sizeof(S) == 2 && tiles_supported(e.device);
    if (!e.tiled) status = products_open(e.stream, &e.products, error);
    if (status != UMAS_OK) return status;
    e.merged = dense_weights_create(e.a);
    if (!e.merged) return no_memory(error);
    if (!e.report_host.reserve(1))
        return umas_fail(error, UMAS_ERROR_MEMORY,
                         "no pinned host memory for the engine; use fewer ranks on this machine");
    if (!e.report.reserve(1) || !e.balance_sum.reserve(rank_exchange::MOST_SUMS) ||
        !e.reference.reserve(UMAS_ELEMENTS))
        return umas_fail(error, UMAS_ERROR_MEMORY, "no GPU memory for the engine");
    cudaMemcpyAsync(e.reference, setup->task->reference, UMAS_ELEMENTS * sizeof(double),
                    cudaMemcpyHostToDevice, e.stream);
    return wait_for(e, error);
}

template <typename S>
umas_status create(const umas_engine_setup *setup, int device, double memory_fraction, void **self,
                   const umas_engine_operations **operations, umas_error *error) {
    static const umas_engine_operations cuda_operations = {
        merge<S>, prepare_step<S>, run_step<S>,      describe<S>,
        bytes<S>, profile_step<S>, measure_rates<S>, destroy<S>};
    const device_guard guard;
    auto *e = new (std::nothrow) cuda_engine<S>();
    const umas_exchange *exchange = setup->exchange;
    umas_status status = e ? start(*e, setup, device, error) : no_memory(error);
    status = umas_ranks_vote(exchange, status, nullptr, error);
    if (status == UMAS_OK && exchange) {
        status = e->ranks.open(exchange, setup->transport, error);
        if (status != UMAS_ERROR_EXCHANGE)
            status = umas_ranks_vote(exchange, status, nullptr, error);
    }
    if (status == UMAS_OK) {
        status = equip(*e, setup, memory_fraction, error);
        status = umas_ranks_vote(exchange, status, nullptr, error);
    }
    if (status != UMAS_OK) {
        delete e;
        return status;
    }
    *self = e;
    *operations = &cuda_operations;
    return UMAS_OK;
}

} // namespace

template <typename S> cuda_engine<S>::~cuda_engine() {
    drop_graph();
    products_close(products);
    if (stream) cudaStreamDestroy(stream);
    dense_weights_destroy(merged);
}

template <typename S> void cuda_engine<S>::drop_graph() {
    if (graph) cudaGraphExecDestroy(graph);
    graph = nullptr;
}

template struct cuda_engine<__half>;
template struct cuda_engine<float>;

umas_status umas_cuda_engine_create(const umas_engine_setup *setup, umas_precision precision,
                                    int device, double memory_fraction, void **self,
                                    const umas_engine_operations **operations, umas_error *error) {
    const umas_architecture *a = umas_model_architecture(setup->model);
    if (a->sphere_channels != CHANNELS || a->hidden_channels != CHANNELS ||
        a->edge_channels != CHANNELS)
        return umas_fail(error, UMAS_ERROR_UNSUPPORTED,
                         "the CUDA engine runs models of %d channels, this one has %d, %d and %d; "
                         "use the CPU engine (pair style umas)",
                         CHANNELS, a->sphere_channels, a->hidden_channels, a->edge_channels);
    return precision == UMAS_SINGLE
               ? create<float>(setup, device, memory_fraction, self, operations, error)
               : create<__half>(setup, device, memory_fraction, self, operations, error);
}

int umas_cuda_device_count(void) {
    const device_guard guard;
    int devices = 0;
    return cudaGetDeviceCount(&devices) == cudaSuccess ? devices : 0;
}

/* The UUID: a slice of a card (MIG) has one of its own, as it has memory of its own. */
int umas_cuda_device_id(int device, char id[UMAS_DEVICE_ID]) {
    cudaDeviceProp properties;
    if (device < 0 || cudaGetDeviceProperties(&properties, device) != cudaSuccess) return 0;
    static_assert(2 * sizeof(properties.uuid.bytes) < UMAS_DEVICE_ID, "two digits a byte");
    for (size_t i = 0; i < sizeof(properties.uuid.bytes); i++)
        std::snprintf(id + 2 * i, 3, "%02x", properties.uuid.bytes[i] & 0xff);
    return 1;
}
