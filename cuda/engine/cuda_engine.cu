/* The CUDA engine's life: made on a device, given weights, described, destroyed. */
#include "engine/cuda_engine.cuh"

#include <cstdio>
#include <new>

#include "engine/choose_device.cuh"
#include "engine/cuda_backend.h"
#include "engine/device_error.cuh"
#include "engine/device_guard.cuh"
#include "engine/fill_tables.cuh"
#include "engine/memory_plan.cuh"
#include "engine/run_step.cuh"

namespace {

template <typename S> umas_status merge(void *self, const int64_t *counts, umas_error *error) try {
    auto &e = *static_cast<cuda_engine<S> *>(self);
    const device_guard guard;
    cudaError_t set = guard.enter(e.device);
    if (set != cudaSuccess) return device_error(error, "choosing the GPU", set);
    umas_status status = merge_experts(e.setup.model, e.setup.task, e.setup.charge, e.setup.spin,
                                       counts, e.merged, error);
    if (status != UMAS_OK) return status;
    e.captured.drop();
    if (!upload_weights(e.stream, e.merged, e.tiled, e.weights))
        return umas_fail(error, UMAS_ERROR_MEMORY, "no GPU memory for the merged weights");
    status = wait_for(e, error);
    if (status != UMAS_OK) return status;
    std::vector<int> present;
    for (int z = 1; z < UMAS_ELEMENTS; z++)
        if (counts[z] > 0) present.push_back(z);
    if (present == e.tables.present) return UMAS_OK;
    e.tables.present = present;
    status = fill_tables(e, error);
    if (status != UMAS_OK) e.tables.present.clear(); /* there are no tables then */
    return status;
} catch (const std::bad_alloc &) {
    return no_memory(error);
}

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
    if (!e.tables.tabulated)
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

template <typename S> void destroy(void *self) {
    auto *e = static_cast<cuda_engine<S> *>(self);
    const device_guard guard;
    (void)guard.enter(e->device);
    delete e;
}

template <typename S>
umas_status start(cuda_engine<S> &e, const umas_engine_setup *setup, int device,
                  umas_error *error) {
    e.setup = *setup;
    e.a = umas_model_architecture(setup->model);
    e.rows = e.tables.rows = e.a->mmax == 2 ? 9 : 7;
    e.tables.cutoff = e.a->cutoff;
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
    if (!e.results.report_host.reserve(1))
        return umas_fail(error, UMAS_ERROR_MEMORY,
                         "no pinned host memory for the engine; use fewer ranks on this machine");
    if (!e.results.report.reserve(1) || !e.results.balance_sum.reserve(rank_exchange::MOST_SUMS) ||
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
    captured.drop();
    products_close(products);
    if (stream) cudaStreamDestroy(stream);
    dense_weights_destroy(merged);
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
