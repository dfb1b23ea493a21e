// Runs TorchScript for the C core, on the CPU with one thread, just as the store's module does.
#include "inference.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <malloc.h>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

namespace {

struct DType {
    std::string_view name;
    at::ScalarType scalar;
};

constexpr std::array dtypes{
    DType{"FLOAT", at::kFloat}, DType{"DOUBLE", at::kDouble}, DType{"INT8", at::kChar},
    DType{"INT16", at::kShort}, DType{"INT32", at::kInt},     DType{"INT64", at::kLong},
    DType{"UINT8", at::kByte},  DType{"UINT16", at::kUInt16},
};

struct Model {
    torch::jit::Module module;
    std::vector<at::Tensor> outputs;   // of the latest run: the caller reads their bytes
};

// A copy, which the model may write to or keep.
at::Tensor given(const tensor& input) {
    const auto dtype = std::ranges::find(dtypes, std::string_view(input.type), &DType::name);
    if (dtype == dtypes.end()) {
        throw std::invalid_argument(std::string("an input is of the unknown type ") + input.type);
    }
    const std::vector<std::int64_t> shape(input.extents, input.extents + input.rank);
    return at::from_blob(const_cast<char*>(input.bytes), shape, dtype->scalar).clone();
}

void append_tensors(const c10::IValue& value, std::vector<at::Tensor>& tensors) {
    if (value.isTensor()) {
        tensors.push_back(value.toTensor().to(at::kCPU).contiguous());
    } else if (value.isTuple()) {
        for (const c10::IValue& element : value.toTupleRef().elements()) {
            append_tensors(element, tensors);
        }
    } else if (value.isList()) {
        for (const c10::IValue& element : value.toListRef()) {
            append_tensors(element, tensors);
        }
    } else {
        throw std::invalid_argument("an output is a " + value.tagKind() + ", not a tensor");
    }
}

tensor described(const at::Tensor& output) {
    const auto dtype = std::ranges::find(dtypes, output.scalar_type(), &DType::scalar);
    if (dtype == dtypes.end() || output.dim() > std::ssize(tensor{}.extents)) {
        throw std::invalid_argument(std::string("an output is of type ") + c10::toString(output.scalar_type()) +
                                    " with " + std::to_string(output.dim()) +
                                    " dimensions, which no array can hold: convert it in the model");
    }
    tensor described{};
    dtype->name.copy(described.type, sizeof(described.type) - 1);
    described.rank = static_cast<int>(output.dim());
    std::ranges::copy(output.sizes(), described.extents);
    described.size = output.nbytes();
    described.bytes = static_cast<const char*>(output.const_data_ptr());
    return described;
}

// The line of a message that says what went wrong: of a traceback of TorchScript, the last.
std::string_view telling_line(std::string_view text) {
    const bool traceback = text.find("Traceback of TorchScript") != text.npos;
    const auto end = text.find_last_not_of(" \n.");
    text = text.substr(0, end == text.npos ? 0 : end + 1);
    const auto line = traceback ? text.rfind('\n') : text.find('\n');
    if (line == text.npos) {
        return text;
    }
    return traceback ? text.substr(line + 1) : text.substr(0, line);
}

// Calls the function; on an exception writes the cause and returns `otherwise`.
template <typename Function, typename Result>
Result guarded(Function function, Result otherwise, char* message, std::size_t size) noexcept {
    const auto tell = [&](std::string_view cause) {
        cause = telling_line(cause);
        std::snprintf(message, size, "%.*s", static_cast<int>(cause.size()), cause.data());
    };
    try {
        return function();
    } catch (const c10::Error& error) {
        tell(error.what_without_backtrace());
    } catch (const std::exception& error) {
        tell(error.what());
    } catch (...) {
        tell("an error without a message");
    }
    return otherwise;
}

// A forward pass takes and frees the same hundreds of KiB at each call. By default malloc gives them back
// to the system, which fills them with zeros at the next: half of the time of a small network.
void keep_freed_memory() {
    constexpr int most = 64 << 20;   // bytes
    mallopt(M_MMAP_THRESHOLD, most / 2);
    mallopt(M_TRIM_THRESHOLD, most);
}

void* load(const char* path) {
    keep_freed_memory();
    at::set_num_threads(1);
    std::ifstream file(path, std::ios::binary);
    auto model = std::make_unique<Model>(torch::jit::load(file, at::kCPU));
    model->module.get_method("forward");   // throws if it has none
    return model.release();
}

int run(Model& model, int input_count, const tensor* inputs, int output_count, tensor* outputs) {
    const at::NoGradGuard no_grad;
    std::vector<c10::IValue> stack{model.module._ivalue()};
    for (int index = 0; index < input_count; ++index) {
        stack.emplace_back(given(inputs[index]));
    }
    model.outputs.clear();
    append_tensors(model.module.get_method("forward").function()(std::move(stack)), model.outputs);
    if (std::ssize(model.outputs) != output_count) {
        throw std::invalid_argument("it gave " + std::to_string(model.outputs.size()) + " tensors for " +
                                    std::to_string(output_count) + " arrays");
    }
    std::ranges::transform(model.outputs, outputs, described);
    return 0;
}

}  // namespace

extern "C" {

void* pf_inference_load(const char* path, char* message, std::size_t size) {
    return guarded([&] { return load(path); }, static_cast<void*>(nullptr), message, size);
}

int pf_inference_run(void* model, int input_count, const tensor* inputs, int output_count, tensor* outputs,
                     char* message, std::size_t size) {
    return guarded([&] { return run(*static_cast<Model*>(model), input_count, inputs, output_count, outputs); }, 1,
                   message, size);
}

void pf_inference_free(void* model) { delete static_cast<Model*>(model); }

}
