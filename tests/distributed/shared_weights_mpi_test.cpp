// One copy of a base for all ranks of a node.
#include "distributed/shared_weights.hpp"

#include <ATen/ATen.h>

#include <cstring>
#include <optional>

#include "core/model/decoder.hpp"
#include "distributed/mpi_world.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"
#include "support/tiny_base.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

// A base that says how many numbers were read from it.
class CountingBase : public TinyBase {
 public:
  using TinyBase::TinyBase;
  void read_rows(std::string_view name, std::int64_t first, std::int64_t count, std::span<float> out) const override {
    read_ += static_cast<std::int64_t>(out.size());
    TinyBase::read_rows(name, first, count, out);
  }
  [[nodiscard]] std::int64_t numbers_read() const { return read_; }

 private:
  mutable std::int64_t read_ = 0;
};

// Final hidden states, and the gradient of their sum of squares at the embeddings.
std::pair<at::Tensor, at::Tensor> pass(const Decoder& decoder) {
  const std::vector<std::int32_t> tokens = {3, 1, 4, 1, 5, 9, 2, 6};
  PackedBatch batch;
  batch.add_span(tokens.data(), tokens.data() + tokens.size(), -1, 0);
  for (std::int64_t row = 0; row < 8; ++row) batch.add_output(row);
  batch.end_stream();
  const at::Tensor x = decoder.embed(batch.tokens).detach().requires_grad_();
  const at::Tensor hidden = decoder.run_layers(x, decoder.prepare(batch), 0, decoder.config().layers, nullptr);
  hidden.square().sum().backward();
  return {hidden.detach(), x.grad()};
}

std::int64_t sum_of(std::int64_t own) {
  std::int64_t sum = 0;
  for (const auto& bytes : world().everyone().all_gather(std::as_bytes(std::span(&own, 1)))) {
    std::int64_t value = 0;
    std::memcpy(&value, bytes.data(), sizeof value);
    sum += value;
  }
  return sum;
}

}  // namespace

TEST_CASE("the ranks of a node read a base once between them and compute the same with it") {
  const CountingBase base;
  for (const BaseDtype dtype : {BaseDtype::float32, BaseDtype::bfloat16, BaseDtype::float8, BaseDtype::nf4}) {
    DecoderOptions options = decoder_options(dtype, at::kCPU);
    const std::int64_t before = base.numbers_read();
    const auto own = pass(Decoder(base, options));
    const std::int64_t whole = base.numbers_read() - before;
    options.shared = share_weights(can_be_shared(options), world());
    const bool shares = world().size() > 1 && can_be_shared(options);
    CHECK((options.shared != nullptr) == shares);
    std::optional<Decoder> shared;
    world().together([&] { shared.emplace(base, options); });
    const std::int64_t part = base.numbers_read() - before - whole;
    const std::int64_t all = sum_of(part);
    CHECK(all == (shares ? whole : world().size() * whole));
    CHECK((!shares || part < whole));
    const auto [hidden, gradient] = pass(*shared);
    CHECK(same_bits(hidden, own.first));
    CHECK(same_bits(gradient, own.second));
  }
}

TEST_CASE("one rank that is not willing to share leaves all with their own") {
  CHECK(share_weights(world().rank() != world().size() - 1, world()) == nullptr);
}
