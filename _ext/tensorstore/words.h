// A command that makes a value again: for replicas, for the append-only file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bytes.h"

namespace tensorstore {

class Words {
  public:
    explicit Words(const char* command) : command_(command) {}
    Words(const Words&) = delete;
    Words& operator=(const Words&) = delete;

    Words& add(std::string_view text);
    Words& add(long long number) { return add(std::string_view(std::to_string(number))); }
    Words& add(const Bytes& shared);   // which must live until the command is sent or written
    Words& add(const std::vector<std::string>& names);   // their count, then each

    // On the server's thread, in the function of a command or of its reply.
    void replicate(RedisModuleCtx* context) const;
    void write(RedisModuleIO* append_only_file) const;

  private:
    const char* command_;
    std::vector<RedisModuleString*> words_;
    std::vector<Bytes> owned_;
};

}  // namespace tensorstore
