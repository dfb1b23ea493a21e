// Scripts: TorchScript source with functions that clients call by name.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "torchscript.h"

namespace tensorstore {

class Script {
  public:
    static constexpr const char* noun = "script";

    // Compiles `source`. Throws what torch throws.
    Script(std::string device, std::string tag, std::string source);

    const std::string& device() const { return device_; }
    const std::string& tag() const { return tag_; }
    const std::string& source() const { return source_; }
    Tensors run(const std::string& function, const Tensors& inputs);

    void save(Writer& file) const;
    static std::shared_ptr<Script> load(Reader& file);
    std::size_t memory() const { return sizeof(Script) + source_.capacity(); }

    Statistics statistics;

  private:
    std::string device_;
    std::string tag_;
    std::string source_;
    std::shared_ptr<torch::jit::CompilationUnit> unit_;
    std::map<std::string, std::unique_ptr<Callable>> functions_;
};

int script_set(RedisModuleCtx* context, Arguments& arguments);
int script_run(RedisModuleCtx* context, Arguments& arguments);
int script_get(RedisModuleCtx* context, Arguments& arguments);
int script_delete(RedisModuleCtx* context, Arguments& arguments);

}  // namespace tensorstore
