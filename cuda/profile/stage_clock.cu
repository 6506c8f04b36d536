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

} // namespace

stage_clock::~stage_clock() {
    for (const mark &m : marks_) cudaEventDestroy(m.event);
}

void stage_clock::hold() { wait<<<1, 1, 0, stream_>>>(HEAD_START); }

void stage_clock::begin(const char *name, stage_cost cost) {
    cudaEvent_t event = nullptr;
    if (status_ == cudaSuccess) status_ = cudaEventCreate(&event);
    if (status_ != cudaSuccess) return;
    marks_.push_back({name, cost, event});
    status_ = cudaEventRecord(event, stream_);
}

cudaError_t stage_clock::read(umas_stage_time *stages, int capacity, int *count) const {
    *count = 0;
    if (status_ != cudaSuccess) return status_;
    std::vector<umas_stage_time> sums;
    for (size_t i = 0; i + 1 < marks_.size(); i++) {
        float milliseconds = 0;
        if (!marks_[i].name) continue;
        cudaError_t status =
            cudaEventElapsedTime(&milliseconds, marks_[i].event, marks_[i + 1].event);
        if (status != cudaSuccess) return status;
        umas_stage_time &stage = entry(marks_[i].name, sums);
        stage.calls++;
        stage.milliseconds += milliseconds;
        stage.bytes += marks_[i].cost.bytes;
        stage.operations += marks_[i].cost.operations;
    }
    *count = int(sums.size());
    std::copy_n(sums.begin(), std::min(capacity, *count), stages);
    return cudaSuccess;
}
