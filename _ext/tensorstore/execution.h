// Work that takes long runs on threads beside the server's, so that the server answers meanwhile.
#pragma once

#include <functional>
#include <string>

#include "module_api.h"

namespace tensorstore {

// Done on the server's thread once the work is done: changes keys and replies.
using Finish = std::function<int(RedisModuleCtx*)>;

// Done on a worker. It sees no key and no context, only what it captured. What it throws is the reply.
using Work = std::function<Finish()>;

inline constexpr long long no_timeout = 0;

// The number of workers of a queue; 0 leaves the choice to us. Before the first `execute`.
void set_threads_per_queue(int threads);

// Lets the server end while workers work: what they use must not be torn down before them.
bool outlive_workers(RedisModuleCtx* context);

// The processors that this process may use.
int processors();

// Blocks the client until `work` has run on a worker of `queue` (one a device) and `finish` has replied.
// Inside MULTI or a Lua script, where a client cannot be blocked, the work runs here and now.
int execute(RedisModuleCtx* context, const std::string& queue, long long timeout_ms, Work work);

}  // namespace tensorstore
