/* Times the stages of a step on its stream, with a CUDA event wherever a stage begins. */
#ifndef UMAS_STAGE_CLOCK_CUH
#define UMAS_STAGE_CLOCK_CUH

#include <cuda_runtime.h>

#include <vector>

#include "umas.h"

/* What a stage must move at least, and what its matrix products compute. */
struct stage_cost {
    double bytes = 0, operations = 0;
};

class stage_clock {
  public:
    explicit stage_clock(cudaStream_t stream) : stream_(stream) {}
    stage_clock(const stage_clock &) = delete;
    stage_clock &operator=(const stage_clock &) = delete;
    ~stage_clock();

    /* Keep the stream waiting for some milliseconds: the host then stays ahead of it, and no stage
     * is charged for the time between its launch and that of the next. */
    void hold();
    /* What is queued from here on belongs to this stage.  `name` outlives the clock. */
    void begin(const char *name, stage_cost cost);
    void end() { begin(nullptr, {}); }
    /* What is queued between these two on another stream runs beside the stages of this one. */
    void begin_beside(cudaStream_t stream, const char *name, stage_cost cost);
    void end_beside(cudaStream_t stream);
    /* When the stream has been waited for: the sums over stages of the same name, in the order
     * they first began.  *count: how many, which may be more than `capacity`; those are left
     * out. */
    cudaError_t read(umas_stage_time *stages, int capacity, int *count) const;

  private:
    struct mark {
        const char *name; /* NULL: the end */
        stage_cost cost;
        cudaEvent_t event;
    };
    cudaStream_t stream_;
    struct span {
        const char *name;
        stage_cost cost;
        cudaEvent_t begin, end;
    };
    std::vector<mark> marks_;
    std::vector<span> beside_;
    cudaError_t status_ = cudaSuccess; /* the first failure */

    cudaEvent_t record(cudaStream_t stream);
};

#endif
