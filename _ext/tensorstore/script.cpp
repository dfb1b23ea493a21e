#include "script.h"

#include <torch/csrc/api/include/torch/jit.h>

#include "execution.h"
#include "model.h"

namespace tensorstore {

Script::Script(std::string device, std::string tag, std::string source, bool from_file)
    : device_(std::move(device)), tag_(std::move(tag)), source_(std::move(source)) {
    try {
        compile();
    } catch (...) {
        if (!from_file) {
            throw;
        }
        unusable_ = current_error();
    }
}

void Script::compile() {
    unit_ = torch::jit::compile(source_);
    for (torch::jit::Function* function : unit_->get_functions()) {
        functions_[function->name()] = std::make_unique<Callable>(*function, std::nullopt, device_);
    }
}

Tensors Script::run(const std::string& function, const Tensors& inputs) {
    if (!unusable_.empty()) {
        ++statistics.calls;
        ++statistics.errors;
        throw CommandError(unusable_);
    }
    const auto found = functions_.find(function);
    if (found == functions_.end()) {
        throw CommandError("ERR the script has no function " + in_quotes(function));
    }
    return statistics.count(*found->second, inputs);
}

void Script::describe(Words& words) const {
    words.add(device_).add("TAG").add(tag_).add("SOURCE").add(source_);
}

void Script::save(Writer& file) const {
    file.bytes(device_);
    file.bytes(tag_);
    file.bytes(source_);
}

std::shared_ptr<Script> Script::load(Reader& file) {
    std::string device = file.text();
    std::string tag = file.text();
    return std::make_shared<Script>(std::move(device), std::move(tag), file.text(), true);
}

// AI.SCRIPTSET key device [TAG t] SOURCE text
int script_set(RedisModuleCtx* context, Arguments& arguments) {
    const std::string name(arguments.text("key"));
    const std::string device = checked_device(arguments.text("device"));
    const std::string tag(arguments.take("TAG") ? arguments.text("tag") : "");
    if (!arguments.take("SOURCE")) {
        throw CommandError("ERR AI.SCRIPTSET lacks its SOURCE");
    }
    const std::string source(arguments.text("source"));
    arguments.expect_done();
    return execute(context, "CPU", no_timeout, [=]() -> Finish {
        auto script = std::make_shared<Script>(device, tag, source);
        return [name, script](RedisModuleCtx* context) {
            put_everywhere(context, name, script);
            return reply_ok(context);
        };
    });
}

// AI.SCRIPTRUN key function INPUTS name ... OUTPUTS name ...
int script_run(RedisModuleCtx* context, Arguments& arguments) {
    const std::shared_ptr<Script> script = fetch<Script>(context, arguments.text("key"));
    const std::string function(arguments.text("function"));
    Tensors inputs;
    if (arguments.take("INPUTS")) {
        while (!arguments.done() && !arguments.take("OUTPUTS")) {
            inputs.push_back(fetch<Tensor>(context, arguments.text("input")));
        }
    } else {
        arguments.take("OUTPUTS");
    }
    std::vector<std::string> outputs;
    while (!arguments.done()) {
        outputs.emplace_back(arguments.text("output"));
    }
    return execute(context, script->device(), no_timeout, [=]() -> Finish {
        return [outputs, results = script->run(function, inputs)](RedisModuleCtx* context) {
            return store_outputs(context, outputs, results);
        };
    });
}

void script_run_keys(RedisModuleCtx* context, Arguments& arguments) {
    all_are_keys(context, arguments, 1);
    arguments.text("function");
    if (arguments.take("INPUTS")) {
        while (!arguments.done() && !arguments.take("OUTPUTS")) {
            all_are_keys(context, arguments, 1);
        }
    } else {
        arguments.take("OUTPUTS");
    }
    while (!arguments.done()) {
        all_are_keys(context, arguments, 1);
    }
}

// AI.SCRIPTGET key [SOURCE]
int script_get(RedisModuleCtx* context, Arguments& arguments) {
    const std::shared_ptr<Script> script = fetch<Script>(context, arguments.text("key"));
    const bool source = arguments.take("SOURCE");
    arguments.expect_done();
    if (source) {
        return reply_text(context, script->source());
    }
    RedisModule_ReplyWithArray(context, 6);
    for (const std::string& text : {std::string("device"), script->device(), std::string("tag"),
                                    script->tag(), std::string("source"), script->source()}) {
        reply_text(context, text);
    }
    return REDISMODULE_OK;
}

// AI.SCRIPTDEL key
int script_delete(RedisModuleCtx* context, Arguments& arguments) {
    const std::string_view name = arguments.text("key");
    arguments.expect_done();
    remove<Script>(context, name);
    return reply_ok(context);
}

}  // namespace tensorstore
