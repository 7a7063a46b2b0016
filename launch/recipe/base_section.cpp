#include "launch/recipe/sections.hpp"

namespace chorale::recipe {
namespace {

constexpr Names<std::string_view, 3> kDevices = {{{"auto", "auto"}, {"cpu", "cpu"}, {"cuda", "cuda"}}};

}  // namespace

const Section& base_table() {
  static const Section table = {
      "base",
      {{"path", "text", "required",
        "the frozen language model: a Hugging Face directory or a .gguf file; paths count from the working directory"},
       {"dtype", kBaseDtypeWords, "float32",
        "how the frozen weights are held; bfloat16 takes half the memory, float8 a quarter and nf4 a seventh of it for "
        "the layers' linears, at a loss that core/kernels/README.md has measured; adapters and the residual stream "
        "stay float32"},
       {"device", "auto, cpu, cuda", "auto",
        "where to compute; auto: a GPU when there is one; cuda: an error when there is none"}}};
  return table;
}

void read_base(Reader reader, BaseConfig& base) {
  reader.require("path", "give the model, e.g. path: models/SmolLM2-135M-Instruct");
  reader.line("path", base.path);
  reader.choice("dtype", base.dtype, kBaseDtypes);
  std::string_view device = "auto";
  reader.choice("device", device, kDevices);
  base.device = device;
}

void write_base(Writer& writer, const BaseConfig& base) {
  writer.begin("base");
  writer.text("path", base.path);
  writer.word("dtype", name_of(kBaseDtypes, base.dtype));
  writer.word("device", base.device);
  writer.end();
}

}  // namespace chorale::recipe
