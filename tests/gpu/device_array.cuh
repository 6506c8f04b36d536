/* What the tests of CUDA stages are written with: arrays on the device with guard words behind
 * them, stages run twice, comparison with the CPU's double stages. */
#ifndef UMAS_DEVICE_ARRAY_CUH
#define UMAS_DEVICE_ARRAY_CUH

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <cuda_runtime.h>

#include "check.h"
#include "tolerances.h"

typedef std::vector<float> floats;
typedef std::vector<double> doubles;
typedef std::vector<int> ints;

/* A CUDA call without which the test cannot go on. */
#define MUST(call) must(call, #call, __FILE__, __LINE__)

static inline void must(cudaError_t status, const char *call, const char *file, int line) {
    if (status == cudaSuccess) return;
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, call, cudaGetErrorString(status));
    exit(EXIT_FAILURE);
}

/* An array on the device.  A write behind its end fails the test when the array goes. */
template <typename T> class device_array {
    static constexpr size_t GUARD = 256; /* bytes */
    T *array;
    size_t length;

  public:
    explicit device_array(const std::vector<T> &values) : array(nullptr), length(values.size()) {
        MUST(cudaMalloc(&array, length * sizeof(T) + GUARD));
        MUST(cudaMemcpy(array, values.data(), length * sizeof(T), cudaMemcpyHostToDevice));
        MUST(cudaMemset(array + length, 0xa5, GUARD));
    }
    device_array(const device_array &) = delete;
    device_array &operator=(const device_array &) = delete;
    ~device_array() {
        unsigned char guard[GUARD], expected[GUARD];
        memset(expected, 0xa5, GUARD);
        MUST(cudaMemcpy(guard, array + length, GUARD, cudaMemcpyDeviceToHost));
        CHECK(memcmp(guard, expected, GUARD) == 0);
        MUST(cudaFree(array));
    }
    operator T *() const { return array; }
    std::vector<T> read() const {
        std::vector<T> values(length);
        MUST(cudaMemcpy(values.data(), array, length * sizeof(T), cudaMemcpyDeviceToHost));
        return values;
    }
};

/* What an output holds before the stage that has to overwrite it. */
template <typename T> std::vector<T> poison(size_t n) {
    return std::vector<T>(n, std::numeric_limits<T>::quiet_NaN());
}

/* The output of `stage`, a function of a device array that holds `before`.  It runs twice and must
 * give the same bits. */
template <typename T, typename Stage>
std::vector<T> output_of(const std::vector<T> &before, Stage stage) {
    std::vector<T> result[2];
    for (std::vector<T> &r : result) {
        device_array<T> out(before);
        stage((T *)out);
        MUST(cudaGetLastError());
        MUST(cudaDeviceSynchronize());
        r = out.read();
    }
    CHECK(memcmp(result[0].data(), result[1].data(), before.size() * sizeof(T)) == 0);
    return result[0];
}

/* Normally distributed numbers, the same for the same seed. */
static inline floats random_floats(size_t n, double mean, double spread, unsigned seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal(mean, spread);
    floats values(n);
    for (float &v : values) v = (float)normal(engine);
    return values;
}

/* Atomic numbers 1..4, and every seventh 0. */
static inline ints some_elements(int count) {
    ints element((size_t)count);
    for (int i = 0; i < count; i++) element[(size_t)i] = i % 7 == 3 ? 0 : 1 + i % 4;
    return element;
}

template <typename T> doubles widen(const std::vector<T> &v) { return doubles(v.begin(), v.end()); }

/* A vector of weights, in double on the host and in fp32 on the device. */
struct weight_vector {
    doubles wide;
    device_array<float> narrow;

    weight_vector(size_t n, double mean, double spread, unsigned seed)
        : weight_vector(random_floats(n, mean, spread, seed)) {}

  private:
    explicit weight_vector(const floats &w) : wide(widen(w)), narrow(w) {}
};

/* The unit that misses are measured in: the largest number of an array, since what cancels was as
 * large as that, but no less than one. */
static inline double largest_of(const doubles &numbers) {
    double largest = 1;
    for (double v : numbers)
        if (std::fabs(v) > largest) largest = std::fabs(v);
    return largest;
}

/* fp32 stage against double stage. */
static inline void check_stage(const char *name, const floats &got, const doubles &want) {
    CHECK(got.size() == want.size());
    check_close(name, widen(got).data(), want.data(), (long)want.size(),
                TOLERANCE_STAGE * largest_of(want), 0);
}

/* Whether a GPU is there; if not, says why not. */
static inline int gpu_is_there(void) {
    int devices = 0;
    cudaError_t status = cudaGetDeviceCount(&devices);
    if (status == cudaSuccess && devices > 0) return 1;
    printf("skipped: no GPU: %s\n",
           status == cudaSuccess ? "none is visible" : cudaGetErrorString(status));
    return 0;
}

#endif
