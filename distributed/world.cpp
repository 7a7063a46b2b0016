#include "distributed/world.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <optional>
#include <utility>

#include "distributed/failure.hpp"
#include "distributed/mpi_communicator.hpp"
#include "distributed/mpi_error.hpp"
#include "distributed/watchdog.hpp"
#include "distributed/watched.hpp"

namespace chorale {
namespace {

// What the world says to itself travels apart from everyone()'s messages, so the two never meet.
constexpr const char* kAgreement = "the ranks' agreement on the outcome";

constexpr double kPatience = 600.0;  // seconds, until a recipe says something else

std::string solo_host() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "this host";
}

}  // namespace

struct World::State {
  std::optional<Watchdog> watchdog;  // first: it still watches how MPI ends
  std::optional<mpi::Environment> environment;
  mpi::CommHandle control;
  std::unique_ptr<Communicator> everyone = std::make_unique<SoloCommunicator>();
  std::int64_t rank = 0;
  std::int64_t size = 1;
  std::int64_t node_rank = 0;
  std::int64_t node_size = 1;
  NodeMap nodes{{0}};
  std::string host;

  ~State() {
    if (watchdog && std::uncaught_exceptions() == 0) watch::enter(Collective::end, Circle::world);
  }

  // Ranks of a node are in the order of the world's: the first is its lowest, and its name.
  [[nodiscard]] NodeMap find_nodes(const mpi::CommHandle& node) const {
    std::int64_t name = rank;
    mpi::check(MPI_Bcast(&name, 1, MPI_INT64_T, 0, node.get()), "MPI_Bcast");
    std::vector<std::int64_t> names(static_cast<std::size_t>(size));
    mpi::check(MPI_Allgather(&name, 1, MPI_INT64_T, names.data(), 1, MPI_INT64_T, control.get()), "MPI_Allgather");
    return node_map(names);
  }

  // From here on this node's processes see each other.
  void start_watchdog(const mpi::CommHandle& node, Say say) {
    const auto processes = static_cast<std::size_t>(node_size);
    std::string name = node_rank == 0 ? WatchBoard::create(processes) : "";
    std::array<char, 64> shown{};
    name.copy(shown.data(), shown.size() - 1);
    mpi::broadcast_bytes(node.get(), std::as_writable_bytes(std::span(shown)), 0);
    auto board = std::make_unique<WatchBoard>(shown.data(), processes);
    // Everybody has it before its name goes.
    int arrived = 1;
    mpi::check(MPI_Allreduce(MPI_IN_PLACE, &arrived, 1, MPI_INT, MPI_MIN, node.get()), "MPI_Allreduce");
    WatchBoard::forget(name);
    watchdog.emplace(std::move(board), Watchdog::Place{rank, node_rank, size, host}, kPatience, std::move(say));
  }

  // The lowest rank that failed, or `size` when none did.
  [[nodiscard]] std::int64_t first_failing(bool failed) const {
    const watch::Inside inside(Collective::agreement, Circle::world);
    const std::int64_t mine = failed ? rank : size;
    std::int64_t first = size;
    MPI_Request request = MPI_REQUEST_NULL;
    mpi::check(MPI_Iallreduce(&mine, &first, 1, MPI_INT64_T, MPI_MIN, control.get(), &request), kAgreement);
    mpi::wait_for(request, kAgreement, mpi::Waiting::politely);
    return first;  // NOLINT(clang-analyzer-optin.mpi.MPI-Checker): wait_for() has waited
  }

  // Rank `root`'s text on every rank.
  [[nodiscard]] std::string spread(const std::string& text, std::int64_t root) const {
    const watch::Inside inside(Collective::broadcast, Circle::world);
    auto length = static_cast<std::int64_t>(text.size());
    MPI_Request request = MPI_REQUEST_NULL;
    mpi::check(MPI_Ibcast(&length, 1, MPI_INT64_T, static_cast<int>(root), control.get(), &request), "MPI_Ibcast");
    mpi::wait_for(request, "MPI_Ibcast", mpi::Waiting::politely);
    std::string result = text;  // NOLINT(clang-analyzer-optin.mpi.MPI-Checker): wait_for() has waited
    result.resize(static_cast<std::size_t>(length));
    mpi::broadcast_bytes(control.get(), std::as_writable_bytes(std::span(result)), static_cast<int>(root));
    return result;
  }
};

bool launched_by_mpi() {
  constexpr std::array kVariables = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};
  return std::any_of(kVariables.begin(), kVariables.end(),
                     [](const char* name) { return std::getenv(name) != nullptr; });
}

World World::start(Say say) {
  auto state = std::make_unique<State>();
  if (!launched_by_mpi()) {
    state->host = solo_host();
    return World(std::move(state));
  }
  state->environment.emplace();
  watch::use_end([] { static_cast<void>(MPI_Abort(MPI_COMM_WORLD, static_cast<int>(ExitCode::internal))); });
  state->control = mpi::duplicate(MPI_COMM_WORLD);
  auto everyone = std::make_unique<MpiCommunicator>(mpi::duplicate(MPI_COMM_WORLD), Circle::world);
  state->rank = everyone->rank();
  state->size = everyone->size();
  state->everyone = std::move(everyone);
  // A launcher's environment variables for this are missing or wrong under some launchers; the shared memory is not.
  const mpi::CommHandle node = mpi::split_by_node(MPI_COMM_WORLD);
  state->node_rank = node.rank();
  state->node_size = node.size();
  state->nodes = state->find_nodes(node);
  state->host = mpi::host_name();
  if (state->size > 1) state->start_watchdog(node, std::move(say));
  return World(std::move(state));
}

World::World(std::unique_ptr<State> state) : state_(std::move(state)) {}
World::World(World&&) noexcept = default;
World::~World() = default;

std::int64_t World::rank() const {
  return state_->rank;
}

std::int64_t World::size() const {
  return state_->size;
}

std::int64_t World::node_rank() const {
  return state_->node_rank;
}

std::int64_t World::node_size() const {
  return state_->node_size;
}

const NodeMap& World::nodes() const {
  return state_->nodes;
}

const std::string& World::host() const {
  return state_->host;
}

bool World::uses_mpi() const {
  return state_->environment.has_value();
}

Communicator& World::everyone() {
  return *state_->everyone;
}

std::unique_ptr<Communicator> World::split(std::int64_t colour) {
  CHORALE_ASSERT(colour >= 0 && colour <= std::numeric_limits<int>::max(), fmt::format("a group of colour {}", colour));
  if (!uses_mpi()) return std::make_unique<SoloCommunicator>();
  const watch::Inside inside(Collective::split, Circle::world);
  mpi::CommHandle part = mpi::split(state_->control.get(), static_cast<int>(colour));
  watch::own_slot().group.store(colour);
  if (part.size() == 1) return std::make_unique<SoloCommunicator>();
  return std::make_unique<MpiCommunicator>(std::move(part), Circle::group);
}

std::vector<std::vector<std::byte>> World::gather(std::span<const std::byte> bytes) {
  if (!uses_mpi()) return {{bytes.begin(), bytes.end()}};
  const watch::Inside inside(Collective::gathering, Circle::world);
  return mpi::gather_bytes(state_->control.get(), bytes, 0);
}

std::string World::broadcast(const std::string& text) {
  return uses_mpi() ? state_->spread(text, 0) : text;
}

std::vector<std::int64_t> World::largest(std::vector<std::int64_t> values) {
  if (!uses_mpi()) return values;
  const watch::Inside inside(Collective::reduction, Circle::world);
  std::vector<std::int64_t> result(values.size());
  MPI_Request request = MPI_REQUEST_NULL;
  mpi::check(MPI_Iallreduce(values.data(), result.data(), mpi::checked_count(std::ssize(values), "MPI_Iallreduce"),
                            MPI_INT64_T, MPI_MAX, state_->control.get(), &request),
             "MPI_Iallreduce");
  mpi::wait_for(request, "MPI_Iallreduce", mpi::Waiting::politely);
  return result;  // NOLINT(clang-analyzer-optin.mpi.MPI-Checker): wait_for() has waited
}

void World::together(const std::function<void()>& part) {
  if (size() == 1) {
    part();
    return;
  }
  std::optional<Failure> failure;
  std::int64_t origin = rank();
  try {
    part();
  } catch (const AgreedError& error) {
    failure = Failure{error.code(), error.what()};
    origin = error.rank();
  } catch (...) {
    failure = failure_of(std::current_exception());
  }
  const std::int64_t first = state_->first_failing(failure.has_value());
  if (first == size()) return;
  const auto number = [&](std::int64_t value) { return std::stoll(state_->spread(std::to_string(value), first)); };
  const auto code = static_cast<ExitCode>(number(failure ? static_cast<std::int64_t>(failure->code) : 0));
  const std::int64_t agreed_origin = number(origin);
  throw AgreedError(code, state_->spread(failure ? failure->message : "", first), agreed_origin);
}

void World::on_root(const std::function<void()>& part) {
  together([&] {
    if (is_root()) part();
  });
}

void World::set_patience(double seconds) {
  if (state_->watchdog) state_->watchdog->set_limit(seconds);
}

void World::at_step(std::int64_t step) noexcept {
  WatchSlot& slot = watch::own_slot();
  slot.step.store(step);
  slot.collective.store(static_cast<int>(Collective::none));
}

void World::print_to_standard_error(const std::string& message) {
  const std::string line = fmt::format("chorale: error: {}\n", message);
  static_cast<void>(std::fputs(line.c_str(), stderr));
  std::fflush(stderr);
}

void World::abort(int code) noexcept {
  std::fflush(nullptr);
  // Does not come back; should it, this process at least ends with the code.
  if (uses_mpi()) static_cast<void>(MPI_Abort(MPI_COMM_WORLD, code));
  std::_Exit(code);
}

}  // namespace chorale
