// A compiled TorchScript function with what must be known to call it on tensors that others share.
#pragma once

#include <atomic>
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

class Callable {
  public:
    // `self` is the module of a method, nothing for a free function.
    Callable(torch::jit::Function& function, std::optional<c10::IValue> self, const std::string& device);

    // Safe on many threads at once. Throws what torch throws.
    Tensors operator()(const Tensors& inputs);

  private:
    torch::jit::Function& function_;
    std::optional<c10::IValue> self_;
    at::Device device_;
    std::vector<bool> writes_to_input_;   // the function gets a copy of these
    bool changes_its_state_ = false;      // then one call at a time
    std::mutex one_call_;
};

// What AI.INFO tells about a model or a script.
struct Statistics {
    std::atomic<long long> calls = 0;
    std::atomic<long long> errors = 0;
    std::atomic<long long> samples = 0;
    std::atomic<long long> duration_us = 0;

    // Calls and counts.
    Tensors count(Callable& function, const Tensors& inputs);
    void reset();
};

}  // namespace tensorstore
