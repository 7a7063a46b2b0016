#include "core/kernels/flash_plan.hpp"

#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "core/kernels/sent.hpp"

namespace chorale {
namespace {

// Sequences on the host.
struct HostSequences {
  std::vector<std::int64_t> query_offsets = {0};
  std::vector<std::int64_t> key_offsets = {0};
  std::vector<std::int64_t> key_rows;  // in the sequences' order
  std::int64_t longest_query = 0;
  std::int64_t longest_key = 0;

  void end_sequence(std::size_t queries) {
    query_offsets.push_back(static_cast<std::int64_t>(queries));
    key_offsets.push_back(static_cast<std::int64_t>(key_rows.size()));
    longest_query = std::max(longest_query, query_offsets.back() - *(query_offsets.end() - 2));
    longest_key = std::max(longest_key, key_offsets.back() - *(key_offsets.end() - 2));
  }

  // Lengths are only bounds, and sequences may be empty: rounded up, both are the same for most batches.
  void round_up() {
    constexpr std::int64_t kStep = 256;
    constexpr std::size_t kSequences = 32;
    for (std::int64_t* longest : {&longest_query, &longest_key}) *longest = (*longest + kStep - 1) / kStep * kStep;
    while (query_offsets.size() % kSequences != 1) end_sequence(static_cast<std::size_t>(query_offsets.back()));
  }
};

struct HostBranch {
  HostSequences sequences;
  std::vector<std::int64_t> query_order;  // of those that have the ancestor
};

struct HostPlan {
  bool padded = false;
  HostSequences own;
  std::vector<HostBranch> branches;
};

// The sequences inside spans; empty where a span's queries have gaps between them.
std::optional<HostSequences> own_sequences(const AttentionPlan& plan, bool& padded) {
  HostSequences result;
  std::vector<bool> seen(plan.layout.spans.size(), false);
  for (std::size_t stream = 1; stream < plan.query_offsets.size(); ++stream) {
    auto query = static_cast<std::size_t>(plan.query_offsets[stream - 1]);
    const auto stream_end = static_cast<std::size_t>(plan.query_offsets[stream]);
    bool padding_ended_it = false;
    while (query < stream_end) {
      const std::int64_t span = plan.query_spans[query];
      std::int64_t key = plan.query_rows[query];
      std::size_t end = query + 1;
      while (end < stream_end && plan.query_spans[end] == span &&
             plan.query_rows[end] == plan.query_rows[end - 1] + 1) {
        ++end;
      }
      if (span < 0) {  // a run of padding is a sequence of its own, whose result is zeroed
        padded = true;
      } else {
        const auto index = static_cast<std::size_t>(span);
        if (seen[index]) return std::nullopt;  // asks again behind a gap
        seen[index] = true;
        key = plan.layout.spans[index].begin;
      }
      for (; key <= plan.query_rows[end - 1]; ++key) result.key_rows.push_back(key);
      result.end_sequence(end);
      padding_ended_it = span < 0 && end == stream_end;
      query = end;
    }
    if (!padding_ended_it) result.end_sequence(stream_end);
  }
  result.round_up();
  return result;
}

std::int64_t ancestor_of(const SequenceLayout& layout, std::int64_t span, std::size_t generation) {
  for (std::size_t i = 0; i < generation && span >= 0; ++i) span = layout.spans[static_cast<std::size_t>(span)].parent;
  return span;
}

// Queries under their `generation`-th ancestor; without any when no span has one.
HostBranch branch_of(const AttentionPlan& plan, std::size_t generation) {
  std::map<std::int64_t, std::vector<std::int64_t>> queries;  // by ancestor
  for (std::size_t query = 0; query < plan.query_spans.size(); ++query) {
    const std::int64_t ancestor = ancestor_of(plan.layout, plan.query_spans[query], generation);
    if (ancestor >= 0) queries[ancestor].push_back(static_cast<std::int64_t>(query));
  }
  HostBranch branch;
  for (const auto& [ancestor, asking] : queries) {
    const Span& span = plan.layout.spans[static_cast<std::size_t>(ancestor)];
    branch.query_order.insert(branch.query_order.end(), asking.begin(), asking.end());
    for (std::int64_t row = span.begin; row < span.end; ++row) branch.sequences.key_rows.push_back(row);
    branch.sequences.end_sequence(branch.query_order.size());
  }
  branch.sequences.end_sequence(plan.query_rows.size());  // the others, who look at nothing here
  branch.sequences.round_up();
  return branch;
}

std::optional<HostPlan> host_plan_of(const AttentionPlan& plan) {
  HostPlan result;
  std::optional<HostSequences> own = own_sequences(plan, result.padded);
  if (!own) return std::nullopt;
  result.own = std::move(*own);
  for (std::size_t generation = 1;; ++generation) {
    HostBranch branch = branch_of(plan, generation);
    if (branch.query_order.empty()) return result;
    result.branches.push_back(std::move(branch));
  }
}

// All of 0 .. count-1: `first` in its order, then the others; and the place of each, and whether it is one of the
// first.
struct Order {
  std::vector<std::int64_t> order, place, first;
};

Order completed(std::vector<std::int64_t> first, std::size_t count) {
  Order result{std::move(first), std::vector<std::int64_t>(count), std::vector<std::int64_t>(count, 0)};
  for (const std::int64_t i : result.order) result.first[static_cast<std::size_t>(i)] = 1;
  for (std::size_t i = 0; i < count; ++i) {
    if (result.first[i] == 0) result.order.push_back(static_cast<std::int64_t>(i));
  }
  for (std::size_t i = 0; i < count; ++i) {
    result.place[static_cast<std::size_t>(result.order[i])] = static_cast<std::int64_t>(i);
  }
  return result;
}

FlashPlan make_flash_plan(const AttentionPlan& plan, c10::Device device) {
  const auto upload = [&](const auto& values, at::ScalarType type) {
    return sent(at::tensor(values, at::kLong).to(type), device);
  };
  const auto sequences_of = [&](const HostSequences& host, bool causal) {
    return FlashSequences{upload(host.query_offsets, at::kInt), upload(host.key_offsets, at::kInt), host.longest_query,
                          host.longest_key, causal};
  };
  FlashPlan result;
  std::vector<std::int64_t> real;
  for (const std::int64_t span : plan.query_spans) real.push_back(span >= 0 ? 1 : 0);
  result.query_index = upload(plan.query_rows, at::kLong);
  result.real = upload(real, at::kBool);
  const std::optional<HostPlan> host = host_plan_of(plan);
  if (!host) return result;
  result.possible = true;
  result.padded = host->padded;
  result.sequences = sequences_of(host->own, true);
  const auto rows = static_cast<std::size_t>(plan.layout.rows());
  for (const HostBranch& branch : host->branches) {
    const Order queries = completed(branch.query_order, plan.query_rows.size());
    const Order keys = completed(branch.sequences.key_rows, rows);
    result.branches.push_back({sequences_of(branch.sequences, false), upload(queries.order, at::kLong),
                               upload(queries.place, at::kLong), upload(queries.first, at::kBool),
                               upload(keys.order, at::kLong), upload(keys.place, at::kLong),
                               upload(keys.first, at::kBool)});
  }
  if (plan.query_rows.size() == rows) {  // then every row is a key of the sequence it lies in
    result.query_cosine = plan.cosine;
    result.query_sine = plan.sine;
    return result;
  }
  result.query_cosine = plan.cosine.index_select(0, result.query_index);
  result.query_sine = plan.sine.index_select(0, result.query_index);
  const Order keys = completed(host->own.key_rows, rows);
  std::vector<std::int64_t> unused;
  for (const std::int64_t used : keys.first) unused.push_back(1 - used);
  result.key_rows = upload(keys.order, at::kLong);
  result.unused = upload(unused, at::kBool);
  return result;
}

}  // namespace

std::vector<at::Tensor> FlashPlan::tensors() const {
  std::vector<at::Tensor> all;
  for (const at::Tensor& tensor : {query_index, real, sequences.query_offsets, sequences.key_offsets, key_rows, unused,
                                   query_cosine, query_sine}) {
    if (tensor.defined()) all.push_back(tensor);
  }
  for (const FlashBranch& branch : branches) {
    all.insert(all.end(), {branch.sequences.query_offsets, branch.sequences.key_offsets, branch.query_order,
                           branch.query_place, branch.asks, branch.key_order, branch.key_place, branch.asked});
  }
  return all;
}

std::vector<std::int64_t> flash_shape_of(const AttentionPlan& plan) {
  const std::optional<HostPlan> host = host_plan_of(plan);
  if (!host) return {0};
  std::vector<std::int64_t> shape = {1, host->padded ? 1 : 0};
  const auto add = [&shape](const HostSequences& sequences) {
    shape.insert(shape.end(), {static_cast<std::int64_t>(sequences.query_offsets.size()), sequences.longest_query,
                               sequences.longest_key});
  };
  add(host->own);
  for (const HostBranch& branch : host->branches) add(branch.sequences);
  return shape;
}

const FlashPlan& flash_plan_of(const AttentionPlan& plan, c10::Device device) {
  if (!plan.flash) plan.flash = std::make_shared<const FlashPlan>(make_flash_plan(plan, device));
  return *plan.flash;
}

}  // namespace chorale
