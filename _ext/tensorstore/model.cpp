#include "model.h"

#include <sstream>

#include <torch/csrc/jit/serialization/import.h>

#include "execution.h"

namespace tensorstore {

namespace {

// The largest piece in which clients send a model and get it back; the default is RedisAI's.
std::size_t model_chunk_size = 535822336;

torch::jit::Module loaded(std::string_view blob) {
    std::istringstream stream{std::string(blob)};
    try {
        return torch::jit::load(stream, at::kCPU);
    } catch (const c10::Error& error) {
        throw CommandError(std::string("ERR this is not TorchScript that torch can load: ") +
                           error.what_without_backtrace());
    }
}

// Calls `use` with each piece of `whole` that is no larger than what clients take.
template <class Use>
void in_chunks(std::string_view whole, Use use) {
    for (std::size_t start = 0; start < whole.size(); start += model_chunk_size) {
        use(whole.substr(start, model_chunk_size));
    }
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

void check_batching(const Model::Settings& settings) {
    if (settings.batch_size == 0 && (settings.min_batch_size > 0 || settings.min_batch_timeout > 0)) {
        throw CommandError("ERR MINBATCHSIZE and MINBATCHTIMEOUT need a BATCHSIZE, the most of a batch");
    }
    if (settings.min_batch_size > settings.batch_size) {
        throw CommandError("ERR MINBATCHSIZE is more than BATCHSIZE, the most of a batch");
    }
}

}  // namespace

Model::Model(Settings settings, Bytes blob, bool from_file)
    : settings_(std::move(settings)), blob_(std::move(blob)) {
    try {
        compile();
    } catch (...) {
        if (!from_file) {
            throw;
        }
        unusable_ = current_error();
    }
    if (settings_.batch_size > 0) {
        const auto most = static_cast<std::int64_t>(settings_.batch_size);
        const auto least = static_cast<std::int64_t>(settings_.min_batch_size);
        const auto patience = static_cast<long long>(settings_.min_batch_timeout);
        batching_ = std::make_shared<Batching>(
            Batching::Limits{most, least, patience}, settings_.device,
            [this](std::vector<Request> batch) { answer(std::move(batch)); });
    }
}

void Model::compile() {
    module_ = loaded(blob());
    if (settings_.device != "CPU") {
        const std::string index = settings_.device.size() > 4 ? settings_.device.substr(4) : "0";
        module_.to(at::Device("cuda:" + index));
    }
    torch::jit::Function& forward = module_.get_method("forward").function();
    forward_ = std::make_unique<Callable>(forward, module_._ivalue(), settings_.device);
}

Tensors Model::run(const Tensors& inputs) {
    if (!forward_) {
        ++statistics.calls;
        ++statistics.errors;
        throw CommandError(unusable_);
    }
    return statistics.count(*forward_, inputs);
}

void Model::retire() {
    if (batching_) {
        batching_->close();
    }
}

void Model::answer(std::vector<Request> batch) {
    const auto finish = [](std::vector<std::string> names, Tensors outputs) -> Finish {
        return [names = std::move(names), outputs = std::move(outputs)](RedisModuleCtx* context) {
            return store_outputs(context, names, outputs);
        };
    };
    if (batch.size() > 1 && forward_) {
        try {
            std::vector<Tensors> outputs = pass(batch);
            std::vector<Finish> finishes;
            for (std::size_t index = 0; index < batch.size(); ++index) {
                finishes.push_back(finish(batch[index].outputs, std::move(outputs[index])));
            }
            for (std::size_t index = 0; index < batch.size(); ++index) {
                batch[index].job->done(std::move(finishes[index]));
            }
            return;
        } catch (...) {
            // Each alone gets what is its own, be it the error of another's values.
        }
    }
    for (Request& request : batch) {
        try {
            request.job->done(finish(request.outputs, run(request.inputs)));
        } catch (...) {
            request.job->failed(current_error());
        }
    }
}

std::vector<Tensors> Model::pass(const std::vector<Request>& batch) {
    const auto start = std::chrono::steady_clock::now();
    Arrays inputs;
    for (std::size_t index = 0; index < batch.front().inputs.size(); ++index) {
        Tensors parts;
        for (const Request& request : batch) {
            parts.push_back(request.inputs[index]);
        }
        inputs.push_back(Tensor::to_torch(parts));
    }
    std::int64_t samples = 0;
    for (const Request& request : batch) {
        samples += samples_of(request.inputs);
    }
    const Arrays outputs = (*forward_)(inputs);
    for (const at::Tensor& output : outputs) {
        if (output.dim() == 0 || output.size(0) != samples) {
            throw CommandError("ERR the outputs do not have a row for each row of the inputs");
        }
    }
    std::vector<Tensors> answers;
    std::int64_t first = 0;
    for (const Request& request : batch) {
        const std::int64_t length = samples_of(request.inputs);
        Tensors& own = answers.emplace_back();
        for (const at::Tensor& output : outputs) {
            own.push_back(Tensor::from_torch(output.narrow(0, first, length)));
        }
        first += length;
    }
    statistics.calls += static_cast<long long>(batch.size());
    statistics.passed(samples, std::chrono::steady_clock::now() - start);
    return answers;
}

void Model::describe(Words& words) const {
    words.add("TORCH").add(settings_.device).add("TAG").add(settings_.tag);
    const auto add_number = [&words](const char* keyword, std::uint64_t number) {
        if (number > 0) {
            words.add(keyword).add(static_cast<long long>(number));
        }
    };
    add_number("BATCHSIZE", settings_.batch_size);
    add_number("MINBATCHSIZE", settings_.min_batch_size);
    add_number("MINBATCHTIMEOUT", settings_.min_batch_timeout);
    words.add("INPUTS").add(settings_.inputs).add("OUTPUTS").add(settings_.outputs).add("BLOB");
    in_chunks(blob(), [&words](std::string_view chunk) { words.add(chunk); });
}

void Model::save(Writer& file) const {
    file.bytes(settings_.device);
    file.bytes(settings_.tag);
    file.number(settings_.batch_size);
    file.number(settings_.min_batch_size);
    file.number(settings_.min_batch_timeout);
    save_names(file, settings_.inputs);
    save_names(file, settings_.outputs);
    file.bytes(blob());
}

std::shared_ptr<Model> Model::load(Reader& file) {
    Settings settings;
    settings.device = file.text();
    settings.tag = file.text();
    settings.batch_size = file.number();
    settings.min_batch_size = file.number();
    settings.min_batch_timeout = file.number();
    settings.inputs = load_names(file);
    settings.outputs = load_names(file);
    return std::make_shared<Model>(std::move(settings), file.bytes(), true);
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
    check_batching(settings);
    std::string blob(arguments.text("blob"));
    while (!arguments.done()) {
        blob += arguments.text("blob");
    }
    return execute(context, "CPU", no_timeout, [=, blob = std::move(blob)]() -> Finish {
        auto model = std::make_shared<Model>(settings, Bytes(blob));
        return [name, model](RedisModuleCtx* context) {
            put_everywhere(context, name, model);
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
    if (model->batching() && samples_of(tensors) > 0 && can_block(context)) {
        Job* job = block(context, timeout_ms);
        model->batching()->add(context, {std::move(tensors), std::move(outputs), job, model});
        return REDISMODULE_OK;
    }
    return execute(context, model->settings().device, timeout_ms, [=]() -> Finish {
        return [outputs, results = model->run(tensors)](RedisModuleCtx* context) {
            return store_outputs(context, outputs, results);
        };
    });
}

void model_execute_keys(RedisModuleCtx* context, Arguments& arguments) {
    all_are_keys(context, arguments, 1);
    while (!arguments.done()) {
        if (arguments.take("INPUTS") || arguments.take("OUTPUTS")) {
            all_are_keys(context, arguments, arguments.integer("count of names"));
        } else {
            arguments.text("option");
        }
    }
}

// AI.MODELGET key [META] [BLOB]
int model_get(RedisModuleCtx* context, Arguments& arguments) {
    const std::shared_ptr<Model> model = fetch<Model>(context, arguments.text("key"));
    const bool meta = arguments.take("META");
    const bool blob = arguments.take("BLOB");
    arguments.expect_done();
    const auto reply_blob = [&] {
        const std::string_view whole = model->blob();
        if (whole.size() <= model_chunk_size) {
            return reply_text(context, whole);
        }
        RedisModule_ReplyWithArray(context, static_cast<long>((whole.size() - 1) / model_chunk_size + 1));
        in_chunks(whole, [context](std::string_view chunk) { reply_text(context, chunk); });
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
        return RedisModule_ReplyWithLongLong(context, static_cast<long long>(model_chunk_size));
    }
    const long long size = arguments.integer("chunk size");
    arguments.expect_done();
    if (size == 0) {
        throw CommandError("ERR the chunk size must be 1 or more");
    }
    model_chunk_size = static_cast<std::size_t>(size);
    return reply_ok(context);
}

int store_outputs(RedisModuleCtx* context, const std::vector<std::string>& names, const Tensors& outputs) {
    if (names.size() != outputs.size()) {
        throw CommandError("ERR it gave " + std::to_string(outputs.size()) + " tensors for " +
                           std::to_string(names.size()) + " names of outputs");
    }
    for (const std::string& name : names) {   // all of them, before any is written
        const Key key(context, name, REDISMODULE_READ);
        if (!key.empty() && !key.holds<Tensor>()) {
            fail_wrong_type<Tensor>(name);
        }
    }
    for (std::size_t index = 0; index < names.size(); ++index) {
        put_everywhere(context, names[index], outputs[index]);
    }
    return reply_ok(context);
}

}  // namespace tensorstore
