// The decoder on packed rows: packing, padding, shared prefixes and output rows change nothing.
#include "core/model/decoder.hpp"

#include "core/inference/example_batcher.hpp"
#include "core/inference/scores.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"
#include "support/tiny_base.hpp"
#include "support/tiny_examples.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

at::Tensor final_hidden(const Decoder& decoder, const PackedBatch& batch) {
  return decoder.run_layers(decoder.embed(batch.tokens), decoder.prepare(batch), 0, decoder.config().layers, nullptr);
}

// Final hidden states of every token of one sequence, alone in its batch.
at::Tensor alone(const Decoder& decoder, const std::vector<TokenId>& tokens) {
  PackedBatch batch;
  batch.add_span(tokens.data(), tokens.data() + tokens.size(), -1, 0);
  for (std::int64_t row = 0; row < batch.rows(); ++row) batch.add_output(row);
  batch.end_stream();
  return final_hidden(decoder, batch);
}

std::vector<TokenId> joined(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

TEST_CASE("a batch of packed examples equals its sequences one by one, for every task") {
  const TinyBase base;
  const Decoder decoder(base, {at::kDouble, at::kCPU});
  for (const TinyTask& task : {TinyTask{TaskKind::multiple_choice, Scoring::label_token},
                               TinyTask{TaskKind::multiple_choice, Scoring::option_likelihood},
                               TinyTask{TaskKind::completion, Scoring::label_token}}) {
    for (const std::size_t common : {std::size_t{0}, std::size_t{4}}) {
      const ExampleSet set = tiny_examples(task, 7, common);
      const ExampleBatcher batcher(set, task.kind, task.scoring, at::kCPU, at::kDouble);
      CHECK(batcher.common_rows() >= static_cast<std::int64_t>(common));
      const ExampleBatch batch = batcher.build({{0, 3, 5}, {}, {6, 0, 1, 2}});
      const at::Tensor hidden = final_hidden(decoder, batch.packed);
      const Scorer scorer(decoder, batcher);
      for (std::int64_t e = 0; e < batch.scoring.examples; ++e) {
        const Example& example = set.examples[batch.scoring.example_index[static_cast<std::size_t>(e)]];
        std::vector<double> expected;  // score of each option, in the plainest way
        for (const auto& option : example.continuations) {
          const at::Tensor all = alone(decoder, joined(example.prompt, option));
          const at::Tensor log_p = at::log_softmax(at::mm(decoder.final_norm(all), decoder.head().t()), 1);
          double sum = 0.0;
          for (std::size_t i = 0; i < option.size(); ++i) {
            sum += log_p[static_cast<std::int64_t>(example.prompt.size() + i) - 1][option[i]].item<double>();
          }
          expected.push_back(task.kind == TaskKind::completion ? sum : sum / static_cast<double>(option.size()));
        }
        if (task.kind == TaskKind::completion) {
          const at::Tensor own = batch.scoring.pick_example == e;
          const double sum = scorer.token_scores(hidden, batch.scoring).masked_select(own).sum().item<double>();
          CHECK(sum == Approx(expected[0]).margin(1e-11));
          continue;
        }
        if (!example.label_tokens.empty()) {
          const at::Tensor last = alone(decoder, example.prompt)[static_cast<std::int64_t>(example.prompt.size()) - 1];
          const at::Tensor logits = at::mv(decoder.head(), decoder.final_norm(last.unsqueeze(0)).squeeze(0));
          for (const TokenId token : example.label_tokens) expected.push_back(logits[token].item<double>());
        }
        double largest = -std::numeric_limits<double>::infinity();
        for (const double score : expected) largest = std::max(largest, score);
        double total = 0.0;
        for (const double score : expected) total += std::exp(score - largest);
        const at::Tensor log_p = scorer.choice_log_probabilities(hidden, batch.scoring)[e];
        for (std::size_t k = 0; k < expected.size(); ++k) {
          CHECK(log_p[static_cast<std::int64_t>(k)].item<double>() ==
                Approx(expected[k] - largest - std::log(total)).margin(1e-11));
        }
        for (auto k = static_cast<std::int64_t>(expected.size()); k < batcher.choices(); ++k) {
          CHECK(std::isinf(log_p[k].item<double>()));
        }
      }
    }
  }
}

TEST_CASE("padding is provably without effect") {
  const TinyBase base;
  const Decoder decoder(base, {at::kDouble, at::kCPU});
  const ExampleSet set = tiny_examples({}, 5);
  const ExampleBatcher batcher(set, TaskKind::multiple_choice, Scoring::label_token, at::kCPU, at::kDouble);
  const std::vector<std::vector<std::size_t>> streams = {{0, 1}, {2, 3, 4}};
  const at::Tensor plain = final_hidden(decoder, batcher.build(streams).packed);
  ExampleBatch padded = batcher.build(streams, {.row_multiple = 64, .equal_streams = true});
  REQUIRE(padded.packed.rows() == 128);
  // The first stream has two examples and an output that fills up.
  REQUIRE(padded.packed.output_rows.size() == 6);
  const at::Tensor real = at::tensor({0, 1, 3, 4, 5}, at::kLong);
  CHECK(difference(final_hidden(decoder, padded.packed).index_select(0, real), plain) < 1e-13);
  // Whatever stands in the padding, even what is not a number, reaches nobody.
  at::Tensor x = decoder.embed(padded.packed.tokens);
  x[63].fill_(NAN);
  const at::Tensor poisoned =
      decoder.run_layers(x, decoder.prepare(padded.packed), 0, decoder.config().layers, nullptr);
  CHECK(difference(poisoned.index_select(0, real), plain) < 1e-13);
}

TEST_CASE("outputs alone equal all rows, and layers can be run in parts") {
  const TinyBase base;
  const Decoder decoder(base, {at::kDouble, at::kCPU});
  const std::vector<TokenId> tokens = {3, 1, 4, 1, 5, 9, 2, 6};
  const at::Tensor all = alone(decoder, tokens);
  PackedBatch batch;
  batch.add_span(tokens.data(), tokens.data() + tokens.size(), -1, 0);
  batch.add_output(2);
  batch.add_output(7);
  batch.end_stream();
  const at::Tensor some = final_hidden(decoder, batch);
  CHECK(difference(some[0], all[2]) < 1e-13);
  CHECK(difference(some[1], all[7]) < 1e-13);
  const PreparedBatch prepared = decoder.prepare(batch);
  at::Tensor x = decoder.embed(batch.tokens);
  for (std::int64_t layer = 0; layer < decoder.config().layers; ++layer) {
    x = decoder.run_layers(x, prepared, layer, layer + 1, nullptr);
  }
  CHECK(same_bits(x, some));
}

TEST_CASE("float32 and bfloat16 products stay close to float64") {
  const TinyBase base;
  const std::vector<TokenId> tokens = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};
  const at::Tensor exact = alone(Decoder(base, {at::kDouble, at::kCPU}), tokens);
  const at::Tensor single = alone(Decoder(base, {at::kFloat, at::kCPU}), tokens);
  const at::Tensor half = alone(Decoder(base, {at::kBFloat16, at::kCPU}), tokens);
  CHECK(single.scalar_type() == at::kFloat);
  CHECK(half.scalar_type() == at::kFloat);  // the residual stream stays float32
  CHECK(difference(single, exact) < 1e-4);
  const double scale = exact.abs().max().item<double>();
  CHECK(difference(half, exact) < 0.05 * scale);
  CHECK(difference(half, exact) > 1e-5);
}

TEST_CASE("rows rounded up to a multiple are padding after the last stream") {
  const ExampleSet set = tiny_examples({}, 5);
  const ExampleBatcher batcher(set, TaskKind::multiple_choice, Scoring::label_token, at::kCPU, at::kDouble);
  const ExampleBatch plain = batcher.build({{0, 1}, {2, 3, 4}});
  const ExampleBatch rounded = batcher.build({{0, 1}, {2, 3, 4}}, {.row_multiple = 32});
  CHECK(rounded.packed.rows() % 32 == 0);
  CHECK(rounded.packed.rows() - rounded.padding_rows == plain.packed.rows());
  CHECK(rounded.packed.layout.stream_offsets[1] == plain.packed.layout.stream_offsets[1]);
  const TinyBase base;
  const Decoder decoder(base, {at::kDouble, at::kCPU});
  CHECK(difference(final_hidden(decoder, rounded.packed), final_hidden(decoder, plain.packed)) < 1e-13);
}
