// That what is measured is right: the fused step against plain operations and against each member alone.
#pragma once

#include "bench/bench_base.hpp"
#include "bench/bench_options.hpp"
#include "core/model/decoder.hpp"

namespace chorale::bench {

/// Relative differences found, all below their bounds.
struct CheckResult {
  double plain_loss = 0.0;      // of member 0's loss, fused against the plain twins
  double plain_gradient = 0.0;  // |fused - plain| / |plain| of its adapter gradient
  double alone_loss = 0.0;      // of the last member's second loss, among its neighbours against alone
  double alone_update = 0.0;    // |difference| / |update| of its adapters after two steps
};

/// Checks the options' model, adapters and loss, members and examples as given (at most two examples per member against
/// the plain twins, whose attention grows with the square of all rows). Throws InternalError when a difference is
/// beyond rounding: 1e-5 and 1e-3 (float32 loss, vectors), 2e-2 and 1e-1 (bfloat16).
[[nodiscard]] CheckResult check(const Options& options, const BenchBase& base, const Decoder& decoder);

}  // namespace chorale::bench
