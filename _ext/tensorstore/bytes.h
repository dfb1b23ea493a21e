// Bytes in the server's own memory, so that `maxmemory` counts them, as a string that the server knows.
#pragma once

#include <string_view>
#include <utility>

#include "module_api.h"

namespace tensorstore {

class Bytes {
  public:
    explicit Bytes(std::string_view bytes)
        : Bytes(RedisModule_CreateString(nullptr, bytes.data(), bytes.size())) {}

    // Takes over a string that the server gave away.
    static Bytes adopt(RedisModuleString* string) { return Bytes(string); }

    // The word of a command itself, not copied. Its count of owners is no atomic, so it is copied where
    // the command may outlive what becomes of it: in a transaction or a Lua script, which can hand the
    // keyspace to another thread to be emptied; and where a server older than 7.0 leaves the word with
    // much memory that is not its own.
    static Bytes keep(RedisModuleCtx* context, RedisModuleString* word) {
        constexpr int outlives = REDISMODULE_CTX_FLAGS_LUA | REDISMODULE_CTX_FLAGS_MULTI;
        if (!RedisModule_TrimStringAllocation || RedisModule_GetContextFlags(context) & outlives) {
            return Bytes(view(word));
        }
        Bytes kept(RedisModule_HoldString(nullptr, word));
        RedisModule_TrimStringAllocation(kept.string_);
        return kept;
    }

    Bytes(Bytes&& other) noexcept : string_(std::exchange(other.string_, nullptr)) {}
    Bytes& operator=(Bytes&&) = delete;
    ~Bytes() {
        if (string_) {
            RedisModule_FreeString(nullptr, string_);
        }
    }

    RedisModuleString* string() const { return string_; }
    std::string_view view() const { return view(string_); }

    static std::string_view view(const RedisModuleString* string) {
        std::size_t length = 0;
        const char* start = RedisModule_StringPtrLen(string, &length);
        return {start, length};
    }

  private:
    explicit Bytes(RedisModuleString* string) : string_(string) {}

    RedisModuleString* string_;
};

}  // namespace tensorstore
