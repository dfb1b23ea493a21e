#include "command.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <c10/util/Exception.h>

#include "bytes.h"

namespace tensorstore {

namespace {

constexpr std::size_t longest_name = 120;
constexpr std::size_t longest_error = 1500;

bool same_word(std::string_view left, std::string_view right) {
    return std::ranges::equal(left, right, [](unsigned char a, unsigned char b) {
        return std::toupper(a) == std::toupper(b);
    });
}

// An error reply is one line: a line break in it would end the reply early.
std::string one_line(std::string_view text) {
    std::string line;
    for (const unsigned char character : text.substr(0, longest_error)) {
        const bool space = std::isspace(character) || std::iscntrl(character);
        if (!space) {
            line += static_cast<char>(character);
        } else if (!line.empty() && line.back() != ' ') {
            line += ' ';
        }
    }
    return line;
}

// TorchScript ends a long traceback with the error itself, which is what a reader wants first.
std::string error_first(const std::string& text) {
    constexpr std::string_view interpreter = "The following operation failed in the TorchScript interpreter.";
    const std::size_t word = text.rfind("Error: ");
    if (!text.starts_with(interpreter) || word == std::string::npos) {
        return text;
    }
    const std::size_t error = text.rfind('\n', word) + 1;
    return text.substr(error) + " (" + text.substr(0, error) + ")";
}

}  // namespace

std::string in_quotes(std::string_view name) {
    std::string text = "'";
    for (const unsigned char character : name.substr(0, longest_name)) {
        text += std::isprint(character) ? static_cast<char>(character) : '?';
    }
    return text + (name.size() > longest_name ? "...'" : "'");
}

std::string_view Arguments::at(int index) const { return Bytes::view(words_[index]); }

RedisModuleString* Arguments::word(const char* what) {
    if (done()) {
        throw CommandError("ERR " + std::string(command()) + " lacks its " + what);
    }
    return words_[next_++];
}

std::string_view Arguments::text(const char* what) { return Bytes::view(word(what)); }

long long Arguments::integer(const char* what) {
    const std::string_view word = text(what);
    long long value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size() || value < 0) {
        throw CommandError("ERR " + std::string(command()) + ": the " + what + " " + in_quotes(word) +
                           " is not an integer of 0 or more");
    }
    return value;
}

bool Arguments::take(std::string_view keyword) {
    if (done() || !same_word(at(next_), keyword)) {
        return false;
    }
    ++next_;
    return true;
}

std::vector<std::string> Arguments::names(const char* what) {
    const long long count = integer("count of names");
    if (count > count_ - next_) {
        throw CommandError("ERR " + std::string(command()) + " has fewer " + what + " than it says");
    }
    std::vector<std::string> words;
    for (long long index = 0; index < count; ++index) {
        words.emplace_back(text(what));
    }
    return words;
}

void Arguments::expect_done() const {
    if (!done()) {
        throw CommandError("ERR " + std::string(command()) + " does not know the argument " +
                           in_quotes(at(next_)));
    }
}

std::string current_error() {
    try {
        throw;
    } catch (const CommandError& error) {
        return one_line(error.what());
    } catch (const c10::Error& error) {
        return one_line("ERR torch: " + error_first(error.what_without_backtrace()));
    } catch (const std::exception& error) {
        return one_line("ERR torch: " + error_first(error.what()));
    } catch (...) {
        return "ERR torch: an error without a message";
    }
}

int reply_with_current_error(RedisModuleCtx* context) {
    return RedisModule_ReplyWithError(context, current_error().c_str());
}

void all_are_keys(RedisModuleCtx* context, Arguments& arguments, long long count) {
    for (long long index = 0; index < count && !arguments.done(); ++index) {
        RedisModule_KeyAtPos(context, arguments.position());
        arguments.word("key");
    }
}

int reply_ok(RedisModuleCtx* context) { return RedisModule_ReplyWithSimpleString(context, "OK"); }

int reply_text(RedisModuleCtx* context, std::string_view text) {
    return RedisModule_ReplyWithStringBuffer(context, text.data(), text.size());
}

}  // namespace tensorstore
