/* Rows of h to other ranks between docs/model.md (15) and (16), their gradients back after (34),
 * and sums over ranks, (24), (29).
 *
 * pack_rows: a block has a row that is sent, a thread four numbers of it.  add_rows: a block has an
 * owned row that other ranks have, and adds what came back of it in the order of peers: the same
 * bits on every run.  sum_ranks: a thread has a value and adds it up in the order of ranks. */
#include "exchange/rank_exchange.cuh"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>

namespace {

constexpr int ROW_QUADS = NODE_WIDTH / 4; /* float4s of a row: a thread each */
constexpr size_t ROW_BYTES = NODE_WIDTH * sizeof(float);

/* A block a row that is sent. */
__global__ void __launch_bounds__(ROW_QUADS)
    pack_rows(const int *__restrict__ send_row, const float4 *__restrict__ rows,
              float4 *__restrict__ packed) {
    packed[(size_t)blockIdx.x * ROW_QUADS + threadIdx.x] =
        rows[(size_t)send_row[blockIdx.x] * ROW_QUADS + threadIdx.x];
}

/* A block an owned row that others have: what came back of it, in the order of peers. */
__global__ void __launch_bounds__(ROW_QUADS)
    add_rows(const int *__restrict__ row, const int *__restrict__ first,
             const int *__restrict__ slot, const float4 *__restrict__ packed,
             float4 *__restrict__ rows) {
    float4 *const to = rows + (size_t)row[blockIdx.x] * ROW_QUADS + threadIdx.x;
    float4 sum = *to;
    for (int k = first[blockIdx.x]; k < first[blockIdx.x + 1]; k++) {
        const float4 term = packed[(size_t)slot[k] * ROW_QUADS + threadIdx.x];
        sum.x += term.x;
        sum.y += term.y;
        sum.z += term.z;
        sum.w += term.w;
    }
    *to = sum;
}

/* A thread a value. */
__global__ void sum_ranks(int ranks, int count, const double *__restrict__ gathered,
                          double *__restrict__ sum) {
    const int i = threadIdx.x;
    if (i >= count) return;
    double total = 0;
    for (int r = 0; r < ranks; r++) total += gathered[(size_t)r * count + i];
    sum[i] = total;
}

umas_status lost(umas_error *error) {
    return umas_fail(error, UMAS_ERROR_EXCHANGE, "exchanging features with other ranks failed");
}

umas_status cuda_failed(umas_error *error, cudaError_t status) {
    return umas_fail(error, UMAS_ERROR_DEVICE, "sending rows to other GPUs: %s",
                     cudaGetErrorString(status));
}

/* What every rank tells the others, and what all of them hear. */
struct note {
    char text[240];
    note() : text{} {}
    explicit note(const std::string &from) {
        (void)std::snprintf(text, sizeof text, "%s", from.c_str());
    }
};

} // namespace

rank_exchange::~rank_exchange() {
    if (link_ && link_->stuck()) (void)link_.release();
    link_.reset(); /* before the buffers that it may still know */
    if (ready_) cudaEventDestroy(ready_);
    if (arrived_) cudaEventDestroy(arrived_);
    if (travelling_) cudaStreamDestroy(travelling_);
}

/* ---- which transport ---------------------------------------------------------------------- */

/* The first message of any rank, on all of them; empty where none has one. */
umas_status rank_exchange::agree(const std::string &mine, std::string *common, umas_error *error) {
    std::vector<note> all(size_t(exchange_->ranks));
    const note own(mine);
    common->clear();
    if (exchange_->gather(exchange_->context, &own, all.data(), sizeof own)) return lost(error);
    for (size_t r = 0; r < all.size() && common->empty(); r++)
        if (all[r].text[0]) *common = "rank " + std::to_string(r) + ": " + all[r].text;
    return UMAS_OK;
}

/* Do all ranks have a library of the same version, and a GPU of their own?  Returns why not. */
std::string rank_exchange::introduce(umas_error *error, umas_status *status) {
    struct introduction {
        char gpu[16];
        int version;
    } own{};
    std::string why, common;
    *status = agree(link_->open(), &common, error);
    if (*status != UMAS_OK || !common.empty()) return common;
    int device = 0;
    cudaDeviceProp properties{};
    cudaGetDevice(&device);
    if (cudaGetDeviceProperties(&properties, device) == cudaSuccess)
        std::memcpy(own.gpu, &properties.uuid, sizeof own.gpu);
    own.version = link_->version();
    std::vector<introduction> all(size_t(exchange_->ranks));
    if (exchange_->gather(exchange_->context, &own, all.data(), sizeof own)) {
        *status = lost(error);
        return "";
    }
    std::map<std::string, size_t> rank_of_gpu;
    for (size_t r = 0; r < all.size(); r++) {
        if (all[r].version != all[0].version)
            return "ranks 0 and " + std::to_string(r) + " have NCCL " +
                   nccl_link::version_text(all[0].version) + " and " +
                   nccl_link::version_text(all[r].version);
        const auto first = rank_of_gpu.emplace(std::string(all[r].gpu, sizeof own.gpu), r);
        if (!first.second)
            return "ranks " + std::to_string(first.first->second) + " and " + std::to_string(r) +
                   " share a GPU, which NCCL does not allow";
    }
    return "";
}

/* Every transport between neighbours and the collective are tried, so that what cannot work is
 * known before the first step. */
std::string rank_exchange::try_link() {
    const int me = exchange_->rank, ranks = exchange_->ranks;
    constexpr size_t BYTES = 4096;
    if (!send_.reserve(BYTES / sizeof(float)) || !receive_.reserve(BYTES / sizeof(float)) ||
        !gathered_.reserve(size_t(ranks) * MOST_SUMS))
        return "no GPU memory to try NCCL";
    const peer_bytes ring[2] = {{(me + 1) % ranks, send_, BYTES, nullptr, 0},
                                {(me + ranks - 1) % ranks, nullptr, 0, receive_, BYTES}};
    const std::string message = link_->meet(ring, 2, travelling_);
    return message.empty() ? link_->meet_all(send_, gathered_, sizeof(double), travelling_)
                           : message;
}

/* Make the ranks one communicator.  Returns why that cannot be done. */
std::string rank_exchange::connect(umas_error *error, umas_status *status) {
    struct opening {
        char id[NCCL_ID_BYTES];
        note problem;
    } own{};
    if (exchange_->rank == 0) own.problem = note(link_->make_id(own.id));
    std::vector<opening> all(size_t(exchange_->ranks));
    if (exchange_->gather(exchange_->context, &own, all.data(), sizeof own)) {
        *status = lost(error);
        return "";
    }
    if (all[0].problem.text[0]) return all[0].problem.text;
    std::string mine = link_->connect(all[0].id, exchange_->rank, exchange_->ranks), common;
    *status = agree(mine, &common, error);
    if (*status != UMAS_OK || !common.empty()) return common;
    *status = agree(try_link(), &common, error);
    return common;
}

umas_status rank_exchange::open(const umas_exchange *exchange, umas_transport wanted,
                                umas_error *error) {
    exchange_ = exchange;
    int least = 0, greatest = 0;
    cudaDeviceGetStreamPriorityRange(&least, &greatest);
    cudaError_t made = cudaStreamCreateWithPriority(&travelling_, cudaStreamNonBlocking, greatest);
    if (made == cudaSuccess) made = cudaEventCreateWithFlags(&ready_, cudaEventDisableTiming);
    if (made == cudaSuccess) made = cudaEventCreateWithFlags(&arrived_, cudaEventDisableTiming);
    std::string why = "as asked for";
    umas_status status = UMAS_OK;
    if (wanted != UMAS_TRANSPORT_HOST) {
        status = agree(made == cudaSuccess ? "" : cudaGetErrorString(made), &why, error);
        if (status == UMAS_OK && why.empty()) {
            link_ = std::make_unique<nccl_link>();
            why = introduce(error, &status);
            if (status == UMAS_OK && why.empty()) why = connect(error, &status);
        }
        if (status != UMAS_OK) return status;
    }
    if (made != cudaSuccess) return cuda_failed(error, made);
    if (why.empty()) {
        description_ = "rows between GPUs by NCCL " + nccl_link::version_text(link_->version());
        met_.assign(size_t(exchange_->ranks), 0);
        return UMAS_OK;
    }
    if (link_ && link_->stuck()) (void)link_.release();
    link_.reset();
    if (wanted == UMAS_TRANSPORT_NCCL)
        return umas_fail(error, UMAS_ERROR_UNSUPPORTED, "exchange nccl cannot be had (%s)",
                         why.c_str());
    description_ = "rows between GPUs through host memory (" + why + ")";
    return UMAS_OK;
}

/* ---- the plan ----------------------------------------------------------------------------- */

umas_status rank_exchange::take_plan(const umas_row_plan *plan, int owned, umas_error *error) {
    const int peers = plan ? plan->peers : 0;
    peer_.assign(plan ? plan->peer : nullptr, plan ? plan->peer + peers : nullptr);
    send_first_.assign(1, 0);
    receive_first_.assign(1, 0);
    for (int p = 0; p < peers; p++) {
        send_first_.push_back(plan->send_first[p + 1]);
        receive_first_.push_back(plan->receive_first[p + 1]);
    }
    owned_ = owned;
    sent_ = send_first_.back();
    received_ = receive_first_.back();

    /* slots of an owned row, ascending: peers are in the order in which their rows are added */
    std::vector<int> slot(static_cast<size_t>(sent_)), row, first;
    for (int k = 0; k < sent_; k++) slot[size_t(k)] = k;
    std::stable_sort(slot.begin(), slot.end(),
                     [&](int a, int b) { return plan->send_row[a] < plan->send_row[b]; });
    for (int k = 0; k < sent_; k++)
        if (k == 0 || plan->send_row[slot[size_t(k)]] != row.back()) {
            row.push_back(plan->send_row[slot[size_t(k)]]);
            first.push_back(k);
        }
    first.push_back(sent_);
    distinct_ = int(row.size());
    std::vector<int> lists(plan ? plan->send_row : nullptr,
                           plan ? plan->send_row + sent_ : nullptr);
    for (const std::vector<int> *part : {&row, &first, &slot})
        lists.insert(lists.end(), part->begin(), part->end());

    const size_t most = size_t(std::max(sent_, received_)) * NODE_WIDTH;
    if (!lists_.reserve(lists.size() + lists.size() / 8) || !send_.reserve(most) ||
        !receive_.reserve(most) || !gathered_.reserve(size_t(exchange_->ranks) * MOST_SUMS))
        return umas_fail(error, UMAS_ERROR_MEMORY, "no GPU memory for %d rows of other ranks",
                         received_);
    if (!sums_host_.reserve(MOST_SUMS) ||
        (!link_ && (!send_host_.reserve(most) || !receive_host_.reserve(most))))
        return umas_fail(error, UMAS_ERROR_MEMORY, "no pinned host memory for %d rows", received_);
    cudaMemcpyAsync(lists_, lists.data(), lists.size() * sizeof(int), cudaMemcpyHostToDevice,
                    travelling_);
    const cudaError_t status = cudaStreamSynchronize(travelling_); /* `lists` ends here */
    return status == cudaSuccess ? UMAS_OK : cuda_failed(error, status);
}

std::vector<peer_bytes> rank_exchange::peers(bool reverse) const {
    const std::vector<int> &out = reverse ? receive_first_ : send_first_;
    const std::vector<int> &in = reverse ? send_first_ : receive_first_;
    const float *const send = send_;
    float *const receive = receive_;
    std::vector<peer_bytes> all;
    for (size_t p = 0; p < peer_.size(); p++)
        all.push_back(
            {peer_[p], send + size_t(out[p]) * NODE_WIDTH, size_t(out[p + 1] - out[p]) * ROW_BYTES,
             receive + size_t(in[p]) * NODE_WIDTH, size_t(in[p + 1] - in[p]) * ROW_BYTES});
    return all;
}

/* A peer is new to both sides at once, so that both come here.  Rows go both ways later on, even
 * where the plan has some in one direction only. */
umas_status rank_exchange::meet_peers(umas_error *error) {
    if (!link_) return UMAS_OK;
    std::vector<peer_bytes> fresh;
    for (size_t p = 0; p < peer_.size(); p++) {
        char &met = met_[size_t(peer_[p])];
        if (!met) fresh.push_back({peer_[p], send_, sizeof(float), receive_, sizeof(float)});
        met = 1;
    }
    if (fresh.empty()) return UMAS_OK;
    const std::string message = link_->meet(fresh.data(), int(fresh.size()), travelling_);
    return message.empty() ? UMAS_OK : umas_fail(error, UMAS_ERROR_DEVICE, "%s", message.c_str());
}

/* ---- rows --------------------------------------------------------------------------------- */

/* Once `stream` has come here, send rows off and take in what arrives. */
umas_status rank_exchange::start(cudaStream_t stream, float *rows, bool reverse,
                                 umas_error *error) {
    float *const others = rows + size_t(owned_) * NODE_WIDTH;
    const size_t bytes = size_t(received_) * ROW_BYTES; /* of others' rows, or their gradients */
    cudaEventRecord(ready_, stream);
    cudaStreamWaitEvent(travelling_, ready_, 0);
    if (clock_)
        clock_->begin_beside(travelling_,
                             reverse ? "gradients to other ranks" : "features to other ranks",
                             {double(size_t(sent_) + size_t(received_)) * ROW_BYTES, 0});
    if (!reverse && sent_ > 0)
        pack_rows<<<unsigned(sent_), ROW_QUADS, 0, travelling_>>>(
            lists_, reinterpret_cast<const float4 *>(rows),
            reinterpret_cast<float4 *>(static_cast<float *>(send_)));
    if (!link_) {
        const float *const from = reverse ? others : static_cast<const float *>(send_);
        cudaMemcpyAsync(send_host_, from, reverse ? bytes : size_t(sent_) * ROW_BYTES,
                        cudaMemcpyDeviceToHost, travelling_);
        return UMAS_OK;
    }
    if (reverse) cudaMemcpyAsync(send_, others, bytes, cudaMemcpyDeviceToDevice, travelling_);
    const std::vector<peer_bytes> all = peers(reverse);
    const std::string message = link_->swap(all.data(), int(all.size()), travelling_);
    if (!message.empty()) return umas_fail(error, UMAS_ERROR_DEVICE, "%s", message.c_str());
    if (!reverse) cudaMemcpyAsync(others, receive_, bytes, cudaMemcpyDeviceToDevice, travelling_);
    if (clock_) clock_->end_beside(travelling_);
    cudaEventRecord(arrived_, travelling_);
    return UMAS_OK;
}

/* Through pinned memory to that of the peers, while `stream` goes on. */
umas_status rank_exchange::swap_on_host(float *rows, bool reverse, umas_error *error) {
    const cudaError_t staged = cudaStreamSynchronize(travelling_);
    if (staged != cudaSuccess) return cuda_failed(error, staged);
    const std::vector<int> &out = reverse ? receive_first_ : send_first_;
    const std::vector<int> &in = reverse ? send_first_ : receive_first_;
    const umas_swap swap = {int(peer_.size()), peer_.data(),  ROW_BYTES, send_host_,
                            out.data(),        receive_host_, in.data()};
    if (exchange_->swap(exchange_->context, &swap)) return lost(error);
    float *const to = reverse ? static_cast<float *>(receive_) : rows + size_t(owned_) * NODE_WIDTH;
    cudaMemcpyAsync(to, receive_host_, size_t(in.back()) * ROW_BYTES, cudaMemcpyHostToDevice,
                    travelling_);
    if (clock_) clock_->end_beside(travelling_);
    cudaEventRecord(arrived_, travelling_);
    return UMAS_OK;
}

umas_status rank_exchange::finish(cudaStream_t stream, float *rows, bool reverse,
                                  umas_error *error) {
    const umas_status status = link_ ? UMAS_OK : swap_on_host(rows, reverse, error);
    if (status != UMAS_OK) return status;
    cudaStreamWaitEvent(stream, arrived_, 0);
    const int *row = lists_ + sent_, *first = row + distinct_, *slot = first + distinct_ + 1;
    if (reverse && distinct_ > 0)
        add_rows<<<unsigned(distinct_), ROW_QUADS, 0, stream>>>(
            row, first, slot, reinterpret_cast<const float4 *>(static_cast<float *>(receive_)),
            reinterpret_cast<float4 *>(rows));
    return UMAS_OK;
}

umas_status rank_exchange::sum(cudaStream_t stream, double *values, int count, umas_error *error) {
    if (link_) {
        cudaEventRecord(ready_, stream);
        cudaStreamWaitEvent(travelling_, ready_, 0);
        const std::string message =
            link_->gather(values, gathered_, size_t(count) * sizeof(double), travelling_);
        if (!message.empty()) return umas_fail(error, UMAS_ERROR_DEVICE, "%s", message.c_str());
        cudaEventRecord(arrived_, travelling_);
        cudaStreamWaitEvent(stream, arrived_, 0);
        sum_ranks<<<1, MOST_SUMS, 0, stream>>>(exchange_->ranks, count, gathered_, values);
        return UMAS_OK;
    }
    const size_t bytes = size_t(count) * sizeof(double);
    cudaMemcpyAsync(sums_host_, values, bytes, cudaMemcpyDeviceToHost, stream);
    const cudaError_t status = cudaStreamSynchronize(stream);
    if (status != cudaSuccess) return cuda_failed(error, status);
    if (exchange_->sum(exchange_->context, sums_host_, count)) return lost(error);
    cudaMemcpyAsync(values, sums_host_, bytes, cudaMemcpyHostToDevice, stream);
    return UMAS_OK;
}
