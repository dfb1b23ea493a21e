#include "tensor.h"

#include <algorithm>
#include <array>
#include <iterator>

#include <ATen/ops/empty.h>

namespace tensorstore {

namespace {

constexpr std::array dtypes{
    DType{"FLOAT", at::kFloat, 4}, DType{"DOUBLE", at::kDouble, 8}, DType{"INT8", at::kChar, 1},
    DType{"INT16", at::kShort, 2}, DType{"INT32", at::kInt, 4},     DType{"INT64", at::kLong, 8},
    DType{"UINT8", at::kByte, 1},  DType{"UINT16", at::kUInt16, 2},
};

const DType& dtype_named(std::string_view name) {
    const auto found = std::ranges::find(dtypes, name, &DType::name);
    if (found == dtypes.end()) {
        throw CommandError("ERR " + in_quotes(name) + " is not a data type: give FLOAT, DOUBLE, INT8, " +
                           "INT16, INT32, INT64, UINT8 or UINT16");
    }
    return *found;
}

const DType& dtype_of(at::ScalarType scalar) {
    const auto found = std::ranges::find(dtypes, scalar, &DType::scalar);
    if (found == dtypes.end()) {
        throw CommandError(std::string("ERR an output is of type ") + c10::toString(scalar) +
                           ", which no client can read: convert it in the model");
    }
    return *found;
}

std::string written(const std::vector<std::int64_t>& shape) {
    std::string text = "[";
    for (const std::int64_t length : shape) {
        text += (text.size() > 1 ? ", " : "") + std::to_string(length);
    }
    return text + "]";
}

}  // namespace

Tensor::Tensor(const DType& dtype, std::vector<std::int64_t> shape, Bytes bytes)
    : dtype_(&dtype), shape_(std::move(shape)), bytes_(std::move(bytes)) {
    const std::size_t size = bytes_.view().size();
    std::size_t wanted = dtype.size;
    bool overflow = false;
    for (const std::int64_t length : shape_) {
        overflow |= length < 0 || __builtin_mul_overflow(wanted, static_cast<std::size_t>(length), &wanted);
    }
    if (overflow || wanted != size) {
        throw CommandError("ERR a " + std::string(dtype.name) + " tensor of shape " + written(shape_) +
                           " does not have " + std::to_string(size) + " bytes");
    }
}

std::shared_ptr<Tensor> Tensor::from_torch(const at::Tensor& tensor) {
    const DType& dtype = dtype_of(tensor.scalar_type());
    const at::Tensor plain = tensor.to(at::kCPU).contiguous();
    const auto bytes = std::string_view(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes());
    return std::make_shared<Tensor>(dtype, plain.sizes().vec(), Bytes(bytes));
}

at::Tensor Tensor::to_torch(const Tensors& parts) {
    std::vector<std::int64_t> shape = parts.front()->shape();
    for (std::size_t index = 1; index < parts.size(); ++index) {
        shape.front() += parts[index]->shape().front();
    }
    at::Tensor whole = at::empty(shape, parts.front()->dtype().scalar);
    auto* end = static_cast<char*>(whole.mutable_data_ptr());
    for (const std::shared_ptr<Tensor>& part : parts) {
        end += part->bytes().copy(end, part->bytes().size());
    }
    return whole;
}

void Tensor::describe(Words& words) const {
    words.add(dtype_->name);
    for (const std::int64_t length : shape_) {
        words.add(static_cast<long long>(length));
    }
    words.add("BLOB").add(bytes_);
}

void Tensor::save(Writer& file) const {
    file.bytes(dtype_->name);
    file.number(shape_.size());
    std::ranges::for_each(shape_, [&file](std::int64_t length) { file.number(length); });
    file.bytes(bytes());
}

std::shared_ptr<Tensor> Tensor::load(Reader& file) {
    const DType& dtype = dtype_named(file.text());
    std::vector<std::int64_t> shape;
    std::generate_n(std::back_inserter(shape), file.number(), [&file] { return file.number(); });
    return std::make_shared<Tensor>(dtype, std::move(shape), file.bytes());
}

std::size_t Tensor::memory() const {
    return sizeof(Tensor) + shape_.capacity() * sizeof(std::int64_t) + bytes().size();
}

// AI.TENSORSET key dtype length ... BLOB bytes
int tensor_set(RedisModuleCtx* context, Arguments& arguments) {
    const std::string_view name = arguments.text("key");
    const DType& dtype = dtype_named(arguments.text("data type"));
    std::vector<std::int64_t> shape;
    while (!arguments.take("BLOB")) {
        shape.push_back(arguments.integer("shape or BLOB"));
    }
    Bytes bytes = Bytes::keep(context, arguments.word("bytes"));
    arguments.expect_done();
    put(context, name, std::make_shared<Tensor>(dtype, std::move(shape), std::move(bytes)));
    RedisModule_ReplicateVerbatim(context);
    return reply_ok(context);
}

// AI.TENSORGET key [META] [BLOB]
int tensor_get(RedisModuleCtx* context, Arguments& arguments) {
    const std::string_view name = arguments.text("key");
    const bool meta = arguments.take("META");
    const bool blob = arguments.take("BLOB");
    arguments.expect_done();
    const std::shared_ptr<Tensor> tensor = fetch<Tensor>(context, name);
    if (blob && !meta) {
        return reply_text(context, tensor->bytes());
    }
    RedisModule_ReplyWithArray(context, blob ? 6 : 4);
    reply_text(context, "dtype");
    reply_text(context, tensor->dtype().name);
    reply_text(context, "shape");
    RedisModule_ReplyWithArray(context, static_cast<long>(tensor->shape().size()));
    for (const std::int64_t length : tensor->shape()) {
        RedisModule_ReplyWithLongLong(context, length);
    }
    if (blob) {
        reply_text(context, "blob");
        reply_text(context, tensor->bytes());
    }
    return REDISMODULE_OK;
}

}  // namespace tensorstore
