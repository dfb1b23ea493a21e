#include "batching.h"

#include <algorithm>

namespace tensorstore {

std::int64_t samples_of(const Tensors& inputs) {
    std::int64_t samples = 0;
    for (const std::shared_ptr<Tensor>& input : inputs) {
        const std::vector<std::int64_t>& shape = input->shape();
        if (shape.empty() || input->bytes().empty() || (samples != 0 && shape.front() != samples)) {
            return 0;
        }
        samples = shape.front();
    }
    return samples;
}

bool can_join(const Tensors& left, const Tensors& right) {
    return std::ranges::equal(left, right, [](const auto& one, const auto& other) {
        return &one->dtype() == &other->dtype() && one->shape().size() == other->shape().size() &&
               std::equal(one->shape().begin() + 1, one->shape().end(), other->shape().begin() + 1);
    });
}

Batching::Batching(Limits limits, std::string queue, std::function<void(std::vector<Request>)> pass)
    : limits_(limits), queue_(std::move(queue)), pass_(std::move(pass)) {}

void Batching::add(RedisModuleCtx* context, Request request) {
    const std::uint64_t number = next_number_++;
    request.job->on_abandoned = [self = weak_from_this(), number, job = request.job] {
        const std::shared_ptr<Batching> batching = self.lock();
        if (batching && batching->withdraw(number)) {
            job->failed("ERR nobody waits for it any more");
        }
    };
    if (limits_.least > 0 && limits_.patience_ms > 0) {
        start_patience(context, number);
    }
    const std::lock_guard lock(mutex_);
    const std::int64_t samples = samples_of(request.inputs);
    waiting_.push_back({number, samples, std::move(request), closed_});
    ask_if_ready();
}

void Batching::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    for (Waiting& one : waiting_) {
        one.due = true;
    }
    ask_if_ready();
}

void Batching::ask_if_ready() {
    if (!ready_batch().empty()) {
        enqueue(queue_, [self = shared_from_this()] { self->pass_one_batch(); });
    }
}

void Batching::pass_one_batch() {
    std::vector<Request> requests;
    {
        const std::lock_guard lock(mutex_);
        for (const auto one : ready_batch()) {
            requests.push_back(std::move(one->request));
            waiting_.erase(one);
        }
        ask_if_ready();   // for what was more than a batch
    }
    if (!requests.empty()) {
        pass_(std::move(requests));
    }
}

// The first requests that can join, as many as a pass takes, of the first kind that need not wait.
Batching::Batch Batching::ready_batch() {
    for (auto first = waiting_.begin(); first != waiting_.end(); ++first) {
        Batch batch;
        std::int64_t samples = 0;
        bool ready = limits_.least == 0;
        for (auto one = first; one != waiting_.end(); ++one) {
            if (!can_join(first->request.inputs, one->request.inputs)) {
                continue;
            }
            if (!batch.empty() && samples + one->samples > limits_.most) {
                ready = true;   // no later request could join
                break;
            }
            batch.push_back(one);
            samples += one->samples;
            ready = ready || one->due;
        }
        if (ready || samples >= limits_.least) {
            return batch;
        }
    }
    return {};
}

void Batching::make_due(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(waiting_, number, &Waiting::number);
    if (found != waiting_.end()) {
        found->due = true;
        ask_if_ready();
    }
}

bool Batching::withdraw(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    return std::erase_if(waiting_, [number](const Waiting& one) { return one.number == number; }) > 0;
}

void Batching::start_patience(RedisModuleCtx* context, std::uint64_t number) {
    struct Patience {
        std::weak_ptr<Batching> batching;
        std::uint64_t number;
    };
    const auto over = [](RedisModuleCtx*, void* data) noexcept {
        const std::unique_ptr<Patience> patience(static_cast<Patience*>(data));
        if (const std::shared_ptr<Batching> batching = patience->batching.lock()) {
            batching->make_due(patience->number);
        }
    };
    RedisModule_CreateTimer(context, std::min(limits_.patience_ms, longest_wait_ms), over, new Patience{weak_from_this(), number});
}

}  // namespace tensorstore
