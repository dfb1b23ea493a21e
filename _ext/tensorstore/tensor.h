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

    // Row-major, native-endian. Throws unless `blob` has exactly the bytes that the shape asks for.
    Tensor(const DType& dtype, std::vector<std::int64_t> shape, Blob blob);

    // A copy of what torch computed, brought to the CPU. Throws on a type that has no name here.
    static std::shared_ptr<Tensor> from_torch(const at::Tensor& tensor);

    // The same memory as a torch tensor, which keeps `tensor` alive. It must not be written to.
    static at::Tensor to_torch(const std::shared_ptr<Tensor>& tensor);

    const DType& dtype() const { return *dtype_; }
    const std::vector<std::int64_t>& shape() const { return shape_; }
    std::string_view bytes() const { return blob_.view(); }

    void save(Writer& file) const;
    static std::shared_ptr<Tensor> load(Reader& file);
    std::size_t memory() const;

  private:
    const DType* dtype_;
    std::vector<std::int64_t> shape_;
    Blob blob_;
};

using Tensors = std::vector<std::shared_ptr<Tensor>>;

int tensor_set(RedisModuleCtx* context, Arguments& arguments);
int tensor_get(RedisModuleCtx* context, Arguments& arguments);

}  // namespace tensorstore
