// Work that takes long runs on threads beside the server's, so that the server answers meanwhile.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "module_api.h"

namespace tensorstore {

// Done on the server's thread once the work is done: changes keys and replies.
using Finish = std::function<int(RedisModuleCtx*)>;

// Done on a worker. It sees no key and no context, only what it captured. What it throws is the reply.
using Work = std::function<Finish()>;

// A client that waits. Whoever has it ends it once, from any thread, and leaves it alone then.
class Job {
  public:
    void done(Finish finish);
    void failed(std::string error);   // the reply, as CommandError has it

    // Nobody waits any more: the client has gone, or its time is up. It is still to be ended.
    bool abandoned() const { return abandoned_; }

    // Done on the server's thread when the job is abandoned; it may end the job.
    std::function<void()> on_abandoned;

  private:
    friend Job* block(RedisModuleCtx*, long long);
    friend struct Callbacks;

    RedisModuleBlockedClient* client_ = nullptr;
    Finish finish_;
    std::string error_;
    std::atomic<bool> abandoned_ = false;
};

inline constexpr long long no_timeout = 0;
inline constexpr long long longest_wait_ms = 1'000'000'000'000;   // servers add it to the time of day

// The number of workers of a queue; 0 leaves the choice to us. Before the first task.
void set_threads_per_queue(int threads);

// Lets the server end while workers work: what they use must not be torn down before them.
bool outlive_workers(RedisModuleCtx* context);

// The processors that this process may use.
int processors();

// Whether a command's client can be blocked: not inside MULTI or a Lua script, nor is one of a master
// or of the append-only file, whose commands must be done in their order.
bool can_block(RedisModuleCtx* context);

// Blocks the client until its job is ended.
Job* block(RedisModuleCtx* context, long long timeout_ms);

// Has a worker of `queue` (one a device) do a task, from any thread.
void enqueue(const std::string& queue, std::function<void()> task);

// Does `work` on a worker of `queue` while the client is blocked; where it cannot be, here and now.
int execute(RedisModuleCtx* context, const std::string& queue, long long timeout_ms, Work work);

}  // namespace tensorstore
