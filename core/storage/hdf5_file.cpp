#include <fmt/format.h>
#include <hdf5.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include "core/base/atomic_file.hpp"
#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/storage/file_seal.hpp"
#include "core/storage/hdf5_check.hpp"

namespace chorale::hdf5 {
namespace {

Handle access_properties(const Place& place) {
  Handle properties = own(H5Pcreate(H5P_FILE_ACCESS), place, "open");
  // Formats between 1.8 and 1.10: checksummed metadata, and readable by every library in use.
  check(H5Pset_libver_bounds(properties.get(), H5F_LIBVER_V18, H5F_LIBVER_V110), place, "open");
  constexpr std::size_t kGrowth = 4096;  // the file is padded up to a multiple of it
  check(H5Pset_fapl_core(properties.get(), kGrowth, false), place, "open");  // in memory, no file behind it
  return properties;
}

Handle group_properties(hid_t kind, const Place& place) {
  Handle properties = own(H5Pcreate(kind), place, "create");
  check(H5Pset_link_creation_order(properties.get(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED), place, "create");
  check(H5Pset_obj_track_times(properties.get(), false), place, "create");
  return properties;
}

}  // namespace

bool has_hdf5_signature(const std::string& path) {
  constexpr std::array<char, 8> kSignature = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) {
    return false;
  }
  std::array<char, 8> start{};
  std::ifstream(path, std::ios::binary).read(start.data(), start.size());
  return start == kSignature;
}

File File::create(const std::string& path) {
  silence_library();
  Place place{path, "/", Access::write};
  const Handle access = access_properties(place);
  const Handle properties = group_properties(H5P_FILE_CREATE, place);
  Handle file = own(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, properties.get(), access.get()), place, "create");
  return {std::move(file), std::move(place), 0};
}

File File::open(const std::string& path) {
  silence_library();
  std::error_code failure;
  const std::uint64_t bytes = std::filesystem::file_size(path, failure);
  if (failure) {
    throw InputError(fmt::format("cannot read {}: {}. Check the path.", path, failure.message()));
  }
  if (!has_hdf5_signature(path)) {
    throw InputError(fmt::format("{}: is no HDF5 file. Check that it is the file you mean.", path));
  }
  check_seal(path);
  Place place{path, "/", Access::read};
  Handle file = own(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), place, "open");
  return {std::move(file), std::move(place), bytes};
}

Group File::root() const {
  return {own(H5Gopen2(handle_.get(), "/", H5P_DEFAULT), place_, "open"), place_, bytes_};
}

void File::commit() {
  check(H5Fflush(handle_.get(), H5F_SCOPE_GLOBAL), place_, "finish");
  // The in-memory driver's buffer itself: H5Fget_file_image would copy it and, in 1.10, spoil the checksum of the first
  // block by clearing a flag there.
  hsize_t size = 0;
  void* buffer = nullptr;  // where the driver keeps the address of its buffer
  check(H5Fget_filesize(handle_.get(), &size), place_, "finish");
  check(H5Fget_vfd_handle(handle_.get(), H5P_DEFAULT, &buffer), place_, "finish");
  const std::string_view image(*static_cast<const char**>(buffer), size);
  write_file_atomically(place_.file, {image, seal_of(image)});
  handle_ = Handle();
}

Place Group::child(const std::string& name) const {
  return {place_.file, (place_.object == "/" ? "" : place_.object) + "/" + name, place_.access};
}

Group Group::create_group(const std::string& name) {
  Place place = child(name);
  const Handle properties = group_properties(H5P_GROUP_CREATE, place);
  Handle group =
      own(H5Gcreate2(handle_.get(), name.c_str(), H5P_DEFAULT, properties.get(), H5P_DEFAULT), place, "create");
  return {std::move(group), std::move(place), file_bytes_};
}

std::vector<std::string> Group::names() const {
  H5G_info_t info{};
  check(H5Gget_info(handle_.get(), &info), place_, "list");
  const Handle properties = own(H5Gget_create_plist(handle_.get()), place_, "list");
  unsigned order = 0;
  check(H5Pget_link_creation_order(properties.get(), &order), place_, "list");
  const H5_index_t index = (order & H5P_CRT_ORDER_INDEXED) != 0 ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
  std::vector<std::string> result;
  for (hsize_t position = 0; position < info.nlinks; ++position) {
    const auto name_of = [&](char* into, std::size_t size) {
      return check(H5Lget_name_by_idx(handle_.get(), ".", index, H5_ITER_INC, position, into, size, H5P_DEFAULT),
                   place_, "list");
    };
    std::string name(static_cast<std::size_t>(name_of(nullptr, 0)), '\0');
    name_of(name.data(), name.size() + 1);
    result.push_back(std::move(name));
  }
  return result;
}

bool Group::contains(const std::string& name) const {
  return check(H5Lexists(handle_.get(), name.c_str(), H5P_DEFAULT), place_, "look into") > 0;
}

void Group::check_link(const std::string& name) const {
  const Place place = child(name);
  if (!contains(name)) {
    throw InputError(fmt::format("{}: {} is missing. Check that it is the file you mean, or make it anew.", place.file,
                                 printable(place.object)));
  }
  H5L_info_t info{};
  check(H5Lget_info(handle_.get(), name.c_str(), &info, H5P_DEFAULT), place, "open");
  if (info.type != H5L_TYPE_HARD) {
    throw InputError(fmt::format("{}: {} is a link to somewhere else. Copy what it means into the file (h5repack).",
                                 place.file, printable(place.object)));
  }
}

Group Group::group(const std::string& name) const {
  check_link(name);
  Place place = child(name);
  Handle group = own(H5Gopen2(handle_.get(), name.c_str(), H5P_DEFAULT), place, "open the group");
  return {std::move(group), std::move(place), file_bytes_};
}

Dataset Group::dataset(const std::string& name) const {
  check_link(name);
  Place place = child(name);
  Handle dataset = own(H5Dopen2(handle_.get(), name.c_str(), H5P_DEFAULT), place, "open the data set");
  return {std::move(dataset), std::move(place), file_bytes_};
}

}  // namespace chorale::hdf5
