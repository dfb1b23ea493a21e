// The part of the Redis/Valkey module API that the store uses, declared from its documentation.
//
// A server hands a module one function, GetApi, in the first word of the context of its OnLoad; every
// other function is asked for by name. Both servers answer to the names RedisModule_*.
#pragma once

#include <cstddef>
#include <cstdint>

struct RedisModuleCtx;
struct RedisModuleString;
struct RedisModuleKey;
struct RedisModuleType;
struct RedisModuleIO;
struct RedisModuleDigest;
struct RedisModuleBlockedClient;
using RedisModuleTimerID = std::uint64_t;

using RedisModuleCmdFunc = int (*)(RedisModuleCtx*, RedisModuleString**, int);

inline constexpr int REDISMODULE_OK = 0;
inline constexpr int REDISMODULE_ERR = 1;
inline constexpr int REDISMODULE_APIVER = 1;

inline constexpr int REDISMODULE_READ = 1 << 0;
inline constexpr int REDISMODULE_WRITE = 1 << 1;
inline constexpr int REDISMODULE_KEYTYPE_EMPTY = 0;

inline constexpr int REDISMODULE_OPTIONS_HANDLE_IO_ERRORS = 1 << 0;

struct RedisModuleEvent {
    std::uint64_t id;
    std::uint64_t version;
};
using RedisModuleEventCallback = void (*)(RedisModuleCtx*, RedisModuleEvent, std::uint64_t subevent, void*);

inline constexpr RedisModuleEvent REDISMODULE_EVENT_SHUTDOWN{5, 1};

inline constexpr int REDISMODULE_CTX_FLAGS_LUA = 1 << 0;
inline constexpr int REDISMODULE_CTX_FLAGS_MULTI = 1 << 1;
inline constexpr int REDISMODULE_CTX_FLAGS_REPLICATED = 1 << 12;
inline constexpr int REDISMODULE_CTX_FLAGS_LOADING = 1 << 13;
inline constexpr int REDISMODULE_CTX_FLAGS_DENY_BLOCKING = 1 << 21;

inline constexpr std::uint64_t REDISMODULE_TYPE_METHOD_VERSION = 1;

// Version 1 of the table; servers read later fields only when the version says that they are there.
struct RedisModuleTypeMethods {
    std::uint64_t version;
    void* (*rdb_load)(RedisModuleIO*, int encoding_version);
    void (*rdb_save)(RedisModuleIO*, void* value);
    void (*aof_rewrite)(RedisModuleIO*, RedisModuleString* key, void* value);
    std::size_t (*mem_usage)(const void* value);
    void (*digest)(RedisModuleDigest*, void* value);
    void (*free)(void* value);
};

#define MODULE_API(FUNCTION)                                                                        \
    FUNCTION(void, SetModuleAttribs, (RedisModuleCtx*, const char* name, int version, int api))    \
    FUNCTION(void, SetModuleOptions, (RedisModuleCtx*, int options))                               \
    FUNCTION(int, CreateCommand,                                                                   \
             (RedisModuleCtx*, const char* name, RedisModuleCmdFunc, const char* flags,            \
              int first_key, int last_key, int key_step))                                          \
    FUNCTION(RedisModuleType*, CreateDataType,                                                     \
             (RedisModuleCtx*, const char* name, int encoding_version, RedisModuleTypeMethods*))   \
    FUNCTION(int, SubscribeToServerEvent,                                                          \
             (RedisModuleCtx*, RedisModuleEvent, RedisModuleEventCallback))                        \
    FUNCTION(void, Log, (RedisModuleCtx*, const char* level, const char* format, ...))             \
    FUNCTION(int, GetContextFlags, (RedisModuleCtx*))                                              \
    FUNCTION(RedisModuleString*, CreateString, (RedisModuleCtx*, const char*, std::size_t))        \
    FUNCTION(void, FreeString, (RedisModuleCtx*, RedisModuleString*))                              \
    FUNCTION(RedisModuleString*, HoldString, (RedisModuleCtx*, RedisModuleString*))                \
    FUNCTION(const char*, StringPtrLen, (const RedisModuleString*, std::size_t* length))           \
    FUNCTION(int, ReplyWithError, (RedisModuleCtx*, const char*))                                  \
    FUNCTION(int, ReplyWithSimpleString, (RedisModuleCtx*, const char*))                           \
    FUNCTION(int, ReplyWithStringBuffer, (RedisModuleCtx*, const char*, std::size_t))              \
    FUNCTION(int, ReplyWithLongLong, (RedisModuleCtx*, long long))                                 \
    FUNCTION(int, ReplyWithArray, (RedisModuleCtx*, long length))                                  \
    FUNCTION(RedisModuleKey*, OpenKey, (RedisModuleCtx*, RedisModuleString* name, int mode))       \
    FUNCTION(void, CloseKey, (RedisModuleKey*))                                                    \
    FUNCTION(int, KeyType, (RedisModuleKey*))                                                      \
    FUNCTION(int, DeleteKey, (RedisModuleKey*))                                                    \
    FUNCTION(RedisModuleType*, ModuleTypeGetType, (RedisModuleKey*))                               \
    FUNCTION(void*, ModuleTypeGetValue, (RedisModuleKey*))                                         \
    FUNCTION(int, ModuleTypeSetValue, (RedisModuleKey*, RedisModuleType*, void* value))            \
    FUNCTION(void, SaveUnsigned, (RedisModuleIO*, std::uint64_t))                                  \
    FUNCTION(std::uint64_t, LoadUnsigned, (RedisModuleIO*))                                        \
    FUNCTION(void, SaveStringBuffer, (RedisModuleIO*, const char*, std::size_t))                   \
    FUNCTION(RedisModuleString*, LoadString, (RedisModuleIO*))                                     \
    FUNCTION(int, IsIOError, (RedisModuleIO*))                                                     \
    FUNCTION(void, LogIOError, (RedisModuleIO*, const char* level, const char* format, ...))       \
    FUNCTION(void, EmitAOF, (RedisModuleIO*, const char* command, const char* format, ...))        \
    FUNCTION(int, Replicate, (RedisModuleCtx*, const char* command, const char* format, ...))      \
    FUNCTION(int, ReplicateVerbatim, (RedisModuleCtx*))                                            \
    FUNCTION(int, IsKeysPositionRequest, (RedisModuleCtx*))                                        \
    FUNCTION(void, KeyAtPos, (RedisModuleCtx*, int position))                                      \
    FUNCTION(RedisModuleTimerID, CreateTimer,                                                      \
             (RedisModuleCtx*, long long after_ms, void (*)(RedisModuleCtx*, void*), void* data))  \
    FUNCTION(RedisModuleBlockedClient*, BlockClient,                                               \
             (RedisModuleCtx*, RedisModuleCmdFunc reply, RedisModuleCmdFunc timeout,               \
              void (*free_private)(RedisModuleCtx*, void*), long long timeout_ms))                 \
    FUNCTION(void, SetDisconnectCallback,                                                          \
             (RedisModuleBlockedClient*, void (*)(RedisModuleCtx*, RedisModuleBlockedClient*)))    \
    FUNCTION(RedisModuleBlockedClient*, GetBlockedClientHandle, (RedisModuleCtx*))                 \
    FUNCTION(int, UnblockClient, (RedisModuleBlockedClient*, void* private_data))                  \
    FUNCTION(void*, GetBlockedClientPrivateData, (RedisModuleCtx*))

#define MODULE_API_POINTER(result, name, arguments) inline result(*RedisModule_##name) arguments = nullptr;
MODULE_API(MODULE_API_POINTER)
#undef MODULE_API_POINTER

// Not every server has this: nullptr before 7.0.
inline void (*RedisModule_TrimStringAllocation)(RedisModuleString*) = nullptr;

// Asks the server for every function; the name of the first that it lacks, or nullptr.
inline const char* load_module_api(RedisModuleCtx* context) {
    using GetApi = int (*)(const char* name, void* pointer);
    const auto get_api = reinterpret_cast<GetApi>(*reinterpret_cast<void**>(context));
#define MODULE_API_LOAD(result, name, arguments)                                                    \
    if (get_api("RedisModule_" #name, &RedisModule_##name) != REDISMODULE_OK) return #name;
    MODULE_API(MODULE_API_LOAD)
#undef MODULE_API_LOAD
    get_api("RedisModule_TrimStringAllocation", &RedisModule_TrimStringAllocation);
    return nullptr;
}
