#define PCRE2_CODE_UNIT_WIDTH 8
#include "core/tokenizer/pattern.hpp"

#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/base/utf8.hpp"

namespace chorale {

namespace {

/// Steps one match may take. Published patterns need a few per character of the piece; catastrophic ones never end.
constexpr std::uint32_t match_limit = 20'000'000;
/// KiB of backtracking memory one match may take.
constexpr std::uint32_t heap_limit_kib = 512 * 1024;

template <auto release>
struct Releaser {
  template <typename Handle>
  void operator()(Handle* handle) const {
    release(handle);
  }
};
using Code = std::unique_ptr<pcre2_code, Releaser<&pcre2_code_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Releaser<&pcre2_compile_context_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Releaser<&pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Releaser<&pcre2_match_data_free>>;

PCRE2_SPTR units(std::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

}  // namespace

struct Pattern::Compiled {
  Code code;
  MatchContext context;
};

Pattern::Pattern(std::string source) : source_(std::move(source)), compiled_(std::make_unique<Compiled>()) {
  const CompileContext context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  compiled_->code.reset(pcre2_compile(units(source_), source_.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error,
                                      &offset, context.get()));
  if (!compiled_->code) {
    throw InputError(fmt::format("pattern '{}' does not compile: {} (offset {}). Correct the pattern.",
                                 printable(source_, 200), pcre2_message(error), offset));
  }
  // Without machine code (a library built so, or a hardened kernel) the interpreter gives the same matches.
  pcre2_jit_compile(compiled_->code.get(), PCRE2_JIT_COMPLETE);
  compiled_->context.reset(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(compiled_->context.get(), match_limit);
  pcre2_set_heap_limit(compiled_->context.get(), heap_limit_kib);
}

Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;

std::vector<TextSpan> Pattern::cut(std::string_view text) const {
  std::vector<TextSpan> spans;
  // One pair of offsets is enough: groups are of no interest.
  const MatchData data(pcre2_match_data_create(1, nullptr));
  const auto match = [&](std::size_t from, std::uint32_t options) {
    // The text was checked once; checking it again at every match would make long texts quadratic.
    return pcre2_match(compiled_->code.get(), units(text), text.size(), from, PCRE2_NO_UTF_CHECK | options, data.get(),
                       compiled_->context.get());
  };
  std::size_t covered = 0;  // end of the last span
  std::size_t from = 0;
  bool any_match = false;
  while (from <= text.size()) {
    int result = match(from, 0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) {
      result = match(from, PCRE2_NO_JIT);
    }
    if (result == PCRE2_ERROR_NOMATCH) {
      break;
    }
    if (result < 0) {
      throw InputError(fmt::format("pattern '{}' gave up at byte {} of a text of {} bytes: {}. Simplify the pattern.",
                                   printable(source_, 200), from, text.size(), pcre2_message(result)));
    }
    const PCRE2_SIZE* found = pcre2_get_ovector_pointer(data.get());
    const std::size_t begin = found[0];
    const std::size_t end = found[1];
    if (begin == end && any_match && end == covered) {
      if (from >= text.size()) {
        break;
      }
      from += code_point_at(text, from).bytes;
      continue;
    }
    if (covered < begin) {
      spans.push_back({covered, begin, false});
    }
    spans.push_back({begin, end, true});
    any_match = true;
    covered = from = end;
  }
  if (covered < text.size()) {
    spans.push_back({covered, text.size(), false});
  }
  return spans;
}

}  // namespace chorale
