/* Memory that only grows, on the device or pinned on the host: nothing is allocated in a step that
 * ran before with these sizes. */
#ifndef UMAS_DEVICE_BUFFER_CUH
#define UMAS_DEVICE_BUFFER_CUH

#include <cuda_runtime.h>

#include <cstddef>

/* `count` items of device memory (or pinned host memory), contents undefined after growth. */
template <typename T, bool HOST = false> class device_buffer {
  public:
    device_buffer() = default;
    device_buffer(const device_buffer &) = delete;
    device_buffer &operator=(const device_buffer &) = delete;
    ~device_buffer() { release(); }

    bool reserve(size_t count) {
        if (count <= capacity_) return true;
        release();
        void *memory = nullptr;
        cudaError_t status = HOST ? cudaMallocHost(&memory, count * sizeof(T))
                                  : cudaMalloc(&memory, count * sizeof(T));
        if (status != cudaSuccess) {
            (void)cudaGetLastError();
            return false;
        }
        memory_ = static_cast<T *>(memory);
        capacity_ = count;
        return true;
    }
    void release() {
        if (HOST)
            cudaFreeHost(memory_);
        else
            cudaFree(memory_);
        memory_ = nullptr;
        capacity_ = 0;
    }
    size_t capacity() const { return capacity_; }
    size_t bytes() const { return capacity_ * sizeof(T); }
    operator T *() const { return memory_; }

  private:
    T *memory_ = nullptr;
    size_t capacity_ = 0;
};

template <typename T> using host_buffer = device_buffer<T, true>;

/* Bytes of several buffers. */
template <typename... B> size_t bytes_of(const B &...buffer) { return (buffer.bytes() + ... + 0); }

#endif
