// A compiled TorchScript function with what must be known to call it on many threads.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <torch/csrc/jit/api/module.h>

#include "tensor.h"

namespace tensorstore {

// "CPU", "GPU" or "GPU:n", in capitals, from what a client wrote; throws unless torch has the device.
std::string checked_device(std::string_view name);

// Tensors in torch's memory.
using Arrays = std::vector<at::Tensor>;

class Callable {
  public:
    // `self` is the module of a method, nothing for a free function.
    Callable(torch::jit::Function& function, std::optional<c10::IValue> self, const std::string& device);

    // Safe on many threads at once; it may write to `inputs`. Throws what torch throws.
    Arrays operator()(const Arrays& inputs);

  private:
    torch::jit::Function& function_;
    std::optional<c10::IValue> self_;
    at::Device device_;
    bool changes_its_state_ = false;      // then one call at a time
    std::mutex one_call_;
};

// What AI.INFO tells about a model or a script.
struct Statistics {
    std::atomic<long long> calls = 0;         // of clients
    std::atomic<long long> errors = 0;
    std::atomic<long long> samples = 0;       // first lengths of what the calls gave
    std::atomic<long long> duration_us = 0;   // of the passes, each of which may answer several calls

    void passed(long long samples, std::chrono::steady_clock::duration duration);
    void reset();

    // Calls for one client, and counts.
    Tensors count(Callable& function, const Tensors& inputs);
};

}  // namespace tensorstore
