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
    static constexpr const char* command = "AI.SCRIPTSET";

    // Throws what torch throws, unless `from_file`: then it says so when it is run.
    Script(std::string device, std::string tag, std::string source, bool from_file = false);

    const std::string& device() const { return device_; }
    const std::string& tag() const { return tag_; }
    const std::string& source() const { return source_; }
    Tensors run(const std::string& function, const Tensors& inputs);

    void describe(Words& words) const;
    void save(Writer& file) const;
    static std::shared_ptr<Script> load(Reader& file);
    std::size_t memory() const { return sizeof(Script) + source_.capacity(); }

    Statistics statistics;

  private:
    void compile();

    std::string device_;
    std::string tag_;
    std::string source_;
    std::shared_ptr<torch::jit::CompilationUnit> unit_;
    std::map<std::string, std::unique_ptr<Callable>> functions_;
    std::string unusable_;   // why, if it came from a file and cannot run here
};

int script_set(RedisModuleCtx* context, Arguments& arguments);
int script_run(RedisModuleCtx* context, Arguments& arguments);
void script_run_keys(RedisModuleCtx* context, Arguments& arguments);
int script_get(RedisModuleCtx* context, Arguments& arguments);
int script_delete(RedisModuleCtx* context, Arguments& arguments);

}  // namespace tensorstore
