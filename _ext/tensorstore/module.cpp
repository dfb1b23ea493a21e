// The store's Redis/Valkey module: tensors in the keyspace and TorchScript beside them, in the command
// language that SmartRedis clients speak.
#include "command.h"
#include "tensor.h"

namespace tensorstore {

namespace {

constexpr int module_version = 1;

struct Command {
    const char* name;
    RedisModuleCmdFunc function;
    const char* flags;
};

// `deny-oom` is what holds a client back when the store has reached its memory limit.
constexpr Command commands[] = {
    {"AI.TENSORSET", command<tensor_set>, "write deny-oom"},
    {"AI.TENSORGET", command<tensor_get>, "readonly"},
};

}  // namespace

}  // namespace tensorstore

extern "C" __attribute__((visibility("default"))) int RedisModule_OnLoad(
    RedisModuleCtx* context, RedisModuleString** words, int count) {
    using namespace tensorstore;
    if (load_module_api(context) != nullptr) {
        return REDISMODULE_ERR;   // too old a server, which we cannot even write to the log of
    }
    RedisModule_SetModuleAttribs(context, "tensorstore", module_version, REDISMODULE_APIVER);
    RedisModule_SetModuleOptions(context, REDISMODULE_OPTIONS_HANDLE_IO_ERRORS);
    bool loaded = register_type<Tensor>(context, "pf-tensor");
    for (const Command& command : commands) {
        loaded = loaded && RedisModule_CreateCommand(context, command.name, command.function,
                                                     command.flags, 1, 1, 1) == REDISMODULE_OK;
    }
    (void)words;
    (void)count;
    return loaded ? REDISMODULE_OK : REDISMODULE_ERR;
}
