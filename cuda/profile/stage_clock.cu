/* CUDA events wherever a stage begins, and the sums of times between them (stage_clock.cuh). */
#include "profile/stage_clock.cuh"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace {

/* Queueing the few hundred launches of an unchunked step takes a millisecond or two. */
constexpr unsigned long long HEAD_START = 5000000; /* ns */

__device__ unsigned long long nanoseconds() {
    unsigned long long now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    return now;
}

__global__ void wait(unsigned long long duration) {
    unsigned long long begin = nanoseconds();
    while (nanoseconds() - begin < duration) __nanosleep(1000);
}

/* The entry of this name, appended when it is new. */
umas_stage_time &entry(const char *name, std::vector<umas_stage_time> &stages) {
    for (umas_stage_time &stage : stages)
        if (std::strcmp(stage.name, name) == 0) return stage;
    stages.emplace_back();
    (void)std::snprintf(stages.back().name, sizeof stages.back().name, "%s", name);
    return stages.back();
}

cudaError_t add(std::vector<umas_stage_time> &stages, const char *name, stage_cost cost,
                cudaEvent_t begin, cudaEvent_t end, bool beside) {
    float milliseconds = 0;
    const cudaError_t status = cudaEventElapsedTime(&milliseconds, begin, end);
    umas_stage_time &stage = entry(name, stages);
    stage.calls++;
    stage.milliseconds += milliseconds;
    stage.bytes += cost.bytes;
    stage.operations += cost.operations;
    stage.beside = beside;
    return status;
}

} // namespace

stage_clock::~stage_clock() {
    for (const mark &m : marks_) cudaEventDestroy(m.event);
    for (const span &s : beside_) {
        cudaEventDestroy(s.begin);
        if (s.end) cudaEventDestroy(s.end);
    }
}

void stage_clock::hold() { wait<<<1, 1, 0, stream_>>>(HEAD_START); }

/* NULL after a failure. */
cudaEvent_t stage_clock::record(cudaStream_t stream) {
    cudaEvent_t event = nullptr;
    if (status_ == cudaSuccess) status_ = cudaEventCreate(&event);
    if (status_ == cudaSuccess) status_ = cudaEventRecord(event, stream);
    return event;
}

void stage_clock::begin(const char *name, stage_cost cost) {
    const cudaEvent_t event = record(stream_);
    if (event) marks_.push_back({name, cost, event});
}

void stage_clock::begin_beside(cudaStream_t stream, const char *name, stage_cost cost) {
    const cudaEvent_t event = record(stream);
    if (event) beside_.push_back({name, cost, event, nullptr});
}

void stage_clock::end_beside(cudaStream_t stream) {
    if (!beside_.empty()) beside_.back().end = record(stream);
}

cudaError_t stage_clock::read(umas_stage_time *stages, int capacity, int *count) const {
    *count = 0;
    if (status_ != cudaSuccess) return status_;
    std::vector<umas_stage_time> sums;
    cudaError_t status = cudaSuccess;
    for (size_t i = 0; i + 1 < marks_.size() && status == cudaSuccess; i++)
        if (marks_[i].name)
            status = add(sums, marks_[i].name, marks_[i].cost, marks_[i].event, marks_[i + 1].event,
                         false);
    for (const span &s : beside_)
        if (status == cudaSuccess) status = add(sums, s.name, s.cost, s.begin, s.end, true);
    if (status != cudaSuccess) return status;
    *count = int(sums.size());
    std::copy_n(sums.begin(), std::min(capacity, *count), stages);
    return cudaSuccess;
}
