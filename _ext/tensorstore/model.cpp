#include "model.h"

#include <sstream>

#include <torch/csrc/jit/serialization/import.h>

#include "execution.h"

namespace tensorstore {

namespace {

// The largest piece in which clients send a model and get it back; the default is RedisAI's.
long long model_chunk_size = 535822336;

torch::jit::Module compile(const Blob& blob) {
    std::istringstream stream{std::string(blob.view())};
    try {
        return torch::jit::load(stream, at::kCPU);
    } catch (const c10::Error& error) {
        throw CommandError(std::string("ERR this is not TorchScript that torch can load: ") +
                           error.what_without_backtrace());
    }
}

Blob joined(const std::vector<std::string_view>& chunks) {
    std::size_t size = 0;
    for (const std::string_view chunk : chunks) {
        size += chunk.size();
    }
    Blob whole(size);
    char* end = whole.data();
    for (const std::string_view chunk : chunks) {
        end += chunk.copy(end, chunk.size());
    }
    return whole;
}

void save_names(Writer& file, const std::vector<std::string>& names) {
    file.number(names.size());
    for (const std::string& name : names) {
        file.bytes(name);
    }
}

std::vector<std::string> load_names(Reader& file) {
    std::vector<std::string> names;
    for (std::uint64_t left = file.number(); left > 0; --left) {
        names.push_back(file.text());
    }
    return names;
}

}  // namespace

Model::Model(Settings settings, Blob blob)
    : settings_(std::move(settings)), blob_(std::move(blob)), module_(compile(blob_)) {
    if (settings_.device != "CPU") {
        const std::string index = settings_.device.size() > 4 ? settings_.device.substr(4) : "0";
        module_.to(at::Device("cuda:" + index));
    }
    torch::jit::Function& forward = module_.get_method("forward").function();
    forward_ = std::make_unique<Callable>(forward, module_._ivalue(), settings_.device);
}

void Model::save(Writer& file) const {
    file.bytes(settings_.device);
    file.bytes(settings_.tag);
    file.number(settings_.batch_size);
    file.number(settings_.min_batch_size);
    file.number(settings_.min_batch_timeout);
    save_names(file, settings_.inputs);
    save_names(file, settings_.outputs);
    file.bytes(blob_.view());
}

std::shared_ptr<Model> Model::load(Reader& file) {
    Settings settings;
    settings.device = checked_device(file.text());
    settings.tag = file.text();
    settings.batch_size = file.number();
    settings.min_batch_size = file.number();
    settings.min_batch_timeout = file.number();
    settings.inputs = load_names(file);
    settings.outputs = load_names(file);
    return std::make_shared<Model>(std::move(settings), file.blob());
}

// AI.MODELSTORE key TORCH device [TAG t] [BATCHSIZE n] [MINBATCHSIZE n] [MINBATCHTIMEOUT n]
//               [INPUTS n name ...] [OUTPUTS n name ...] BLOB chunk ...
int model_store(RedisModuleCtx* context, Arguments& arguments) {
    const std::string name(arguments.text("key"));
    if (!arguments.take("TORCH")) {
        throw CommandError("ERR this store runs models of the backend TORCH only");
    }
    Model::Settings settings;
    settings.device = checked_device(arguments.text("device"));
    while (!arguments.take("BLOB")) {
        if (arguments.take("TAG")) {
            settings.tag = arguments.text("tag");
        } else if (arguments.take("BATCHSIZE")) {
            settings.batch_size = arguments.integer("batch size");
        } else if (arguments.take("MINBATCHSIZE")) {
            settings.min_batch_size = arguments.integer("least batch size");
        } else if (arguments.take("MINBATCHTIMEOUT")) {
            settings.min_batch_timeout = arguments.integer("batch timeout");
        } else if (arguments.take("INPUTS")) {
            settings.inputs = arguments.names("inputs");
        } else if (arguments.take("OUTPUTS")) {
            settings.outputs = arguments.names("outputs");
        } else {
            arguments.text("BLOB");
            throw CommandError("ERR AI.MODELSTORE has an argument that is none of TAG, BATCHSIZE, "
                               "MINBATCHSIZE, MINBATCHTIMEOUT, INPUTS, OUTPUTS, BLOB");
        }
    }
    std::vector<std::string_view> chunks{arguments.text("blob")};
    while (!arguments.done()) {
        chunks.push_back(arguments.text("blob"));
    }
    const auto blob = std::make_shared<Blob>(joined(chunks));
    return execute(context, "CPU", no_timeout, [=]() -> Finish {
        auto model = std::make_shared<Model>(settings, std::move(*blob));
        return [name, model](RedisModuleCtx* context) {
            store(context, name, model);
            return reply_ok(context);
        };
    });
}

// AI.MODELEXECUTE key INPUTS n name ... OUTPUTS n name ... [TIMEOUT ms]
int model_execute(RedisModuleCtx* context, Arguments& arguments) {
    const std::shared_ptr<Model> model = fetch<Model>(context, arguments.text("key"));
    std::vector<std::string> inputs;
    std::vector<std::string> outputs;
    long long timeout_ms = no_timeout;
    while (!arguments.done()) {
        if (arguments.take("INPUTS")) {
            inputs = arguments.names("inputs");
        } else if (arguments.take("OUTPUTS")) {
            outputs = arguments.names("outputs");
        } else if (arguments.take("TIMEOUT")) {
            timeout_ms = arguments.integer("timeout");
        } else {
            arguments.expect_done();
        }
    }
    Tensors tensors;
    for (const std::string& input : inputs) {
        tensors.push_back(fetch<Tensor>(context, input));
    }
    return execute(context, model->settings().device, timeout_ms, [=]() -> Finish {
        return [outputs, results = model->run(tensors)](RedisModuleCtx* context) {
            return store_outputs(context, outputs, results);
        };
    });
}

// AI.MODELGET key [META] [BLOB]
int model_get(RedisModuleCtx* context, Arguments& arguments) {
    const std::shared_ptr<Model> model = fetch<Model>(context, arguments.text("key"));
    const bool meta = arguments.take("META");
    const bool blob = arguments.take("BLOB");
    arguments.expect_done();
    const auto reply_blob = [&] {
        const std::string_view whole = model->blob().view();
        const auto chunk = static_cast<std::size_t>(model_chunk_size);
        if (whole.size() <= chunk) {
            return reply_text(context, whole);
        }
        RedisModule_ReplyWithArray(context, static_cast<long>((whole.size() + chunk - 1) / chunk));
        for (std::size_t start = 0; start < whole.size(); start += chunk) {
            reply_text(context, whole.substr(start, chunk));
        }
        return REDISMODULE_OK;
    };
    if (blob && !meta) {
        return reply_blob();
    }
    const Model::Settings& settings = model->settings();
    const auto reply_number = [&](const char* name, std::uint64_t value) {
        reply_text(context, name);
        RedisModule_ReplyWithLongLong(context, static_cast<long long>(value));
    };
    const auto reply_names = [&](const char* name, const std::vector<std::string>& values) {
        reply_text(context, name);
        RedisModule_ReplyWithArray(context, static_cast<long>(values.size()));
        for (const std::string& value : values) {
            reply_text(context, value);
        }
    };
    RedisModule_ReplyWithArray(context, blob ? 18 : 16);
    for (const std::string& text : {std::string("backend"), std::string("TORCH"), std::string("device"),
                                    settings.device, std::string("tag"), settings.tag}) {
        reply_text(context, text);
    }
    reply_number("batchsize", settings.batch_size);
    reply_number("minbatchsize", settings.min_batch_size);
    reply_number("minbatchtimeout", settings.min_batch_timeout);
    reply_names("inputs", settings.inputs);
    reply_names("outputs", settings.outputs);
    if (blob) {
        reply_text(context, "blob");
        reply_blob();
    }
    return REDISMODULE_OK;
}

// AI.MODELDEL key
int model_delete(RedisModuleCtx* context, Arguments& arguments) {
    const std::string_view name = arguments.text("key");
    arguments.expect_done();
    remove<Model>(context, name);
    return reply_ok(context);
}

// AI.CONFIG GET MODEL_CHUNK_SIZE | AI.CONFIG MODEL_CHUNK_SIZE n
int config(RedisModuleCtx* context, Arguments& arguments) {
    const bool get = arguments.take("GET");
    if (!arguments.take("MODEL_CHUNK_SIZE")) {
        throw CommandError("ERR AI.CONFIG knows MODEL_CHUNK_SIZE only");
    }
    if (get) {
        arguments.expect_done();
        return RedisModule_ReplyWithLongLong(context, model_chunk_size);
    }
    const long long size = arguments.integer("chunk size");
    arguments.expect_done();
    if (size == 0) {
        throw CommandError("ERR the chunk size must be 1 or more");
    }
    model_chunk_size = size;
    return reply_ok(context);
}

int store_outputs(RedisModuleCtx* context, const std::vector<std::string>& names, const Tensors& outputs) {
    if (names.size() != outputs.size()) {
        throw CommandError("ERR it gave " + std::to_string(outputs.size()) + " tensors for " +
                           std::to_string(names.size()) + " names of outputs");
    }
    for (std::size_t index = 0; index < names.size(); ++index) {
        store(context, names[index], outputs[index]);
    }
    return reply_ok(context);
}

}  // namespace tensorstore
