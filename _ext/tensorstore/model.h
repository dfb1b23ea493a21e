// Models: TorchScript modules under keys of their own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "torchscript.h"

namespace tensorstore {

class Model {
  public:
    static constexpr const char* noun = "model";

    struct Settings {
        std::string device;
        std::string tag;
        std::uint64_t batch_size = 0;          // kept, not yet acted upon
        std::uint64_t min_batch_size = 0;
        std::uint64_t min_batch_timeout = 0;   // ms
        std::vector<std::string> inputs;       // names that TorchScript does not need
        std::vector<std::string> outputs;
    };

    // Compiles `blob`, which takes long. Throws what torch throws.
    Model(Settings settings, Blob blob);

    const Settings& settings() const { return settings_; }
    const Blob& blob() const { return blob_; }
    Tensors run(const Tensors& inputs) { return statistics.count(*forward_, inputs); }

    void save(Writer& file) const;
    static std::shared_ptr<Model> load(Reader& file);
    std::size_t memory() const { return sizeof(Model) + blob_.size(); }

    Statistics statistics;

  private:
    Settings settings_;
    Blob blob_;
    torch::jit::Module module_;
    std::unique_ptr<Callable> forward_;
};

int model_store(RedisModuleCtx* context, Arguments& arguments);
int model_execute(RedisModuleCtx* context, Arguments& arguments);
int model_get(RedisModuleCtx* context, Arguments& arguments);
int model_delete(RedisModuleCtx* context, Arguments& arguments);
int config(RedisModuleCtx* context, Arguments& arguments);

// Replies to the client that gave `names` for `outputs`: puts them there, if there are as many.
int store_outputs(RedisModuleCtx* context, const std::vector<std::string>& names, const Tensors& outputs);

}  // namespace tensorstore
