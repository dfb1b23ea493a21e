// Tensors: never changed once made, so that executions read them while the key takes a new one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "keyspace.h"

namespace tensorstore {

struct DType {
    const char* name;   // as commands and replies spell it
    at::ScalarType scalar;
    std::size_t size;   // bytes
};

class Tensor {
  public:
    static constexpr const char* noun = "tensor";

    static constexpr const char* command = "AI.TENSORSET";

    // Row-major, native-endian. Throws unless there are exactly the bytes that the shape asks for.
    Tensor(const DType& dtype, std::vector<std::int64_t> shape, Bytes bytes);

    // A copy of what torch computed, brought to the CPU. Throws on a type that has no name here.
    static std::shared_ptr<Tensor> from_torch(const at::Tensor& tensor);

    // A copy for torch, which wants memory that is aligned and may write to what it is given. Several
    // tensors of one type and shape, but for the first length, are put together along that.
    static at::Tensor to_torch(const std::vector<std::shared_ptr<Tensor>>& parts);

    const DType& dtype() const { return *dtype_; }
    const std::vector<std::int64_t>& shape() const { return shape_; }
    std::string_view bytes() const { return bytes_.view(); }

    void describe(Words& words) const;
    void save(Writer& file) const;
    static std::shared_ptr<Tensor> load(Reader& file);
    std::size_t memory() const;

  private:
    const DType* dtype_;
    std::vector<std::int64_t> shape_;
    Bytes bytes_;
};

using Tensors = std::vector<std::shared_ptr<Tensor>>;

int tensor_set(RedisModuleCtx* context, Arguments& arguments);
int tensor_get(RedisModuleCtx* context, Arguments& arguments);

}  // namespace tensorstore
