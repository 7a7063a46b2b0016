#include "distributed/failure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

namespace chorale {
namespace {

// What lies behind `before` in `text`, up to `end`; empty when it is not there.
std::string_view behind(std::string_view text, std::string_view before, std::string_view end) {
  const std::size_t at = text.find(before);
  if (at == text.npos) return "";
  const std::string_view rest = text.substr(at + before.size());
  return rest.substr(0, rest.find(end));
}

// How much was asked for, in the words of torch's allocators: "you tried to allocate 800 bytes. Error code 12" of the
// CPU's, "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 512.00 MiB
// is free. Including ..." of the GPU's.
std::string shortage(std::string_view what) {
  if (const auto bytes = behind(what, "you tried to allocate ", " bytes"); !bytes.empty()) {
    const std::string digits(bytes);
    return fmt::format(": {:.2f} GB more were needed", std::strtod(digits.c_str(), nullptr) * 1e-9);
  }
  const auto size = behind(what, "Tried to allocate ", "B");
  if (size.empty()) return "";
  const auto state = behind(what, ". GPU ", " free");
  return state.empty() ? fmt::format(" on the GPU: {}B more were needed", size)
                       : fmt::format(" on the GPU: {}B more were needed, and GPU {} free", size, state);
}

Failure out_of_memory(std::string_view what) {
  return {
      ExitCode::usage,
      fmt::format("out of memory{}. Lower training.micro_batch_size, evaluation.batch_size, data.max_tokens or "
                  "ensemble.members, or set training.recompute: full, training.prefix_cache: off or base.dtype: nf4.",
                  shortage(what))};
}

bool tells_of_memory(std::string_view what) {
  constexpr std::array<std::string_view, 4> kSigns = {"can't allocate memory", "out of memory",
                                                      "Cannot allocate memory", "CUBLAS_STATUS_ALLOC_FAILED"};
  return std::any_of(kSigns.begin(), kSigns.end(), [&](std::string_view sign) { return what.find(sign) != what.npos; });
}

// torch reports its own failures, those of its allocators too, as std::exception with a long trace of its calls.
Failure unexpected(std::string_view what) {
  if (tells_of_memory(what)) return out_of_memory(what);
  return {ExitCode::internal, fmt::format("{} (this is a bug in chorale; please report it with the command you ran)",
                                          what.substr(0, what.find('\n')))};
}

}  // namespace

Failure failure_of(const std::exception_ptr& problem) {
  try {
    std::rethrow_exception(problem);
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    return out_of_memory("");
  } catch (const std::exception& error) {
    return unexpected(error.what());
  } catch (...) {
    return unexpected("an exception of an unknown kind");
  }
}

}  // namespace chorale
