/* NCCL opened at run time: its functions by name, and connecting with a limit on the time that
 * ranks wait for each other. */
#include "exchange/nccl_link.cuh"

#include <dlfcn.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>

namespace {

/* The part of nccl.h that is used: its declarations are the same in all of NCCL 2. */
using result = int;
constexpr result SUCCESS = 0;
constexpr int BYTES = 0; /* ncclInt8 */
struct unique_id {
    char bytes[NCCL_ID_BYTES];
};

/* Older versions cannot be captured in a graph together with other streams. */
constexpr int OLDEST = 21400;

/* How long ranks are waited for while they connect.  It takes seconds; a rank that never comes,
 * or a network that swallows what is sent, would otherwise hold up the others for ever. */
constexpr std::chrono::seconds PATIENCE{180};

/* Do what may never return on a thread of its own.  After PATIENCE it is left there, still using
 * what it was given. */
std::string within_patience(bool *stuck, const std::function<std::string()> &work) {
    struct state {
        std::mutex mutex;
        std::condition_variable changed;
        bool done = false;
        std::string message;
    };
    auto shared = std::make_shared<state>();
    int device = 0;
    cudaGetDevice(&device);
    std::thread([shared, work, device] {
        cudaSetDevice(device);
        std::string message = work();
        const std::lock_guard<std::mutex> lock(shared->mutex);
        shared->message = message;
        shared->done = true;
        shared->changed.notify_one();
    }).detach();
    std::unique_lock<std::mutex> lock(shared->mutex);
    *stuck = !shared->changed.wait_for(lock, PATIENCE, [&] { return shared->done; });
    if (*stuck)
        return "NCCL did not reach the other ranks within " + std::to_string(PATIENCE.count()) +
               " s";
    return shared->message;
}

std::string wait(cudaStream_t stream) {
    const cudaError_t status = cudaStreamSynchronize(stream);
    return status == cudaSuccess ? "" : std::string("NCCL: ") + cudaGetErrorString(status);
}

} // namespace

struct nccl_link::functions {
    result (*get_version)(int *);
    result (*get_unique_id)(unique_id *);
    result (*init_rank)(void **, int, unique_id, int);
    result (*abort)(void *);
    const char *(*error_string)(result);
    result (*group_start)();
    result (*group_end)();
    result (*send)(const void *, size_t, int, int, void *, cudaStream_t);
    result (*receive)(void *, size_t, int, int, void *, cudaStream_t);
    result (*all_gather)(const void *, void *, size_t, int, void *, cudaStream_t);
};

nccl_link::~nccl_link() {
    /* Destroying a communicator waits for the other ranks, aborting one does not. */
    if (communicator_) call_->abort(communicator_);
    delete call_; /* the file stays open, as threads of it may still run */
}

std::string nccl_link::failure(const char *what, int result) const {
    return std::string("NCCL ") + what + ": " + call_->error_string(result);
}

std::string nccl_link::version_text(int version) {
    return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100);
}

std::string nccl_link::open() {
    static const char *const INSTALL = "pip install nvidia-nccl-cu13, or the system's package, "
                                       "with its folder on LD_LIBRARY_PATH";
    void *const file = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!file) return std::string("cannot open libnccl.so.2 (") + dlerror() + "): " + INSTALL;
    functions f{};
    auto find = [&](auto &function, const char *name) {
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(file, name));
        return function != nullptr;
    };
    if (!find(f.get_version, "ncclGetVersion") || !find(f.get_unique_id, "ncclGetUniqueId") ||
        !find(f.init_rank, "ncclCommInitRank") || !find(f.abort, "ncclCommAbort") ||
        !find(f.error_string, "ncclGetErrorString") || !find(f.group_start, "ncclGroupStart") ||
        !find(f.group_end, "ncclGroupEnd") || !find(f.send, "ncclSend") ||
        !find(f.receive, "ncclRecv") || !find(f.all_gather, "ncclAllGather"))
        return std::string("libnccl.so.2 lacks functions of NCCL ") + version_text(OLDEST) + ": " +
               INSTALL;
    int version = 0;
    if (f.get_version(&version) != SUCCESS || version < OLDEST)
        return "NCCL " + version_text(version) + " is older than " + version_text(OLDEST) + ": " +
               INSTALL;
    call_ = new functions(f);
    version_ = version;
    return "";
}

std::string nccl_link::make_id(char id[NCCL_ID_BYTES]) {
    unique_id made;
    const result status = call_->get_unique_id(&made);
    if (status != SUCCESS) return failure("cannot start", status);
    std::memcpy(id, made.bytes, sizeof made.bytes);
    return "";
}

std::string nccl_link::connect(const char id[NCCL_ID_BYTES], int rank, int ranks) {
    unique_id common;
    std::memcpy(common.bytes, id, sizeof common.bytes);
    auto made = std::make_shared<void *>(nullptr);
    const auto init_rank = call_->init_rank;
    const auto error_string = call_->error_string;
    const std::string message = within_patience(&stuck_, [=]() -> std::string {
        const result status = init_rank(made.get(), ranks, common, rank);
        return status == SUCCESS ? "" : std::string("NCCL cannot start: ") + error_string(status);
    });
    if (message.empty()) communicator_ = *made;
    return message;
}

std::string nccl_link::swap(const peer_bytes *peer, int peers, cudaStream_t stream) {
    result status = call_->group_start();
    for (int i = 0; i < peers && status == SUCCESS; i++) {
        const peer_bytes &p = peer[i];
        if (p.sent > 0) status = call_->send(p.send, p.sent, BYTES, p.peer, communicator_, stream);
        if (p.received > 0 && status == SUCCESS)
            status = call_->receive(p.receive, p.received, BYTES, p.peer, communicator_, stream);
    }
    const result ended = call_->group_end();
    if (status == SUCCESS) status = ended;
    return status == SUCCESS ? "" : failure("cannot send rows", status);
}

std::string nccl_link::gather(const void *mine, void *all, size_t bytes, cudaStream_t stream) {
    const result status = call_->all_gather(mine, all, bytes, BYTES, communicator_, stream);
    return status == SUCCESS ? "" : failure("cannot gather sums", status);
}

std::string nccl_link::meet(const peer_bytes *peer, int peers, cudaStream_t stream) {
    return within_patience(&stuck_, [=]() -> std::string {
        const std::string message = swap(peer, peers, stream);
        return message.empty() ? wait(stream) : message;
    });
}

std::string nccl_link::meet_all(const void *mine, void *all, size_t bytes, cudaStream_t stream) {
    return within_patience(&stuck_, [=]() -> std::string {
        const std::string message = gather(mine, all, bytes, stream);
        return message.empty() ? wait(stream) : message;
    });
}
