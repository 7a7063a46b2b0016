#include "distributed/failure.hpp"

#include <fmt/format.h>

#include <new>
#include <string_view>

namespace chorale {
namespace {

Failure out_of_memory() {
  return {ExitCode::internal,
          "out of memory; lower training.micro_batch_size, evaluation.batch_size, data.max_tokens or "
          "ensemble.members, or set training.prefix_cache=off"};
}

// torch reports its own failures, those of its allocators too, as std::exception with a long trace of its calls.
Failure unexpected(std::string_view what) {
  if (what.find("can't allocate memory") != std::string_view::npos ||
      what.find("out of memory") != std::string_view::npos) {
    return out_of_memory();
  }
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
    return out_of_memory();
  } catch (const std::exception& error) {
    return unexpected(error.what());
  } catch (...) {
    return unexpected("an exception of an unknown kind");
  }
}

}  // namespace chorale
