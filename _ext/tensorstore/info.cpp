#include "info.h"

#include "model.h"
#include "script.h"

namespace tensorstore {

namespace {

int reply_info(RedisModuleCtx* context, std::string_view key, const char* type, std::string_view device,
               std::string_view tag, Statistics& statistics, bool reset) {
    RedisModule_ReplyWithArray(context, 18);
    for (const std::string_view text :
         {std::string_view("key"), key, std::string_view("type"), std::string_view(type),
          std::string_view("backend"), std::string_view("TORCH"), std::string_view("device"), device,
          std::string_view("tag"), tag}) {
        reply_text(context, text);
    }
    const auto reply_number = [context](const char* name, long long value) {
        reply_text(context, name);
        RedisModule_ReplyWithLongLong(context, value);
    };
    reply_number("duration", statistics.duration_us);
    reply_number("samples", statistics.samples);
    reply_number("calls", statistics.calls);
    reply_number("errors", statistics.errors);
    if (reset) {
        statistics.reset();
    }
    return REDISMODULE_OK;
}

}  // namespace

// AI.INFO key [RESETSTAT]: the counters, which are set back then
int info(RedisModuleCtx* context, Arguments& arguments) {
    const std::string_view name = arguments.text("key");
    const bool reset = arguments.take("RESETSTAT");
    arguments.expect_done();
    if (Key(context, name, REDISMODULE_READ).holds<Script>()) {
        const std::shared_ptr<Script> script = fetch<Script>(context, name);
        return reply_info(context, name, "SCRIPT", script->device(), script->tag(), script->statistics, reset);
    }
    const std::shared_ptr<Model> model = fetch<Model>(context, name);
    const Model::Settings& settings = model->settings();
    return reply_info(context, name, "MODEL", settings.device, settings.tag, model->statistics, reset);
}

}  // namespace tensorstore
