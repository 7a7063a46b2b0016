// NCCL on two or more ranks, against plain arithmetic and against one rank. Run under mpirun; with fewer GPUs than
// ranks each rank needs an NCCL_HOSTID of its own.
#include "distributed/nccl_communicator.hpp"

#include <ATen/ATen.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "distributed/group_communicator.hpp"
#include "gpu/gpu_world.hpp"
#include "support/catch.hpp"
#include "support/tensors.hpp"
#include "support/tiny_run.hpp"

using namespace chorale;
using namespace chorale::test;

namespace {

std::unique_ptr<Communicator> all_ranks() {
  return make_group_communicator(world(), world().split(0), gpu(), "nccl");
}

bool is_nccl(const std::unique_ptr<Communicator>& communicator) {
  return dynamic_cast<const NcclCommunicator*>(communicator.get()) != nullptr;
}

// What rank `rank` holds: whole numbers, whose sums are exact in any order.
at::Tensor values(std::int64_t rank, std::int64_t count, at::ScalarType type) {
  return at::arange(count, at::kLong).remainder(101).add((rank + 1) * 1000).to(type);
}

at::Tensor sum_of_values(std::int64_t count, at::ScalarType type) {
  at::Tensor sum = at::zeros({count}, type);
  for (std::int64_t rank = 0; rank < world().size(); ++rank) sum += values(rank, count, type);
  return sum;
}

bool same_on_all_ranks(const at::Tensor& tensor) {
  const at::Tensor host = tensor.to(at::kCPU).contiguous();
  const auto* data = static_cast<const std::byte*>(host.const_data_ptr());
  for (const auto& other : world().everyone().all_gather({data, host.nbytes()})) {
    if (other.size() != host.nbytes() || std::memcmp(other.data(), data, other.size()) != 0) return false;
  }
  return true;
}

double relative(const at::Tensor& here, const at::Tensor& expected) {
  return difference(here, expected) / expected.abs().max().item<double>();
}

// Takes NCCL_HOSTID away and puts it back.
class WithoutHostId {
 public:
  WithoutHostId() {
    if (const char* value = std::getenv("NCCL_HOSTID")) value_ = value;
    unsetenv("NCCL_HOSTID");
  }
  WithoutHostId(const WithoutHostId&) = delete;
  WithoutHostId& operator=(const WithoutHostId&) = delete;
  ~WithoutHostId() {
    if (!value_.empty()) setenv("NCCL_HOSTID", value_.c_str(), 1);
  }

 private:
  std::string value_;
};

}  // namespace

TEST_CASE("NCCL: sums over the ranks are those of plain arithmetic", "[nccl]") {
  if (!has_gpus()) return;
  REQUIRE(world().size() > 1);
  const auto group = all_ranks();
  REQUIRE(is_nccl(group));
  CHECK(group->rank() == world().rank());
  CHECK(group->size() == world().size());
  std::uint64_t bytes = 0;
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    for (const std::int64_t count : {0, 1, 7, 1000, 1 << 20}) {
      at::Tensor tensor = values(world().rank(), count, type).to(gpu());
      const void* place = tensor.const_data_ptr();
      group->all_reduce_sum(tensor);
      CHECK(tensor.const_data_ptr() == place);
      CHECK(at::equal(tensor.cpu(), sum_of_values(count, type)));
      bytes += static_cast<std::uint64_t>(tensor.nbytes());
    }
  }
  CHECK(group->reduced_bytes() == bytes);
}

TEST_CASE("NCCL: a sum that rounds has the same bits on every rank", "[nccl]") {
  if (!has_gpus()) return;
  const auto group = all_ranks();
  at::Tensor tensor =
      at::arange(1, 300001, at::kFloat).reciprocal().mul_(static_cast<double>(world().rank() + 1) / 3.0);
  tensor = tensor.to(gpu());
  group->all_reduce_sum(tensor);
  CHECK(same_on_all_ranks(tensor));
}

TEST_CASE("NCCL: a broadcast gives every rank the root's tensor, of any type and from any root", "[nccl]") {
  if (!has_gpus()) return;
  const auto group = all_ranks();
  for (std::int64_t root = 0; root < world().size(); ++root) {
    for (const at::ScalarType type : {at::kByte, at::kInt, at::kLong, at::kFloat, at::kBFloat16}) {
      for (const std::int64_t count : {0, 1, 29, 100000}) {
        at::Tensor tensor = values(world().rank(), count, type).to(gpu());
        group->broadcast(tensor, root);
        CHECK(at::equal(tensor.cpu(), values(root, count, type)));
      }
    }
  }
  CHECK(group->reduced_bytes() == 0);
}

TEST_CASE("NCCL: what lies in host memory goes another way, between collectives on the GPU", "[nccl]") {
  if (!has_gpus()) return;
  const auto group = all_ranks();
  for (int repeat = 0; repeat < 3; ++repeat) {
    at::Tensor there = values(world().rank(), 100000, at::kFloat).to(gpu());
    at::Tensor here = values(world().rank(), 1000, at::kDouble);
    at::Tensor copied = values(world().rank(), 10, at::kLong);
    group->all_reduce_sum(there);
    group->all_reduce_sum(here);
    group->broadcast(copied, world().size() - 1);
    const std::byte mine{static_cast<unsigned char>(world().rank())};
    const auto all = group->all_gather({&mine, 1});
    REQUIRE(all.size() == static_cast<std::size_t>(world().size()));
    for (std::size_t rank = 0; rank < all.size(); ++rank) CHECK(all[rank].front() == static_cast<std::byte>(rank));
    CHECK(at::equal(there.cpu(), sum_of_values(100000, at::kFloat)));
    CHECK(at::equal(here, sum_of_values(1000, at::kDouble)));
    CHECK(at::equal(copied, values(world().size() - 1, 10, at::kLong)));
  }
}

TEST_CASE("NCCL: a sum comes after what is computed before it and before what is computed after it", "[nccl]") {
  if (!has_gpus()) return;
  const auto group = all_ranks();
  const std::int64_t width = 1024;
  // Products of this keep the GPU busy, and its rows sum to 1, so that they leave ones as they are.
  const at::Tensor average = at::full({width, width}, 1.0 / static_cast<double>(width), at::kDouble).to(gpu());
  at::Tensor result = at::ones({width, width}, average.options());
  double expected = 1.0;
  for (int repeat = 0; repeat < 10; ++repeat) {
    at::Tensor part = result;
    for (int i = 0; i < 5; ++i) part = average.matmul(part);
    part = part * static_cast<double>(world().rank() + 1);
    group->all_reduce_sum(part);
    // The memory of `part` is free for others as soon as this line is through.
    result = part / static_cast<double>(world().size());
    part = at::Tensor();
    const at::Tensor others = at::full({width, width}, -1.0, average.options());
    expected *= static_cast<double>(world().size() + 1) / 2.0;
  }
  CHECK(difference(result / expected, at::ones({width, width}, average.options())) < 1e-9);
}

TEST_CASE("NCCL: what cannot be exchanged is refused before anything is sent", "[nccl]") {
  if (!has_gpus()) return;
  const auto group = all_ranks();
  at::Tensor whole_numbers = at::zeros({4}, at::kInt).to(gpu());
  CHECK_THROWS_AS(group->all_reduce_sum(whole_numbers), InternalError);
  at::Tensor with_gaps = at::zeros({4, 4}).to(gpu()).t().slice(1, 0, 2);
  CHECK_THROWS_AS(group->all_reduce_sum(with_gaps), InternalError);
  at::Tensor fine = at::ones({4}).to(gpu());
  CHECK_THROWS_AS(group->broadcast(fine, world().size()), InternalError);
  group->all_reduce_sum(fine);
  CHECK(at::equal(fine.cpu(), at::full({4}, static_cast<double>(world().size()), at::kFloat)));
}

TEST_CASE("NCCL: the backend is chosen by recipe, group and device", "[nccl]") {
  if (!has_gpus()) return;
  CHECK_FALSE(nccl_version().empty());
  CHECK(is_nccl(make_group_communicator(world(), world().split(0), gpu(), "auto")));
  CHECK_FALSE(is_nccl(make_group_communicator(world(), world().split(0), gpu(), "mpi")));
  CHECK_FALSE(is_nccl(make_group_communicator(world(), world().split(0), at::kCPU, "auto")));
  CHECK_FALSE(is_nccl(make_group_communicator(world(), world().split(world().rank()), gpu(), "nccl")));
  try {
    static_cast<void>(make_group_communicator(world(), world().split(0), at::kCPU, "nccl"));
    FAIL("nothing was thrown");
  } catch (const AgreedError& error) {
    CHECK(error.code() == ExitCode::usage);
    CHECK(std::string(error.what()).find("rank 0 on " + world().host()) != std::string::npos);
  }
}

TEST_CASE("NCCL: ranks of a group on one GPU are refused before NCCL is asked", "[nccl]") {
  if (!has_gpus() || visible_gpus() >= world().node_size()) return;  // with a GPU for each there is nothing to refuse
  const WithoutHostId without;
  try {
    static_cast<void>(all_ranks());
    FAIL("nothing was thrown");
  } catch (const AgreedError& error) {
    CHECK(error.code() == ExitCode::usage);
    CHECK(std::string(error.what()).find("share the GPU GPU-") != std::string::npos);
  }
  CHECK_FALSE(is_nccl(make_group_communicator(world(), world().split(0), gpu(), "mpi")));
}

TEST_CASE("NCCL: gradients of one step over the ranks are those of one rank", "[nccl]") {
  if (!has_gpus()) return;
  const auto group = all_ranks();
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    TinyRunOptions options;
    options.dtype = type;
    options.device = gpu();
    options.adapter.dropout = 0.2;
    TinyRun alone(options);
    alone.trainer().compute_gradients(1);
    options.group = group.get();
    TinyRun shared(options);
    const std::uint64_t before = group->reduced_bytes();
    shared.trainer().compute_gradients(1);
    CHECK(group->reduced_bytes() - before == shared.bank().gradients().nbytes());
    CHECK(relative(shared.bank().gradients(), alone.bank().gradients()) < (type == at::kDouble ? 1e-12 : 1e-5));
    CHECK(same_on_all_ranks(shared.bank().gradients()));
  }
}

TEST_CASE("NCCL: a training over the ranks ends as that of one rank", "[nccl]") {
  if (!has_gpus()) return;
  const auto group = all_ranks();
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    TinyRunOptions options;
    options.dtype = type;
    options.device = gpu();
    options.validation = true;
    options.adapter.dropout = 0.2;
    TinyRun alone(options);
    alone.trainer().run();
    options.group = group.get();
    TinyRun shared(options);
    shared.trainer().run();
    CHECK(relative(shared.bank().parameters(), alone.bank().parameters()) < (type == at::kDouble ? 1e-9 : 1e-4));
    CHECK(same_on_all_ranks(shared.bank().parameters()));
  }
}

TEST_CASE("NCCL: a sum in pieces is the sum", "[nccl]") {
  if (!has_gpus()) return;
  nccl::Patience patience;
  patience.piece = 4000;
  NcclCommunicator group(world().split(0), gpu(), "a rank", patience);
  for (const std::int64_t count : {999, 1000, 1001, 100'003}) {
    at::Tensor tensor = values(world().rank(), count, at::kFloat).to(gpu());
    group.all_reduce_sum(tensor);
    CHECK(at::equal(tensor.cpu(), sum_of_values(count, at::kFloat)));
    at::Tensor bytes = values(world().rank(), count, at::kLong).to(gpu());
    group.broadcast(bytes, world().size() - 1);
    CHECK(at::equal(bytes.cpu(), values(world().size() - 1, count, at::kLong)));
  }
  group.confirm();
}

TEST_CASE("NCCL: sums that round have the same bits when they are done again", "[nccl]") {
  if (!has_gpus()) return;
  std::vector<at::Tensor> results;
  for (int repeat = 0; repeat < 3; ++repeat) {  // by communicators of their own, as runs have
    const auto group = all_ranks();
    at::Tensor tensor =
        at::arange(1, 1'000'001, at::kFloat).reciprocal().mul_(1.0 / static_cast<double>(3 + world().rank())).to(gpu());
    group->all_reduce_sum(tensor);
    results.push_back(tensor.cpu());
  }
  CHECK(at::equal(results[0], results[1]));
  CHECK(at::equal(results[0], results[2]));
}

TEST_CASE("NCCL: the time of sums is that of waiting for the last rank", "[nccl]") {
  if (!has_gpus()) return;
  const auto group = all_ranks();
  at::Tensor tensor = at::ones({1000}).to(gpu());
  group->all_reduce_sum(tensor);  // the first one connects the ranks
  static_cast<void>(tensor.cpu());
  group->all_reduce_sum(tensor);
  static_cast<void>(tensor.cpu());
  const double before = group->summing_seconds();
  CHECK(before > 0.0);
  if (world().is_root()) std::this_thread::sleep_for(std::chrono::seconds(1));
  group->all_reduce_sum(tensor);
  static_cast<void>(tensor.cpu());
  group->all_reduce_sum(tensor);  // the one before is counted here
  const double waited = group->summing_seconds() - before;
  CHECK(waited > (world().is_root() ? 0.0 : 0.5));
  if (world().is_root()) CHECK(waited < 0.5);
}

// The last ones end communicators the hard way.

namespace {
std::atomic<bool> over{false};
bool once_over() noexcept {
  return over;
}
}  // namespace

TEST_CASE("NCCL: a sum that others never come to is aborted when the watchdog gives up", "[nccl]") {
  if (!has_gpus()) return;
  {
    nccl::Patience patience;
    patience.given_up = once_over;
    NcclCommunicator group(world().split(0), gpu(), "a rank", patience);
    at::Tensor tensor = at::ones({1000}).to(gpu());
    group.all_reduce_sum(tensor);  // all ranks: they are connected
    static_cast<void>(tensor.cpu());
    if (world().is_root()) {
      group.all_reduce_sum(tensor);  // nobody else
      std::jthread watchdog([] {
        std::this_thread::sleep_for(std::chrono::seconds(1));
        over = true;
      });
      static_cast<void>(tensor.cpu());  // would wait for ever
      CHECK_THROWS_AS(group.confirm(), nccl::NcclError);
    } else {
      over = true;  // ends its communicator without the others
    }
  }
  over = false;
  CHECK(world().everyone().all_gather({}).size() == static_cast<std::size_t>(world().size()));
}

TEST_CASE("NCCL: a refused call becomes an exception with operation, rank, host and NCCL's reason", "[nccl]") {
  if (!has_gpus()) return;
  const c10::DeviceGuard guard(gpu());
  ncclUniqueId id{};
  if (world().is_root()) id = nccl::unique_id("rank 0");
  at::Tensor bytes = at::empty({static_cast<std::int64_t>(sizeof id)}, at::kByte);
  std::memcpy(bytes.mutable_data_ptr(), &id, sizeof id);
  world().everyone().broadcast(bytes, 0);
  std::memcpy(&id, bytes.const_data_ptr(), sizeof id);
  nccl::Handle handle(id, static_cast<int>(world().size()), static_cast<int>(world().rank()), "rank R on HOST");
  at::Tensor tensor = at::zeros({4}).to(gpu());
  std::string message;
  try {
    handle.broadcast(tensor.mutable_data_ptr(), 16, 99, nullptr);
  } catch (const nccl::NcclError& error) {
    message = error.what();
    CHECK(error.code() == ExitCode::internal);
  }
  INFO(message);
  CHECK(message.find("ncclBroadcast failed on rank R on HOST: ") == 0);
  CHECK(message.find("distributed.backend=mpi") != std::string::npos);
}

TEST_CASE("NCCL: a rank that waits for others in vain says so and can leave", "[nccl]") {
  if (!has_gpus()) return;
  if (world().is_root()) {
    const c10::DeviceGuard guard(gpu());
    nccl::Patience patience;
    patience.start = 2.0;
    std::string message;
    try {
      const nccl::Handle handle(nccl::unique_id("rank 0"), 2, 0, "rank 0 on HOST", patience);
    } catch (const nccl::NcclError& error) {
      message = error.what();
    }
    INFO(message);
    CHECK(message.find(
              "ncclCommInitRankConfig failed on rank 0 on HOST: the other ranks did not come along within 2 s") == 0);
  }
  CHECK(world().everyone().all_gather({}).size() == static_cast<std::size_t>(world().size()));
}
