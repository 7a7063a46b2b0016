#include "core/interop/merged_write.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "core/interop/merged_config.hpp"
#include "core/interop/new_directory.hpp"
#include "core/weights/decode.hpp"
#include "core/weights/expected_tensors.hpp"
#include "core/weights/safetensors_writer.hpp"

namespace chorale {
namespace {

constexpr std::int64_t kPieceElements = std::int64_t{1} << 23U;  // 32 MiB of float32

std::uint64_t bytes_of(const ExpectedTensor& tensor, StorageType type) {
  return std::accumulate(
      tensor.shape.begin(), tensor.shape.end(), static_cast<std::uint64_t>(block_layout(type).bytes),
      [](std::uint64_t bytes, std::int64_t size) { return bytes * static_cast<std::uint64_t>(size); });
}

// The tensors of each file, in the model's order.
std::vector<std::vector<TensorEntry>> shards_of(const ModelConfig& model, const MergedOptions& options) {
  std::vector<std::vector<TensorEntry>> shards(1);
  std::uint64_t filled = 0;
  for (const ExpectedTensor& tensor : expected_tensors(model)) {
    const std::uint64_t bytes = bytes_of(tensor, options.type);
    if (!shards.back().empty() && filled + bytes > options.shard_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back({tensor.name, tensor.shape});
    filled += bytes;
  }
  return shards;
}

class Merger {
 public:
  Merger(const BaseFiles& base, const AdapterBank& bank, std::int64_t member)
      : base_(base), bank_(bank), member_(member), scale_(adapter_scale(bank.config())) {}

  void append(const TensorEntry& tensor, SafetensorsWriter& writer) const {
    const std::int64_t rows = tensor.shape.front();
    const std::int64_t columns = tensor.shape.size() > 1 ? tensor.shape.back() : 1;
    const std::int64_t piece = std::clamp(kPieceElements / columns, std::int64_t{1}, rows);
    const AdapterSite* site = site_of(tensor.name);
    at::Tensor a;
    at::Tensor b;
    if (site != nullptr) {
      a = bank_.a(member_, *site).to(at::kCPU, at::kFloat);
      b = bank_.b(member_, *site).to(at::kCPU, at::kFloat);
    }
    for (std::int64_t first = 0; first < rows; first += piece) {
      const std::int64_t count = std::min(piece, rows - first);
      at::Tensor values = at::empty({count, columns}, at::kFloat);
      const std::span<float> room(values.mutable_data_ptr<float>(), static_cast<std::size_t>(values.numel()));
      base_.read_rows(tensor.name, first, count, room);
      if (site != nullptr) values.addmm_(b.narrow(0, first, count), a, /*beta=*/1.0, /*alpha=*/scale_);
      writer.append(room);
    }
    base_.release_pages();
  }

 private:
  [[nodiscard]] const AdapterSite* site_of(const std::string& tensor) const {
    const auto& sites = bank_.layout().sites();
    const auto found = std::find_if(sites.begin(), sites.end(),
                                    [&](const AdapterSite& site) { return site.module + ".weight" == tensor; });
    return found == sites.end() ? nullptr : &*found;
  }

  const BaseFiles& base_;
  const AdapterBank& bank_;
  std::int64_t member_;
  double scale_;
};

}  // namespace

std::uint64_t merged_bytes(const ModelConfig& model, StorageType type) {
  std::uint64_t total = 0;
  for (const ExpectedTensor& tensor : expected_tensors(model)) total += bytes_of(tensor, type);
  return total;
}

std::map<std::string, std::string> write_merged_model(const std::string& directory, const BaseFiles& base,
                                                      const AdapterBank& bank, std::int64_t member,
                                                      const MergedOptions& options) {
  const at::NoGradGuard no_gradients;
  const Merger merger(base, bank, member);
  NewDirectory output(directory);
  const auto shards = shards_of(base.config(), options);
  nlohmann::ordered_json weight_map = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shards.size() == 1 ? "model.safetensors"
                                                : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    SafetensorsWriter writer(output.file(name), options.type, shards[i], {{"format", "pt"}});
    for (const TensorEntry& tensor : writer.tensors()) {
      merger.append(tensor, writer);
      weight_map[tensor.name] = name;
    }
    output.note(name, writer.finish());
  }
  if (shards.size() > 1) {
    const nlohmann::ordered_json index = {{"metadata", {{"total_size", merged_bytes(base.config(), options.type)}}},
                                          {"weight_map", weight_map}};
    output.write("model.safetensors.index.json", index.dump(2) + "\n");
  }
  output.write("config.json", merged_config(base, options.type));
  write_generation_and_tokenizer(base, output);
  output.commit();
  return output.files();
}

}  // namespace chorale
