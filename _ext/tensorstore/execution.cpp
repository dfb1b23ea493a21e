#include "execution.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
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

// Belongs to the worker while it works and to the server's thread before and after.
struct Job {
    RedisModuleBlockedClient* client;
    Work work;
    Finish finish;
    std::string error;
};

class Queue {
  public:
    explicit Queue(int threads) {
        for (int index = 0; index < threads; ++index) {
            std::thread worker([this] { run(); });
            pthread_setname_np(worker.native_handle(), "tensorstore");
            worker.detach();
        }
    }

    void push(Job* job) {
        {
            const std::lock_guard lock(mutex_);
            jobs_.push_back(job);
        }
        ready_.notify_one();
    }

  private:
    Job* pop() {
        std::unique_lock lock(mutex_);
        ready_.wait(lock, [this] { return !jobs_.empty(); });
        Job* job = jobs_.front();
        jobs_.pop_front();
        return job;
    }

    [[noreturn]] void run() {
        while (true) {
            Job* job = pop();
            try {
                job->finish = job->work();
            } catch (...) {
                job->error = current_error();
            }
            RedisModule_UnblockClient(job->client, job);
        }
    }

    std::mutex mutex_;
    std::condition_variable ready_;
    std::deque<Job*> jobs_;
};

// Queues live as long as the process: their threads do not end. Only the server's thread asks for one.
Queue& queue_named(const std::string& name) {
    static auto& queues = *new std::map<std::string, Queue*>;
    Queue*& queue = queues[name];
    if (!queue) {
        const int chosen = std::min(processors(), most_threads_by_default);
        queue = new Queue(threads_per_queue > 0 ? threads_per_queue : chosen);
    }
    return *queue;
}

int reply_of_job(RedisModuleCtx* context, RedisModuleString**, int) noexcept {
    const auto* job = static_cast<Job*>(RedisModule_GetBlockedClientPrivateData(context));
    if (!job->error.empty()) {
        return RedisModule_ReplyWithError(context, job->error.c_str());
    }
    try {
        return job->finish(context);
    } catch (...) {
        return reply_with_current_error(context);
    }
}

int reply_of_timeout(RedisModuleCtx* context, RedisModuleString**, int) noexcept {
    return RedisModule_ReplyWithError(context, "TIMEDOUT it did not run within its TIMEOUT");
}

void free_job(RedisModuleCtx*, void* job) { delete static_cast<Job*>(job); }

// Registered last, so called first: exit() would destroy libtorch's tables, which a worker may be reading.
void end_at_once(RedisModuleCtx*, RedisModuleEvent, std::uint64_t, void*) noexcept {
    on_exit([](int status, void*) { _exit(status); }, nullptr);
}

}  // namespace

void set_threads_per_queue(int threads) { threads_per_queue = threads; }

bool outlive_workers(RedisModuleCtx* context) {
    return RedisModule_SubscribeToServerEvent(context, REDISMODULE_EVENT_SHUTDOWN, end_at_once) ==
           REDISMODULE_OK;
}

int processors() {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

int execute(RedisModuleCtx* context, const std::string& queue, long long timeout_ms, Work work) {
    constexpr int cannot_block =
        REDISMODULE_CTX_FLAGS_LUA | REDISMODULE_CTX_FLAGS_MULTI | REDISMODULE_CTX_FLAGS_DENY_BLOCKING;
    if (RedisModule_GetContextFlags(context) & cannot_block) {
        return work()(context);
    }
    auto job = std::make_unique<Job>(nullptr, std::move(work), nullptr, "");
    Queue& workers = queue_named(queue);
    job->client = RedisModule_BlockClient(context, reply_of_job, reply_of_timeout, free_job, timeout_ms);
    workers.push(job.release());
    return REDISMODULE_OK;
}

}  // namespace tensorstore
