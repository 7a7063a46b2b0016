// Lets Python tests see what the weight readers see.
//   weights_probe tensors FILE|DIR   the tensors of a GGUF file, a safetensors file or a model directory as they are
//   named weights_probe base PATH          first a line with the configuration, then the tensors under Hugging Face
//   names weights_probe describe PATH      what `chorale inspect` builds on
// Each tensor is a line of JSON {"name", "shape"} followed by its float32 values.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/errors.hpp"
#include "core/weights/base_files.hpp"
#include "core/weights/describe.hpp"
#include "core/weights/expected_tensors.hpp"
#include "core/weights/gguf.hpp"
#include "core/weights/safetensors_directory.hpp"

namespace {

using namespace chorale;

void write_tensor(const std::string& name, const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
  fmt::print("{}\n", nlohmann::json{{"name", name}, {"shape", shape}}.dump());
  std::fwrite(values.data(), sizeof(float), values.size(), stdout);
}

void write_source(const TensorSource& source) {
  for (const TensorView& tensor : source.tensors()) {
    std::vector<float> values(static_cast<std::size_t>(tensor.element_count()));
    decode(tensor, values);
    write_tensor(tensor.name, tensor.shape, values);
  }
}

void write_base(const std::string& path) {
  const auto base = open_base(path);
  fmt::print("{}\n", to_json(base->config()).dump());
  for (const ExpectedTensor& tensor : expected_tensors(base->config())) {
    std::size_t elements = 1;
    for (const std::int64_t size : base->shape(tensor.name)) {
      elements *= static_cast<std::size_t>(size);
    }
    std::vector<float> values(elements);
    base->read(tensor.name, values);
    write_tensor(tensor.name, base->shape(tensor.name), values);
    base->release_pages();
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    fmt::print(stderr, "usage: weights_probe tensors|base|describe PATH\n");
    return 2;
  }
  const std::string command = arguments[1];
  const std::string path = arguments[2];
  try {
    if (command == "tensors" && std::filesystem::is_directory(path)) {
      write_source(SafetensorsDirectory(path));
    } else if (command == "tensors" && path.ends_with(".safetensors")) {
      write_source(SafetensorsFile(path));
    } else if (command == "tensors") {
      write_source(GgufFile(path));
    } else if (command == "base") {
      write_base(path);
    } else if (command == "describe") {
      fmt::print("{}\n", describe_weights(path).dump());
    }
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.code());
  }
  return 0;
}
