// Requests of several clients that one pass of a model answers.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "execution.h"
#include "tensor.h"

namespace tensorstore {

// One client's tensors. Those of one batch are put together along their first length.
struct Request {
    Tensors inputs;
    std::vector<std::string> outputs;   // keys
    Job* job;
    std::shared_ptr<const void> model;   // lives until the request is answered
};

// The first length that all the inputs have; 0 when they have none in common, or one is empty.
std::int64_t samples_of(const Tensors& inputs);

// Whether the inputs differ in their first lengths at most.
bool can_join(const Tensors& left, const Tensors& right);

// Keeps the requests for a model until there are enough for a pass.
class Batching : public std::enable_shared_from_this<Batching> {
  public:
    struct Limits {
        std::int64_t most;       // samples of a pass; a request that has more passes alone
        std::int64_t least;      // samples that a pass waits for; 0: it takes what is there
        long long patience_ms;   // after which a request is answered all the same; 0: none
    };

    // `pass` answers all the requests that it is given. It runs on a worker of `queue`.
    Batching(Limits limits, std::string queue, std::function<void(std::vector<Request>)> pass);

    // On the server's thread.
    void add(RedisModuleCtx* context, Request request);

    // Waits for no more requests, since none will come: the model has left its key. From any thread.
    void close();

  private:
    struct Waiting {
        std::uint64_t number;
        std::int64_t samples;
        Request request;
        bool due;   // waits for no others
    };

    using Batch = std::vector<std::list<Waiting>::iterator>;

    void pass_one_batch();
    Batch ready_batch();       // with the mutex locked
    void ask_if_ready();       // for a pass; with the mutex locked
    void make_due(std::uint64_t number);
    bool withdraw(std::uint64_t number);
    void start_patience(RedisModuleCtx* context, std::uint64_t number);

    const Limits limits_;
    const std::string queue_;
    const std::function<void(std::vector<Request>)> pass_;
    std::mutex mutex_;
    std::list<Waiting> waiting_;   // in their order
    std::uint64_t next_number_ = 0;
    bool closed_ = false;
};

}  // namespace tensorstore
