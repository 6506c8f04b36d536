/* How fast this GPU copies and multiplies at best: what a stage's time is compared with.  A copy of
 * 1 GiB, in bytes/s read and written, and a product of 8192 x 8192 matrices by cuBLAS, in
 * operations/s, ten times each. */
#include "engine/cuda_engine.cuh"
#include "engine/device_guard.cuh"

namespace {

constexpr size_t COPY_BYTES = size_t(1) << 30;
constexpr int SIDE = 8192; /* of the square matrices; two of them fit into COPY_BYTES */
constexpr int REPETITIONS = 10;

/* Numbers in -1 .. 1 without a pattern: constant ones would be multiplied with less power, and so
 * at a higher clock rate, than those of a step. */
template <typename S> __global__ void fill(S *to, size_t count) {
    size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (i >= count) return;
    unsigned mixed = (unsigned)i * 2654435761u;
    mixed = (mixed ^ (mixed >> 15)) * 2246822519u;
    to[i] = S((float)(mixed >> 8) / 8388608.0f - 1.0f);
}

/* Queue both measurements; false where the library refuses a product. */
template <typename S>
bool queue(cudaStream_t stream, product_library *library, stage_clock &clock, S *from, S *to) {
    const double matrix = double(SIDE) * SIDE;
    const product square = {SIDE, SIDE, SIDE, SIDE, SIDE};
    const S *a = from, *w = from + size_t(SIDE) * SIDE;
    const size_t count = COPY_BYTES / sizeof(S);
    fill<<<unsigned(count / 256), 256, 0, stream>>>(from, count);
    for (int i = 0; i <= REPETITIONS; i++) {
        clock.begin(i ? "copy" : "first copy", {2.0 * COPY_BYTES, 0});
        cudaMemcpyAsync(to, from, COPY_BYTES, cudaMemcpyDeviceToDevice, stream);
    }
    for (int i = 0; i <= REPETITIONS; i++) {
        clock.begin(i ? "product" : "first product", {0, 2 * matrix * SIDE});
        if (!product_nt(library, square, a, w, to)) return false;
    }
    clock.end();
    return true;
}

} // namespace

template <typename S>
umas_status measure_rates(void *self, umas_device_rates *rates, umas_error *error) {
    auto &e = *static_cast<cuda_engine<S> *>(self);
    const device_guard guard;
    cudaError_t status = guard.enter(e.device);
    if (status == cudaSuccess && !e.products) {
        const umas_status opened = products_open(e.stream, &e.products, error);
        if (opened != UMAS_OK) return opened;
    }
    stage_clock clock(e.stream);
    device_buffer<S> from, to;
    if (status == cudaSuccess &&
        !(from.reserve(COPY_BYTES / sizeof(S)) && to.reserve(COPY_BYTES / sizeof(S))))
        return umas_fail(error, UMAS_ERROR_MEMORY,
                         "2 GiB of GPU memory must be free to measure its rates in");
    bool queued = status == cudaSuccess && queue<S>(e.stream, e.products, clock, from, to);
    umas_stage_time times[4];
    int count = 0;
    if (status == cudaSuccess) status = cudaStreamSynchronize(e.stream);
    if (status == cudaSuccess) status = cudaGetLastError();
    if (status == cudaSuccess) status = clock.read(times, 4, &count);
    if (status != cudaSuccess || !queued)
        return umas_fail(error, UMAS_ERROR_DEVICE, "measuring the GPU's rates: %s",
                         status != cudaSuccess ? cudaGetErrorString(status)
                                               : "cuBLAS refused a product");
    rates->copy = 1e3 * times[1].bytes / times[1].milliseconds;
    rates->products = 1e3 * times[3].operations / times[3].milliseconds;
    return UMAS_OK;
}

template umas_status measure_rates<__half>(void *, umas_device_rates *, umas_error *);
template umas_status measure_rates<float>(void *, umas_device_rates *, umas_error *);
