// One command: its arguments read in order, its errors as replies, whatever is thrown.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "module_api.h"

namespace tensorstore {

// What a command replies when it cannot be done. The text starts with the error's code ("ERR ...").
class CommandError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// A name as it stands in a message: in quotes, cut when long, unprintable bytes as '?'.
std::string in_quotes(std::string_view name);

// The words of a command after its name, taken from left to right.
class Arguments {
  public:
    Arguments(RedisModuleString** words, int count, int next = 1)
        : words_(words), count_(count), next_(next) {}

    std::string_view command() const { return at(0); }
    RedisModuleString* word(const char* what);      // the next word; `what` names it when it is missing
    std::string_view text(const char* what);
    long long integer(const char* what);            // the next word as an integer that is not negative
    bool take(std::string_view keyword);            // consumes the next word when it is `keyword`
    std::vector<std::string> names(const char* what);   // a count, then as many words
    bool done() const { return next_ >= count_; }
    void expect_done() const;
    int position() const { return next_; }

  private:
    std::string_view at(int index) const;

    RedisModuleString** words_;
    int count_;
    int next_;
};

// Sends the error that is being handled as the reply. To be called in a catch block.
int reply_with_current_error(RedisModuleCtx* context);
std::string current_error();

int reply_ok(RedisModuleCtx* context);
int reply_text(RedisModuleCtx* context, std::string_view text);

using Body = int (*)(RedisModuleCtx*, Arguments&);

// Tells the server where keys are, beyond the first word.
using Keys = void (*)(RedisModuleCtx*, Arguments&);

// The function that the server calls for a command: `body` with nothing thrown past it. The server asks a
// command that has `keys` for them first, for its cluster's slots and its users' rights.
template <Body body, Keys keys = nullptr>
int command(RedisModuleCtx* context, RedisModuleString** words, int count) noexcept {
    Arguments arguments(words, count);
    try {
        if constexpr (keys != nullptr) {
            if (RedisModule_IsKeysPositionRequest(context)) {
                keys(context, arguments);
                return REDISMODULE_OK;
            }
        }
        return body(context, arguments);
    } catch (...) {
        return RedisModule_IsKeysPositionRequest(context) ? REDISMODULE_OK
                                                          : reply_with_current_error(context);
    }
}

// Every word from the next one on is a key, as far as there are so many.
void all_are_keys(RedisModuleCtx* context, Arguments& arguments, long long count);

}  // namespace tensorstore
