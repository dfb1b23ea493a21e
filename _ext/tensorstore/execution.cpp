#include "execution.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "command.h"

namespace tensorstore {

namespace {

constexpr int most_threads_by_default = 4;

int threads_per_queue = 0;

class Queue {
  public:
    explicit Queue(int threads) {
        for (int index = 0; index < threads; ++index) {
            std::thread worker([this] { run(); });
            pthread_setname_np(worker.native_handle(), "tensorstore");
            worker.detach();
        }
    }

    void push(std::function<void()> task) {
        {
            const std::lock_guard lock(mutex_);
            tasks_.push_back(std::move(task));
        }
        ready_.notify_one();
    }

  private:
    std::function<void()> pop() {
        std::unique_lock lock(mutex_);
        ready_.wait(lock, [this] { return !tasks_.empty(); });
        std::function<void()> task = std::move(tasks_.front());
        tasks_.pop_front();
        return task;
    }

    [[noreturn]] void run() {
        while (true) {
            pop()();
        }
    }

    std::mutex mutex_;
    std::condition_variable ready_;
    std::deque<std::function<void()>> tasks_;
};

// Queues live as long as the process: their threads do not end.
Queue& queue_named(const std::string& name) {
    static auto& mutex = *new std::mutex;
    static auto& queues = *new std::map<std::string, Queue*>;
    const std::lock_guard lock(mutex);
    Queue*& queue = queues[name];
    if (!queue) {
        const int chosen = std::min(processors(), most_threads_by_default);
        queue = new Queue(threads_per_queue > 0 ? threads_per_queue : chosen);
    }
    return *queue;
}

// The jobs that are not freed yet. Only the server's thread asks.
std::map<RedisModuleBlockedClient*, Job*>& waiting() {
    static auto& jobs = *new std::map<RedisModuleBlockedClient*, Job*>;
    return jobs;
}

// Registered last, so called first: exit() would destroy libtorch's tables, which a worker may be reading.
void end_at_once(RedisModuleCtx*, RedisModuleEvent, std::uint64_t, void*) noexcept {
    on_exit([](int status, void*) { _exit(status); }, nullptr);
}

}  // namespace

// What the server calls for a blocked client, all on its own thread.
struct Callbacks {
    static int reply(RedisModuleCtx* context, RedisModuleString**, int) noexcept {
        const auto* job = static_cast<Job*>(RedisModule_GetBlockedClientPrivateData(context));
        if (!job->error_.empty()) {
            return RedisModule_ReplyWithError(context, job->error_.c_str());
        }
        try {
            return job->finish_(context);
        } catch (...) {
            return reply_with_current_error(context);
        }
    }

    static int time_out(RedisModuleCtx* context, RedisModuleString**, int) noexcept {
        abandon(RedisModule_GetBlockedClientHandle(context));
        return RedisModule_ReplyWithError(context, "TIMEDOUT it did not run within its TIMEOUT");
    }

    static void disconnect(RedisModuleCtx*, RedisModuleBlockedClient* client) noexcept { abandon(client); }

    static void free(RedisModuleCtx*, void* data) noexcept {
        const auto* job = static_cast<Job*>(data);
        waiting().erase(job->client_);
        delete job;
    }

  private:
    static void abandon(RedisModuleBlockedClient* client) {
        const auto found = waiting().find(client);
        if (found == waiting().end()) {
            return;
        }
        Job* job = found->second;
        job->abandoned_ = true;
        if (job->on_abandoned) {
            job->on_abandoned();
        }
    }
};

void Job::done(Finish finish) {
    finish_ = std::move(finish);
    RedisModule_UnblockClient(client_, this);
}

void Job::failed(std::string error) {
    error_ = std::move(error);
    RedisModule_UnblockClient(client_, this);
}

void set_threads_per_queue(int threads) { threads_per_queue = threads; }

bool outlive_workers(RedisModuleCtx* context) {
    return RedisModule_SubscribeToServerEvent(context, REDISMODULE_EVENT_SHUTDOWN, end_at_once) ==
           REDISMODULE_OK;
}

int processors() {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

bool can_block(RedisModuleCtx* context) {
    constexpr int cannot = REDISMODULE_CTX_FLAGS_LUA | REDISMODULE_CTX_FLAGS_MULTI |
                           REDISMODULE_CTX_FLAGS_DENY_BLOCKING | REDISMODULE_CTX_FLAGS_REPLICATED |
                           REDISMODULE_CTX_FLAGS_LOADING;
    return !(RedisModule_GetContextFlags(context) & cannot);
}

Job* block(RedisModuleCtx* context, long long timeout_ms) {
    auto* job = new Job;
    job->client_ = RedisModule_BlockClient(context, Callbacks::reply, Callbacks::time_out, Callbacks::free,
                                           std::min(timeout_ms, longest_wait_ms));
    RedisModule_SetDisconnectCallback(job->client_, Callbacks::disconnect);
    waiting()[job->client_] = job;
    return job;
}

void enqueue(const std::string& queue, std::function<void()> task) {
    queue_named(queue).push(std::move(task));
}

int execute(RedisModuleCtx* context, const std::string& queue, long long timeout_ms, Work work) {
    if (!can_block(context)) {
        return work()(context);
    }
    Job* job = block(context, timeout_ms);
    enqueue(queue, [job, work = std::move(work)] {
        if (job->abandoned()) {
            return job->failed("ERR nobody waits for it any more");
        }
        try {
            job->done(work());
        } catch (...) {
            job->failed(current_error());
        }
    });
    return REDISMODULE_OK;
}

}  // namespace tensorstore
