// Times how a base's weights get from its files to where they are multiplied, against reading those files and nothing
// else. Files are in the page cache after the first round, unless --cold puts them out of it.
#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "bench/meter.hpp"
#include "core/base/errors.hpp"
#include "core/base/process_memory.hpp"
#include "core/model/decoder.hpp"
#include "core/model/device.hpp"
#include "core/model/weight_reader.hpp"
#include "core/weights/base_files.hpp"
#include "core/weights/expected_tensors.hpp"

namespace chorale::bench {
namespace {

struct LoadOptions {
  std::string base;
  std::string device = "auto";
  std::string dtype = "bfloat16";
  int threads = 0;
  int repeats = 5;
  bool fingerprint = false;
  bool cold = false;
};

std::vector<std::string> weight_files(const std::string& base) {
  if (!std::filesystem::is_directory(base)) return {base};
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(base)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path().string());
  }
  return files;
}

struct Files {
  std::vector<std::string> paths;
  double gigabytes = 0.0;
};

Files files_of(const std::string& base) {
  Files files{weight_files(base)};
  for (const std::string& path : files.paths) {
    files.gigabytes += static_cast<double>(std::filesystem::file_size(path)) / 1e9;
  }
  return files;
}

// What `cat` does: read(2) into one buffer that stays in the processor's cache.
void read_all(const std::vector<std::string>& files) {
  std::vector<char> buffer(1 << 17);
  for (const std::string& file : files) {
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) throw InputError(file + ": cannot be opened. Check its permissions.");
    while (::read(descriptor, buffer.data(), buffer.size()) > 0) {
    }
    ::close(descriptor);
  }
}

// Takes the files out of the page cache, as far as nobody has them mapped.
void forget(const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) continue;
    static_cast<void>(::posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED));
    ::close(descriptor);
  }
}

// The fastest of several calls, in milliseconds of wall time and of CPU time. Memory that was freed goes back to the
// kernel before each, for a run loads its weights once, into pages it has not had before.
void measure(const std::string& what, const Files& files, const LoadOptions& options,
             const std::function<void()>& call) {
  std::vector<double> times;
  std::vector<double> cpu;
  for (int i = 0; i < options.repeats; ++i) {
    malloc_trim(0);
    if (options.cold) forget(files.paths);
    const double begin = milliseconds();
    const double cpu_begin = cpu_milliseconds();
    call();
    times.push_back(milliseconds() - begin);
    cpu.push_back(cpu_milliseconds() - cpu_begin);
  }
  const double best = *std::min_element(times.begin(), times.end());
  fmt::print("| {} | {:.0f} | {:.0f} | {:.2f} |\n", what, best, *std::min_element(cpu.begin(), cpu.end()),
             files.gigabytes / best * 1e3);
}

int run(int argc, char** argv) {
  LoadOptions options;
  CLI::App app{
      "Times the loading of a base model, in GB of its files per second.\n"
      "Example: load_bench models/Llama-3.2-1B --device cuda --dtype bfloat16"};
  app.add_option("base", options.base, "a Hugging Face directory or a .gguf file")->required();
  app.add_option("--device", options.device, "auto, cpu or cuda");
  app.add_option("--dtype", options.dtype, std::string(kBaseDtypeWords));
  app.add_option("--threads", options.threads, "0: as a run would choose");
  app.add_option("--repeats", options.repeats, "the fastest counts")->check(CLI::PositiveNumber);
  app.add_flag("--cold", options.cold, "with the files out of the page cache before each");
  app.add_flag("--fingerprint", options.fingerprint, "also the SHA-256 over all tensors");
  CLI11_PARSE(app, argc, argv);
  const auto dtype = base_dtype_of(options.dtype);
  if (!dtype) {
    throw UsageError(fmt::format("--dtype: '{}' is unknown. Use one of {}.", options.dtype, kBaseDtypeWords));
  }
  const c10::Device device = choose_device(options.device);
  const int threads = start_threads(options.threads);
  const Files files = files_of(options.base);
  fmt::print("{} ({:.3f} GB) as {} on {}, {} threads\n\n", options.base, files.gigabytes, options.dtype, device.str(),
             threads);
  fmt::print("| what | ms | ms of CPU | GB/s of file |\n|---|---|---|---|\n");
  measure("reading the files into a small buffer", files, options, [&] { read_all(files.paths); });
  const auto type = decoder_options(*dtype, device).dtype;
  measure("every tensor, as it is multiplied", files, options, [&] {
    const auto base = open_base(options.base);
    WeightReader reader(*base, device);
    std::vector<at::Tensor> tensors;
    for (const ExpectedTensor& tensor : expected_tensors(base->config())) {
      if (base->has(tensor.name)) tensors.push_back(reader.read({tensor.name}, type));
    }
    wait_for(device);
  });
  forget_peak_memory(device);
  measure("a decoder", files, options, [&] {
    const auto base = open_base(options.base);
    const Decoder decoder(*base, decoder_options(*dtype, device));
    wait_for(device);
  });
  const double peak = peak_gigabytes(device);
  if (options.fingerprint) {
    measure("SHA-256", files, options, [&] { static_cast<void>(open_base(options.base)->fingerprint()); });
  }
  fmt::print("\npeak memory {:.2f} GB\n", peak);
  return 0;
}

}  // namespace
}  // namespace chorale::bench

int main(int argc, char** argv) {
  chorale::prepare_process_memory();
  try {
    return chorale::bench::run(argc, argv);
  } catch (const chorale::Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.code());
  }
}
