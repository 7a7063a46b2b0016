// What becomes of NCCL's answers, with a stand-in for the library that answers as it is told. No GPU is needed.
#include "distributed/nccl_handle.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <thread>

#include "support/catch.hpp"

using namespace chorale;

namespace {

using namespace std::chrono_literals;

// Pieces as they were handed over; nothing is ever read or written there.
struct Piece {
  std::uintptr_t begin = 0;
  std::size_t count = 0;
};

class Fake : public nccl::Api {
 public:
  std::atomic<int> busy{0};  // answers "in progress" that many times, then `state`
  std::atomic<ncclResult_t> state{ncclSuccess};
  std::atomic<ncclResult_t> call{ncclInProgress};
  std::atomic<int> finalized{0};
  std::atomic<int> destroyed{0};
  std::atomic<int> aborted{0};
  std::atomic<int> asked{0};
  std::atomic<int> inside{0};  // threads in a call: NCCL wants one at a time
  std::atomic<bool> met{false};
  std::vector<Piece> pieces;
  int blocking = -1;

  ncclResult_t get_unique_id(ncclUniqueId* /*id*/) override {
    return call == ncclInProgress ? ncclSuccess : call.load();
  }
  ncclResult_t init_rank(ncclComm_t* comm, int /*ranks*/, const ncclUniqueId& /*id*/, int /*rank*/,
                         ncclConfig_t* config) override {
    blocking = config->blocking;
    *comm = here();
    return call;
  }
  ncclResult_t async_error(ncclComm_t comm, ncclResult_t* result) override {
    const Inside alone(*this);
    REQUIRE_FALSE(aborted + destroyed > 0);  // it is gone
    REQUIRE(comm == here());
    ++asked;
    *result = busy > 0 ? ncclInProgress : state.load();
    if (busy > 0) --busy;
    return ncclSuccess;
  }
  ncclResult_t all_reduce_sum(void* data, std::size_t count, ncclDataType_t /*type*/, ncclComm_t /*comm*/,
                              cudaStream_t /*stream*/) override {
    return take(data, count);
  }
  ncclResult_t broadcast(void* data, std::size_t bytes, int root, ncclComm_t /*comm*/,
                         cudaStream_t /*stream*/) override {
    return root > 3 ? ncclInvalidArgument : take(data, bytes);
  }
  ncclResult_t finalize(ncclComm_t /*comm*/) override {
    ++finalized;
    return ncclInProgress;
  }
  ncclResult_t destroy(ncclComm_t /*comm*/) override {
    ++destroyed;
    return ncclSuccess;
  }
  ncclResult_t abort(ncclComm_t /*comm*/) override {
    const Inside alone(*this);
    ++aborted;
    return ncclSuccess;
  }
  const char* error_string(ncclResult_t result) override {
    return result == ncclRemoteError ? "remote process exited or there was a network error" : "some error";
  }
  const char* last_error() override { return ""; }

 private:
  class Inside {
   public:
    explicit Inside(Fake& fake) : fake_(fake) {
      if (++fake_.inside > 1) fake_.met = true;
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    ~Inside() { --fake_.inside; }

   private:
    Fake& fake_;
  };

  // Never followed.
  ncclComm_t here() { return reinterpret_cast<ncclComm_t>(this); }

  ncclResult_t take(void* data, std::size_t count) {
    const Inside alone(*this);
    pieces.push_back({reinterpret_cast<std::uintptr_t>(data), count});
    return call;
  }
};

bool never() noexcept {
  return false;
}

std::atomic<bool> over{false};
bool once_over() noexcept {
  return over;
}

nccl::Patience patience(double operation = 5.0) {
  nccl::Patience result;
  result.start = 5.0;
  result.operation = operation;
  result.end = 1.0;
  result.given_up = never;
  return result;
}

nccl::Handle handle_on(Fake& fake, const nccl::Patience& how) {
  return {ncclUniqueId{}, 4, 1, "rank 1 on HOST", how, fake};
}

std::string error_of(const std::function<void()>& part) {
  try {
    part();
  } catch (const nccl::NcclError& error) {
    return error.what();
  }
  return "";
}

bool comes_true(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

// An address that stands for memory of any size.
void* somewhere() {
  static std::byte place{};
  return &place;
}

double seconds_of(const std::function<void()>& part) {
  const auto begin = std::chrono::steady_clock::now();
  part();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

TEST_CASE("calls that are still being worked on are waited for by asking", "[nccl]") {
  Fake fake;
  fake.busy = 300;
  {
    auto handle = handle_on(fake, patience());
    CHECK(fake.blocking == 0);
    CHECK(fake.asked > 300);
    fake.busy = 250;
    handle.all_reduce_sum(somewhere(), 10, ncclFloat32, nullptr);
    CHECK(fake.busy == 0);
    CHECK(fake.pieces.size() == 1);
    fake.busy = 20;  // of the end, too
  }
  CHECK(fake.finalized == 1);
  CHECK(fake.destroyed == 1);
  CHECK(fake.aborted == 0);
  CHECK_FALSE(fake.met);
}

TEST_CASE("what is too large for a counter goes in pieces, each once and in order", "[nccl]") {
  Fake fake;
  auto handle = handle_on(fake, patience());
  const auto begin = reinterpret_cast<std::uintptr_t>(somewhere());
  for (const std::size_t count : {std::size_t{1}, std::size_t{1} << 28, (std::size_t{1} << 31) + 12345}) {
    for (const auto& [type, width] : {std::pair(ncclFloat32, std::size_t{4}), std::pair(ncclFloat64, std::size_t{8})}) {
      fake.pieces.clear();
      handle.all_reduce_sum(somewhere(), count, type, nullptr);
      std::size_t done = 0;
      for (const Piece& piece : fake.pieces) {
        REQUIRE(piece.begin == begin + done * width);
        REQUIRE(piece.count * width <= std::size_t{1} << 30);
        done += piece.count;
      }
      CHECK(done == count);
    }
    fake.pieces.clear();
    handle.broadcast(somewhere(), count, 2, nullptr);
    std::size_t done = 0;
    for (const Piece& piece : fake.pieces) {
      REQUIRE(piece.begin == begin + done);
      done += piece.count;
    }
    CHECK(done == count);
  }
  fake.pieces.clear();
  handle.all_reduce_sum(somewhere(), 0, ncclFloat32, nullptr);
  CHECK(fake.pieces.empty());
}

TEST_CASE("an asynchronous error aborts the communicator without being asked for, once", "[nccl]") {
  Fake fake;
  {
    auto handle = handle_on(fake, patience());
    handle.all_reduce_sum(somewhere(), 10, ncclFloat32, nullptr);
    fake.state = ncclRemoteError;  // while this process waits for its GPU
    REQUIRE(comes_true([&] { return fake.aborted == 1; }));
    for (int again = 0; again < 2; ++again) {
      const std::string message = error_of([&] { handle.check_earlier("the sum of the gradients"); });
      INFO(message);
      CHECK(message.find("the sum of the gradients failed on rank 1 on HOST: an earlier operation ended with: remote "
                         "process exited") == 0);
      CHECK(message.find("distributed.backend=mpi does without it.") != std::string::npos);
    }
    CHECK(error_of([&] { handle.all_reduce_sum(somewhere(), 1, ncclFloat32, nullptr); }) != "");
    CHECK(fake.pieces.size() == 1);  // no second call into what is gone
  }
  CHECK(fake.aborted == 1);
  CHECK(fake.finalized == 0);
  CHECK(fake.destroyed == 0);
  CHECK_FALSE(fake.met);
}

TEST_CASE("an error of a call itself aborts, too", "[nccl]") {
  Fake fake;
  {
    auto handle = handle_on(fake, patience());
    CHECK(error_of([&] { handle.broadcast(somewhere(), 16, 99, nullptr); }).find("ncclBroadcast failed on rank 1") ==
          0);
  }
  CHECK(fake.aborted == 1);
  Fake refusing;
  refusing.call = ncclSystemError;
  CHECK(error_of([&] { static_cast<void>(nccl::unique_id("rank 0", refusing)); }).find("ncclGetUniqueId failed") == 0);
  CHECK(error_of([&] { handle_on(refusing, patience()); }).find("ncclCommInitRankConfig failed on rank 1 on HOST") ==
        0);
  CHECK(refusing.aborted == 1);
}

TEST_CASE("others that never come: the start and the end have limits of their own", "[nccl]") {
  Fake fake;
  fake.busy = 1'000'000'000;
  nccl::Patience short_start = patience();
  short_start.start = 0.3;
  const std::string message = error_of([&] { handle_on(fake, short_start); });
  CHECK(message.find(
            "ncclCommInitRankConfig failed on rank 1 on HOST: the other ranks did not come along within 0 s") == 0);
  CHECK(fake.aborted == 1);
  Fake lonely;
  nccl::Patience short_end = patience();
  short_end.end = 0.2;
  const double seconds = seconds_of([&] {
    const auto handle = handle_on(lonely, short_end);
    lonely.busy = 1'000'000'000;
  });
  CHECK(seconds < 5.0);
  CHECK(lonely.aborted == 1);
  CHECK(lonely.destroyed == 0);
}

TEST_CASE("an operation that hangs ends when the watchdog gives up, wherever this process is", "[nccl]") {
  nccl::Patience watched = patience(std::numeric_limits<double>::infinity());
  watched.given_up = once_over;
  for (const bool waits_inside : {true, false}) {
    over = false;
    Fake fake;
    {
      auto handle = handle_on(fake, watched);
      fake.busy = 1'000'000'000;
      std::jthread watchdog([] {
        std::this_thread::sleep_for(200ms);
        over = true;
      });
      if (waits_inside) {
        const std::string message = error_of([&] { handle.all_reduce_sum(somewhere(), 10, ncclFloat64, nullptr); });
        CHECK(message.find("ncclAllReduce failed on rank 1 on HOST: the watchdog has ended the run") == 0);
      } else {
        REQUIRE(comes_true([&] { return fake.aborted == 1; }));  // as it would while the GPU is waited for
      }
    }
    CHECK(fake.aborted == 1);
    CHECK(fake.destroyed == 0);
    CHECK_FALSE(fake.met);
  }
}
