// Models: TorchScript modules under keys of their own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "batching.h"
#include "torchscript.h"

namespace tensorstore {

class Model {
  public:
    static constexpr const char* noun = "model";
    static constexpr const char* command = "AI.MODELSTORE";

    struct Settings {
        std::string device;
        std::string tag;
        std::uint64_t batch_size = 0;          // samples that several clients may have in a pass; 0: no batching
        std::uint64_t min_batch_size = 0;      // samples that a pass waits for
        std::uint64_t min_batch_timeout = 0;   // ms; 0: it waits for as long as its clients do
        std::vector<std::string> inputs;       // names that TorchScript does not need
        std::vector<std::string> outputs;
    };

    // Compiles `blob`, which takes long. Throws what torch throws, unless `from_file`: all else in a file is
    // to be had, and so is the model, for a server that can run it; here it says why not when it is run.
    Model(Settings settings, Bytes blob, bool from_file = false);

    const Settings& settings() const { return settings_; }
    std::string_view blob() const { return blob_.view(); }
    Tensors run(const Tensors& inputs);

    // Answers requests that can join, in one pass if the model can do that.
    void answer(std::vector<Request> batch);

    // Where requests wait for others; nullptr when the model takes one at a time.
    Batching* batching() const { return batching_.get(); }
    void retire();

    void describe(Words& words) const;
    void save(Writer& file) const;
    static std::shared_ptr<Model> load(Reader& file);
    std::size_t memory() const { return sizeof(Model) + blob().size(); }

    Statistics statistics;

  private:
    void compile();
    std::vector<Tensors> pass(const std::vector<Request>& batch);

    Settings settings_;
    Bytes blob_;
    torch::jit::Module module_;
    std::unique_ptr<Callable> forward_;
    std::shared_ptr<Batching> batching_;
    std::string unusable_;   // why, if it came from a file and cannot run here
};

int model_store(RedisModuleCtx* context, Arguments& arguments);
int model_execute(RedisModuleCtx* context, Arguments& arguments);
void model_execute_keys(RedisModuleCtx* context, Arguments& arguments);
int model_get(RedisModuleCtx* context, Arguments& arguments);
int model_delete(RedisModuleCtx* context, Arguments& arguments);
int config(RedisModuleCtx* context, Arguments& arguments);

// Replies to the client that gave `names` for `outputs`: puts them there, if there are as many.
int store_outputs(RedisModuleCtx* context, const std::vector<std::string>& names, const Tensors& outputs);

}  // namespace tensorstore
