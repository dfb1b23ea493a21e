#include "torchscript.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/passes/inliner.h>

namespace tensorstore {

namespace {

at::Device torch_device(std::string_view name) {
    if (name == "CPU") {
        return at::kCPU;
    }
    int index = 0;
    const std::string_view number = name.size() > 4 ? name.substr(4) : "0";
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), index);
    const bool spelled = name.starts_with("GPU") && (name.size() == 3 || name[3] == ':') && name.size() != 4;
    if (!spelled || error != std::errc() || end != number.data() + number.size() || index < 0) {
        throw CommandError("ERR " + in_quotes(name) + " is not a device: give CPU, GPU or GPU:n");
    }
    if (!at::globalContext().hasCUDA() ||
        index >= at::detail::getCUDAHooks().deviceCount()) {
        throw CommandError("ERR the store's server has no device " + in_quotes(name) +
                           ": give CPU, or start it where torch sees the GPU");
    }
    return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

// Whether anything that the function got out of its module is written to, or put into it.
bool changes_attributes(const torch::jit::AliasDb& aliases, at::ArrayRef<const torch::jit::Block*> blocks) {
    for (const torch::jit::Block* block : blocks) {
        for (const torch::jit::Node* node : block->nodes()) {
            if (node->kind() == c10::prim::SetAttr ||
                (node->kind() == c10::prim::GetAttr && aliases.hasWriters(node->output())) ||
                changes_attributes(aliases, node->blocks())) {
                return true;
            }
        }
    }
    return false;
}

void append_tensors(const c10::IValue& value, Arrays& tensors) {
    if (value.isTensor()) {
        tensors.push_back(value.toTensor());
    } else if (value.isTuple()) {
        for (const c10::IValue& element : value.toTupleRef().elements()) {
            append_tensors(element, tensors);
        }
    } else if (value.isList()) {
        for (const c10::IValue& element : value.toListRef()) {
            append_tensors(element, tensors);
        }
    } else {
        throw CommandError("ERR an output is a " + value.tagKind() + ", not a tensor");
    }
}

}  // namespace

std::string checked_device(std::string_view name) {
    std::string device;
    std::ranges::transform(name, std::back_inserter(device),
                           [](unsigned char letter) { return static_cast<char>(std::toupper(letter)); });
    torch_device(device);
    return device;
}

Callable::Callable(torch::jit::Function& function, std::optional<c10::IValue> self, const std::string& device)
    : function_(function), self_(std::move(self)), device_(torch_device(device)) {
    const std::shared_ptr<torch::jit::Graph> graph = torch::jit::toGraphFunction(function).graph()->copy();
    torch::jit::Inline(*graph);
    const torch::jit::AliasDb aliases(graph);
    changes_its_state_ = changes_attributes(aliases, {graph->block()});
}

Arrays Callable::operator()(const Arrays& inputs) {
    const at::NoGradGuard no_grad;
    std::vector<c10::IValue> stack;
    if (self_) {
        stack.push_back(*self_);
    }
    for (const at::Tensor& input : inputs) {
        stack.emplace_back(input.to(device_));
    }
    std::unique_lock lock(one_call_, std::defer_lock);
    if (changes_its_state_) {
        lock.lock();
    }
    const c10::IValue result = function_(std::move(stack));
    Arrays outputs;
    append_tensors(result, outputs);
    if (changes_its_state_) {   // which an output may be part of
        std::ranges::transform(outputs, outputs.begin(), [](const at::Tensor& one) { return one.clone(); });
    }
    return outputs;
}

void Statistics::passed(long long new_samples, std::chrono::steady_clock::duration duration) {
    samples += new_samples;
    duration_us += std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

void Statistics::reset() {
    calls = 0;
    errors = 0;
    samples = 0;
    duration_us = 0;
}

Tensors Statistics::count(Callable& function, const Tensors& inputs) {
    const auto start = std::chrono::steady_clock::now();
    ++calls;
    try {
        Arrays arrays;
        for (const std::shared_ptr<Tensor>& input : inputs) {
            arrays.push_back(Tensor::to_torch({input}));
        }
        Tensors outputs;
        for (const at::Tensor& output : function(arrays)) {
            outputs.push_back(Tensor::from_torch(output));
        }
        const bool batch = !inputs.empty() && !inputs.front()->shape().empty();
        passed(batch ? inputs.front()->shape().front() : 0, std::chrono::steady_clock::now() - start);
        return outputs;
    } catch (...) {
        ++errors;
        throw;
    }
}

}  // namespace tensorstore
