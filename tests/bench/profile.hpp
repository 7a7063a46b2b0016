// Where the time of a step goes.
#pragma once

#include <string>

#include "bench/bench_options.hpp"
#include "bench/meter.hpp"
#include "core/model/decoder.hpp"

namespace chorale::bench {

/// Runs the parts of an optimiser step one by one on the options' shapes, with the kernels that the step uses, and
/// prints a Markdown table: time of each part, the limit (operations at `peak` per second, or bytes at the bandwidth of
/// a copy of the same size), and how near the part comes to it. "The rest" is what the whole step takes beyond them.
[[nodiscard]] std::string profile(const Options& options, const Decoder& decoder, const Peak& peak);

}  // namespace chorale::bench
