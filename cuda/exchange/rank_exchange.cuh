/* Node rows between the GPUs of different ranks: features forward to those that need them, their
 * gradients back to the owners, and sums over ranks.
 *
 * Rows travel on a stream of their own, so that the engine's stream goes on with what does not
 * need them: start_* sends them off, finish_* makes the engine's stream wait for what comes in.
 * With NCCL nothing of that needs the host, and a step that does it can be a graph.  Else packed
 * rows pass through pinned host memory, and finish_* blocks while they do. */
#ifndef UMAS_RANK_EXCHANGE_CUH
#define UMAS_RANK_EXCHANGE_CUH

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core_c.h"
#include "device.cuh"
#include "device_buffer.cuh"
#include "exchange/nccl_link.cuh"
#include "profile/stage_clock.cuh"

/* A transport may remember where a buffer lies for as long as it lives (CUDA's IPC handles, the
 * registrations of network cards).  So a buffer that has become too small is kept until the end,
 * and the new one is twice as large: all together they are less than twice the last. */
template <typename T, bool HOST = false> class lasting_buffer {
  public:
    bool reserve(size_t count) {
        if (count <= capacity()) return true;
        auto larger = std::make_unique<device_buffer<T, HOST>>();
        if (!larger->reserve(std::max(count, 2 * capacity()))) return false;
        all_.push_back(std::move(larger));
        return true;
    }
    size_t capacity() const { return all_.empty() ? 0 : all_.back()->capacity(); }
    size_t held() const {
        size_t sum = 0;
        for (const auto &b : all_) sum += b->capacity() * sizeof(T);
        return sum;
    }
    operator T *() const { return all_.empty() ? nullptr : static_cast<T *>(*all_.back()); }

  private:
    std::vector<std::unique_ptr<device_buffer<T, HOST>>> all_;
};

class rank_exchange {
  public:
    rank_exchange() = default;
    rank_exchange(const rank_exchange &) = delete;
    rank_exchange &operator=(const rank_exchange &) = delete;
    ~rank_exchange();

    /* All ranks together choose a transport, with the current device.  exchange outlives this.
     * Status: EXCHANGE, DEVICE, MEMORY, or UNSUPPORTED where NCCL was asked for and cannot be had;
     * the same kind of failure on all ranks, but for MEMORY and DEVICE, which need a vote. */
    umas_status open(const umas_exchange *exchange, umas_transport wanted, umas_error *error);
    bool is_open() const { return exchange_ != nullptr; }
    bool on_device() const { return link_ != nullptr; }
    /* "rows by NCCL 2.27.3", or why they go through host memory */
    const std::string &description() const { return description_; }

    /* This rank's plan; calls no other rank.  Status: MEMORY. */
    umas_status take_plan(const umas_row_plan *plan, int owned, umas_error *error);
    /* Connect to peers of the plan that are new; every rank calls before the first step with it.
     * Status: DEVICE. */
    umas_status meet_peers(umas_error *error);
    size_t device_bytes() const {
        return send_.held() + receive_.held() + gathered_.held() + lists_.bytes();
    }
    size_t host_bytes() const {
        return send_host_.held() + receive_host_.held() + sums_host_.bytes();
    }

    /* ---- queued, once `stream` has come here; rows [nodes][9][C] ---- */

    /* Owned rows to the ranks that need them.  Between the two, rows of other ranks' atoms must
     * not be touched on `stream`, and owned ones not written. */
    umas_status start_forward(cudaStream_t stream, float *rows, umas_error *error) {
        return start(stream, rows, false, error);
    }
    umas_status finish_forward(cudaStream_t stream, float *rows, umas_error *error) {
        return finish(stream, rows, false, error);
    }
    /* Rows of other ranks' atoms back to their owners, where they are added to the owned rows in
     * the order of peers.  Between the two, the former must not be touched. */
    umas_status start_reverse(cudaStream_t stream, float *rows, umas_error *error) {
        return start(stream, rows, true, error);
    }
    umas_status finish_reverse(cudaStream_t stream, float *rows, umas_error *error) {
        return finish(stream, rows, true, error);
    }
    /* values [count], at most MOST_SUMS, replaced by their sums over ranks, added up in their
     * order */
    static constexpr int MOST_SUMS = 128;
    umas_status sum(cudaStream_t stream, double *values, int count, umas_error *error);

    /* Time what is queued from here on; NULL: do not. */
    void time_with(stage_clock *clock) { clock_ = clock; }

  private:
    const umas_exchange *exchange_ = nullptr;
    std::unique_ptr<nccl_link> link_; /* NULL: through host memory */
    std::string description_;
    std::vector<char> met_; /* [ranks] has this rank been connected to? */

    /* the plan: rows to and from peers, and for every owned row that is sent where it stands among
     * the rows sent */
    std::vector<int> peer_, send_first_, receive_first_;
    int owned_ = 0, sent_ = 0, received_ = 0, distinct_ = 0;
    device_buffer<int>
        lists_; /* send_row [sent], row [distinct], first [distinct + 1], slot [sent] */
    lasting_buffer<float> send_, receive_;
    lasting_buffer<float, true> send_host_, receive_host_;
    lasting_buffer<double> gathered_;
    host_buffer<double> sums_host_;
    cudaStream_t travelling_ = nullptr;
    stage_clock *clock_ = nullptr;
    cudaEvent_t ready_ = nullptr, arrived_ = nullptr;

    std::string introduce(umas_error *error, umas_status *status);
    std::string connect(umas_error *error, umas_status *status);
    std::string try_link();
    umas_status agree(const std::string &mine, std::string *common, umas_error *error);
    std::vector<peer_bytes> peers(bool reverse) const;
    umas_status start(cudaStream_t stream, float *rows, bool reverse, umas_error *error);
    umas_status finish(cudaStream_t stream, float *rows, bool reverse, umas_error *error);
    umas_status swap_on_host(float *rows, bool reverse, umas_error *error);
};

#endif
