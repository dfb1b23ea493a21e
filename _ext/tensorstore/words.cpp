#include "words.h"

namespace tensorstore {

Words& Words::add(std::string_view text) {
    owned_.emplace_back(text);
    words_.push_back(owned_.back().string());
    return *this;
}

Words& Words::add(const Bytes& shared) {
    words_.push_back(shared.string());
    return *this;
}

Words& Words::add(const std::vector<std::string>& names) {
    add(static_cast<long long>(names.size()));
    for (const std::string& name : names) {
        add(name);
    }
    return *this;
}

void Words::replicate(RedisModuleCtx* context) const {
    RedisModule_Replicate(context, command_, "v", words_.data(), words_.size());
}

void Words::write(RedisModuleIO* append_only_file) const {
    RedisModule_EmitAOF(append_only_file, command_, "v", words_.data(), words_.size());
}

}  // namespace tensorstore
