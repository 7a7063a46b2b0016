#include "distributed/self_test.hpp"

#include <ATen/ops/full.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <span>

#include "distributed/mpi_error.hpp"
#include "distributed/mpi_handle.hpp"
#include "distributed/mpi_messages.hpp"

namespace chorale {
namespace {

constexpr double kPatience = 15.0;  // seconds
constexpr std::size_t kSmall = 8;
constexpr std::size_t kLarge = std::size_t{1} << 20;
constexpr int kSmallRepeats = 20;
constexpr int kLargeRepeats = 5;

std::byte pattern(int from, int to, std::size_t index) {
  return static_cast<std::byte>(static_cast<std::size_t>(from) * 131 + static_cast<std::size_t>(to) * 31 + index * 7);
}

// Whom `rank` meets in a round of a tournament in which everybody meets everybody once; nothing when it rests.
std::optional<int> partner(int rank, int round, int ranks) {
  const int circle = ranks % 2 == 0 ? ranks - 1 : ranks;  // an even field has one player who stays in the middle
  int other = 0;
  if (rank == circle) {
    // The one who would meet itself: 2 * other == round (mod circle).
    other = (round % 2 == 0 ? round : round + circle) / 2;
  } else {
    other = ((round - rank) % circle + circle) % circle;
    if (other == rank) other = circle;
  }
  return other < ranks ? std::optional<int>(other) : std::nullopt;
}

class Pair {
 public:
  Pair(MPI_Comm comm, int rank, int other) : comm_(comm), rank_(rank), other_(other) {}

  /// Sends a pattern and expects its complement, then takes the time of messages that come back as they are.
  PairTime ask(std::vector<std::string>& faults) {
    PairTime time;
    time.microseconds = 0.5e6 * exchange(kSmall, kSmallRepeats, faults);
    time.gigabytes_per_second = 2e-9 * static_cast<double>(kLarge) / exchange(kLarge, kLargeRepeats, faults);
    return time;
  }

  /// The other side of ask().
  void answer(std::vector<std::string>& faults) {
    for (const auto& [size, repeats] : {std::pair(kSmall, kSmallRepeats), std::pair(kLarge, kLargeRepeats)}) {
      buffer_.assign(size, std::byte{0});
      receive();
      check(other_, rank_, faults);
      invert();
      send();
      for (int i = 0; i < repeats; ++i) {
        receive();
        send();
      }
    }
  }

 private:
  // Seconds of the fastest way there and back.
  double exchange(std::size_t size, int repeats, std::vector<std::string>& faults) {
    using Clock = std::chrono::steady_clock;
    double best = 1e9;
    buffer_.resize(size);
    for (std::size_t k = 0; k < size; ++k) buffer_[k] = pattern(rank_, other_, k);
    send();
    receive();
    for (int i = 0; i < repeats; ++i) {
      const auto begin = Clock::now();
      send();
      receive();
      best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
    }
    invert();
    check(rank_, other_, faults);
    return std::max(best, 1e-9);
  }

  void invert() {
    for (std::byte& byte : buffer_) byte = ~byte;
  }

  // Notes the first message of the pair that arrived changed.
  void check(int from, int to, std::vector<std::string>& faults) {
    std::size_t wrong = 0;
    for (std::size_t k = 0; k < buffer_.size(); ++k) wrong += buffer_[k] != pattern(from, to, k) ? 1U : 0U;
    if (wrong == 0 || faulty_) return;
    faulty_ = true;
    faults.push_back(fmt::format("{} of {} bytes between ranks {} and {} arrived changed, seen by rank {}", wrong,
                                 buffer_.size(), from, to, rank_));
  }

  void send() {
    MPI_Request request = MPI_REQUEST_NULL;
    mpi::check(MPI_Isend(buffer_.data(), count(), MPI_BYTE, other_, 0, comm_, &request), "MPI_Isend");
    mpi::wait_for(request, fmt::format("sending to rank {}", other_), mpi::Waiting::briskly, kPatience);
  }
  void receive() {
    MPI_Request request = MPI_REQUEST_NULL;
    mpi::check(MPI_Irecv(buffer_.data(), count(), MPI_BYTE, other_, 0, comm_, &request), "MPI_Irecv");
    mpi::wait_for(request, fmt::format("receiving from rank {}", other_), mpi::Waiting::briskly, kPatience);
  }
  [[nodiscard]] int count() const { return mpi::checked_count(static_cast<std::int64_t>(buffer_.size()), "a message"); }

  MPI_Comm comm_;
  int rank_;
  int other_;
  bool faulty_ = false;
  std::vector<std::byte> buffer_;
};

std::vector<PairTime> meet_everyone(const mpi::CommHandle& comm, std::vector<std::string>& faults) {
  const int rank = comm.rank();
  const int ranks = comm.size();
  std::vector<PairTime> times(static_cast<std::size_t>(ranks));
  const int rounds = ranks % 2 == 0 ? ranks - 1 : ranks;
  for (int round = 0; ranks > 1 && round < rounds; ++round) {
    const std::optional<int> other = partner(rank, round, ranks);
    if (!other) continue;
    Pair pair(comm.get(), rank, *other);
    if (rank > *other) pair.answer(faults);
    times[static_cast<std::size_t>(*other)] = pair.ask(faults);
    if (rank < *other) pair.answer(faults);
  }
  return times;
}

// Whole numbers, so that the right answer is exact.
void check_collectives(World& world, std::vector<std::string>& faults) {
  const auto expect = [&](bool right, const char* what) {
    if (!right) faults.push_back(fmt::format("{} gave rank {} something wrong", what, world.rank()));
  };
  const auto all_equal = [](const at::Tensor& tensor, std::int64_t value) {
    const std::span<const double> values(tensor.const_data_ptr<double>(), static_cast<std::size_t>(tensor.numel()));
    return std::all_of(values.begin(), values.end(), [&](double v) { return v == static_cast<double>(value); });
  };
  const std::int64_t ranks = world.size();
  at::Tensor numbers = at::full({10'000}, static_cast<double>(world.rank() + 1), at::kDouble);
  world.everyone().all_reduce_sum(numbers);
  expect(all_equal(numbers, ranks * (ranks + 1) / 2), "a sum over all ranks");
  at::Tensor sent = at::full({10'000}, static_cast<double>(world.rank()), at::kDouble);
  world.everyone().broadcast(sent, ranks - 1);
  expect(all_equal(sent, ranks - 1), "a broadcast from the last rank");
  const auto text_of = [](std::int64_t rank) { return std::string(static_cast<std::size_t>(rank % 7), 'x') + "end"; };
  const auto whole = [&](const std::vector<std::vector<std::byte>>& all) {
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      const std::string text = text_of(static_cast<std::int64_t>(rank));
      const auto bytes = std::as_bytes(std::span(text));
      if (!std::equal(bytes.begin(), bytes.end(), all[rank].begin(), all[rank].end())) return false;
    }
    return true;
  };
  const std::string mine = text_of(world.rank());
  const auto everywhere = world.everyone().all_gather(std::as_bytes(std::span(mine)));
  expect(everywhere.size() == static_cast<std::size_t>(ranks) && whole(everywhere), "a gathering on all ranks");
  expect(whole(world.gather(std::as_bytes(std::span(mine)))), "a gathering on rank 0");
  expect(world.broadcast(mine) == text_of(0), "a text from rank 0");
}

}  // namespace

SelfTest self_test(World& world) {
  std::vector<std::string> faults;
  nlohmann::json row = nlohmann::json::array();
  if (world.uses_mpi()) {
    const mpi::CommHandle comm = mpi::duplicate(MPI_COMM_WORLD);
    for (const PairTime& time : meet_everyone(comm, faults))
      row.push_back({time.microseconds, time.gigabytes_per_second});
  } else {
    row.push_back({0.0, 0.0});
  }
  check_collectives(world, faults);
  const std::string mine = nlohmann::json{{"row", row}, {"faults", faults}}.dump();
  SelfTest result;
  for (const auto& bytes : world.gather(std::as_bytes(std::span(mine)))) {
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    const nlohmann::json from = nlohmann::json::parse(text, text + bytes.size());
    std::vector<PairTime>& times = result.pairs.emplace_back();
    for (const auto& time : from["row"]) times.push_back({time[0].get<double>(), time[1].get<double>()});
    for (const auto& fault : from["faults"]) result.faults.push_back(fault.get<std::string>());
  }
  return result;
}

std::string mpi_library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING + 1> text{};
  int length = 0;
  mpi::check(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
  const std::string whole(text.data(), static_cast<std::size_t>(length));
  return whole.substr(0, whole.find_first_of(",\n"));
}

}  // namespace chorale
