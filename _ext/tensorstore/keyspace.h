// Values of our own types in the server's keyspace, held by shared pointers: what an execution still
// reads outlives the key that it came from.
//
// A type T has: `static constexpr const char* noun`, `void save(Writer&) const`,
// `static std::shared_ptr<T> load(Reader&)`, `std::size_t memory() const`, and `void describe(Words&) const`
// with `static constexpr const char* command`: the words behind the key with which the command makes it
// again. `void retire()`, if it has that, is called when the key gives it up.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include "bytes.h"
#include "command.h"
#include "module_api.h"
#include "words.h"

namespace tensorstore {

class Writer {
  public:
    explicit Writer(RedisModuleIO* file) : file_(file) {}
    void number(std::uint64_t value) { RedisModule_SaveUnsigned(file_, value); }
    void bytes(std::string_view value) { RedisModule_SaveStringBuffer(file_, value.data(), value.size()); }

  private:
    RedisModuleIO* file_;
};

class Reader {
  public:
    explicit Reader(RedisModuleIO* file) : file_(file) {}
    std::uint64_t number() {
        const std::uint64_t value = RedisModule_LoadUnsigned(file_);
        check();
        return value;
    }
    Bytes bytes() {
        RedisModuleString* string = RedisModule_LoadString(file_);
        check();
        return Bytes::adopt(string);
    }
    std::string text() { return std::string(bytes().view()); }

  private:
    void check() {
        if (RedisModule_IsIOError(file_)) {
            throw CommandError("the file ends too early");
        }
    }
    RedisModuleIO* file_;
};

template <class T>
inline RedisModuleType* key_type = nullptr;

template <class T>
bool register_type(RedisModuleCtx* context, const char* nine_letters) {
    RedisModuleTypeMethods methods{};
    methods.version = REDISMODULE_TYPE_METHOD_VERSION;
    methods.rdb_load = [](RedisModuleIO* file, int) -> void* {
        try {
            Reader reader(file);
            return new std::shared_ptr<T>(T::load(reader));
        } catch (...) {
            RedisModule_LogIOError(file, "warning", "cannot load a %s: %s", T::noun, current_error().c_str());
            return nullptr;
        }
    };
    methods.rdb_save = [](RedisModuleIO* file, void* value) {
        Writer writer(file);
        (*static_cast<std::shared_ptr<T>*>(value))->save(writer);
    };
    methods.aof_rewrite = [](RedisModuleIO* file, RedisModuleString* key, void* value) {
        Words words(T::command);
        words.add(Bytes::view(key));
        (*static_cast<std::shared_ptr<T>*>(value))->describe(words);
        words.write(file);
    };
    methods.mem_usage = [](const void* value) {
        return (*static_cast<const std::shared_ptr<T>*>(value))->memory();
    };
    methods.free = [](void* value) {
        auto* held = static_cast<std::shared_ptr<T>*>(value);
        if constexpr (requires { (*held)->retire(); }) {
            (*held)->retire();
        }
        delete held;
    };
    key_type<T> = RedisModule_CreateDataType(context, nine_letters, 0, &methods);
    return key_type<T> != nullptr;
}

// An open key, closed at the end of its scope. Only on the server's thread.
class Key {
  public:
    Key(RedisModuleCtx* context, std::string_view name, int mode)
        : context_(context),
          name_(RedisModule_CreateString(context, name.data(), name.size())),
          key_(RedisModule_OpenKey(context, name_, mode)) {}
    ~Key() {
        if (key_) {
            RedisModule_CloseKey(key_);
        }
        RedisModule_FreeString(context_, name_);
    }
    Key(const Key&) = delete;
    Key& operator=(const Key&) = delete;

    bool empty() const { return !key_ || RedisModule_KeyType(key_) == REDISMODULE_KEYTYPE_EMPTY; }

    template <class T>
    bool holds() const {
        return !empty() && RedisModule_ModuleTypeGetType(key_) == key_type<T>;
    }
    template <class T>
    std::shared_ptr<T> value() const {
        return *static_cast<std::shared_ptr<T>*>(RedisModule_ModuleTypeGetValue(key_));
    }
    template <class T>
    void set(std::shared_ptr<T> value) {
        RedisModule_ModuleTypeSetValue(key_, key_type<T>, new std::shared_ptr<T>(std::move(value)));
    }
    void remove() { RedisModule_DeleteKey(key_); }

  private:
    RedisModuleCtx* context_;
    RedisModuleString* name_;
    RedisModuleKey* key_;
};

template <class T>
[[noreturn]] void fail_wrong_type(std::string_view name) {
    throw CommandError("WRONGTYPE the key " + in_quotes(name) + " does not hold a " + T::noun);
}

// The T under a key.
template <class T>
std::shared_ptr<T> fetch(RedisModuleCtx* context, std::string_view name) {
    const Key key(context, name, REDISMODULE_READ);
    if (key.empty()) {
        throw CommandError(std::string("ERR there is no ") + T::noun + " under the key " + in_quotes(name));
    }
    if (!key.holds<T>()) {
        fail_wrong_type<T>(name);
    }
    return key.value<T>();
}

// Puts a T under a key that is empty or holds a T. Replicas are told by the caller.
template <class T>
void put(RedisModuleCtx* context, std::string_view name, std::shared_ptr<T> value) {
    Key key(context, name, REDISMODULE_READ | REDISMODULE_WRITE);
    if (!key.empty() && !key.holds<T>()) {
        fail_wrong_type<T>(name);
    }
    key.set(std::move(value));
}

// Puts a T that was made here, and has replicas and the append-only file put the same.
template <class T>
void put_everywhere(RedisModuleCtx* context, std::string_view name, const std::shared_ptr<T>& value) {
    put(context, name, value);
    Words words(T::command);
    words.add(name);
    value->describe(words);
    words.replicate(context);
}

template <class T>
void remove(RedisModuleCtx* context, std::string_view name) {
    fetch<T>(context, name);
    Key(context, name, REDISMODULE_READ | REDISMODULE_WRITE).remove();
    RedisModule_ReplicateVerbatim(context);
}

}  // namespace tensorstore
