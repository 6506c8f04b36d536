/* NCCL, NVIDIA's library of communication between GPUs, opened at run time: what this engine
 * uses of it, for one communicator.  Every function returns an empty string, or what went wrong. */
#ifndef UMAS_NCCL_LINK_CUH
#define UMAS_NCCL_LINK_CUH

#include <cuda_runtime.h>

#include <string>

/* Bytes of the id that makes ranks one communicator. */
constexpr int NCCL_ID_BYTES = 128;

/* Bytes to and from one peer, in device memory; nothing travels where a count is 0. */
struct peer_bytes {
    int peer;
    const void *send;
    size_t sent;
    void *receive;
    size_t received;
};

class nccl_link {
  public:
    nccl_link() = default;
    nccl_link(const nccl_link &) = delete;
    nccl_link &operator=(const nccl_link &) = delete;
    ~nccl_link(); /* waits for no other rank */

    /* Open the library.  The message says what to install. */
    std::string open();
    int version() const { return version_; } /* 22704 for 2.27.4; 0: not opened */
    static std::string version_text(int version);

    /* On one rank: an id for all of them. */
    std::string make_id(char id[NCCL_ID_BYTES]);
    /* On all ranks at once, with the device that is current.  Other ranks are waited for, but
     * not for ever: see PATIENCE. */
    std::string connect(const char id[NCCL_ID_BYTES], int rank, int ranks);

    /* Queue on the stream; both can be captured once the peers have met. */
    std::string swap(const peer_bytes *peer, int peers, cudaStream_t stream);
    /* mine [bytes] of every rank to all [ranks][bytes] */
    std::string gather(const void *mine, void *all, size_t bytes, cudaStream_t stream);
    /* The first swap with peers, which connects to them: waited for as connect is. */
    std::string meet(const peer_bytes *peer, int peers, cudaStream_t stream);
    std::string meet_all(const void *mine, void *all, size_t bytes, cudaStream_t stream);

    /* Other ranks did not come, and a thread still waits for them: this object must not be
     * destroyed. */
    bool stuck() const { return stuck_; }

  private:
    struct functions;
    functions *call_ = nullptr;
    void *communicator_ = nullptr;
    int version_ = 0;
    bool stuck_ = false;

    std::string failure(const char *what, int result) const;
};

#endif
