// The store's Redis/Valkey module: tensors in the keyspace and TorchScript beside them, in the command
// language that SmartRedis clients speak.
#include <malloc.h>

#include <ATen/Parallel.h>

#include "command.h"
#include "execution.h"
#include "info.h"
#include "model.h"
#include "script.h"
#include "tensor.h"

namespace tensorstore {

namespace {

constexpr int module_version = 1;

struct Command {
    const char* name;
    RedisModuleCmdFunc function;
    const char* flags;
    int first_key;   // 0: none
};

// `deny-oom` is what holds a client back when the store has reached its memory limit.
constexpr Command commands[] = {
    {"AI.TENSORSET", command<tensor_set>, "write deny-oom", 1},
    {"AI.TENSORGET", command<tensor_get>, "readonly", 1},
    {"AI.MODELSTORE", command<model_store>, "write deny-oom", 1},
    {"AI.MODELEXECUTE", command<model_execute, model_execute_keys>,
     "write deny-oom getkeys-api", 1},
    {"AI.MODELGET", command<model_get>, "readonly", 1},
    {"AI.MODELDEL", command<model_delete>, "write", 1},
    {"AI.SCRIPTSET", command<script_set>, "write deny-oom", 1},
    {"AI.SCRIPTRUN", command<script_run, script_run_keys>, "write deny-oom getkeys-api", 1},
    {"AI.SCRIPTGET", command<script_get>, "readonly", 1},
    {"AI.SCRIPTDEL", command<script_delete>, "write", 1},
    {"AI.INFO", command<info>, "readonly", 1},
    {"AI.CONFIG", command<config>, "admin", 0},
};

// THREADS_PER_QUEUE n, INTRA_OP_PARALLELISM n, INTER_OP_PARALLELISM n; 0 is the default. By default an
// operation uses one thread and a queue several: ranks ask at the same time, each for little.
void configure(Arguments& arguments) {
    int threads_per_queue = 0;
    int intra_op = 1;
    int inter_op = 1;
    while (!arguments.done()) {
        if (arguments.take("THREADS_PER_QUEUE")) {
            threads_per_queue = static_cast<int>(arguments.integer("number of threads"));
        } else if (arguments.take("INTRA_OP_PARALLELISM")) {
            intra_op = static_cast<int>(arguments.integer("number of threads"));
        } else if (arguments.take("INTER_OP_PARALLELISM")) {
            inter_op = static_cast<int>(arguments.integer("number of threads"));
        } else {
            arguments.expect_done();
        }
    }
    set_threads_per_queue(threads_per_queue);
    at::set_num_threads(std::max(intra_op, 1));
    at::set_num_interop_threads(std::max(inter_op, 1));
}

// A forward pass takes and frees the same hundreds of KiB each time. By default malloc returns them to the
// system, which hands them out again page by page and zeroed: half of the time of a small network.
void keep_freed_memory() {
    constexpr int most = 64 << 20;   // bytes, of each worker
    mallopt(M_MMAP_THRESHOLD, most / 2);
    mallopt(M_TRIM_THRESHOLD, most);
}

bool load(RedisModuleCtx* context) {
    keep_freed_memory();
    bool loaded = register_type<Tensor>(context, "pf-tensor") &&
                  register_type<Model>(context, "pfl-model") &&
                  register_type<Script>(context, "pf-script") && outlive_workers(context);
    for (const Command& command : commands) {
        const int key = command.first_key;
        loaded = loaded && RedisModule_CreateCommand(context, command.name, command.function,
                                                     command.flags, key, key, key) == REDISMODULE_OK;
    }
    return loaded;
}

}  // namespace

}  // namespace tensorstore

extern "C" __attribute__((visibility("default"))) int RedisModule_OnLoad(
    RedisModuleCtx* context, RedisModuleString** words, int count) {
    using namespace tensorstore;
    if (load_module_api(context) != nullptr) {
        return REDISMODULE_ERR;   // too old a server: it may lack even the log
    }
    RedisModule_SetModuleAttribs(context, "tensorstore", module_version, REDISMODULE_APIVER);
    RedisModule_SetModuleOptions(context, REDISMODULE_OPTIONS_HANDLE_IO_ERRORS);
    try {
        Arguments arguments(words, count, 0);
        configure(arguments);
    } catch (...) {
        RedisModule_Log(context, "warning", "%s", current_error().c_str());
        return REDISMODULE_ERR;
    }
    return load(context) ? REDISMODULE_OK : REDISMODULE_ERR;
}
