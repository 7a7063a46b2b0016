// HDF5 files as C++ values: owners that close themselves, every call checked, the library's error stack in the message.
// The library's own header stays in the .cpp files of this folder, so that nobody else needs its include path.
//
// Errors of files being read are InputErrors, of files being written StorageErrors; both name file and object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace chorale::hdf5 {

enum class Access { read, write };

/// Move-only owner of one of the library's identifiers.
class Handle {
 public:
  Handle() = default;
  explicit Handle(std::int64_t identifier) : identifier_(identifier) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  Handle(Handle&& other) noexcept;
  Handle& operator=(Handle&& other) noexcept;
  ~Handle();
  [[nodiscard]] std::int64_t get() const { return identifier_; }
  /// Gives the identifier up without closing it.
  std::int64_t release();

 private:
  std::int64_t identifier_ = -1;
};

/// Where an object is and what it may be used for; carried along for the messages.
struct Place {
  std::string file;
  std::string object;  // path inside the file
  Access access = Access::read;
};

/// Something that can carry attributes: the file's root, a group, a data set. Strings are variable-length UTF-8, which
/// h5py gives back as str.
class Object {
 public:
  void set_attribute(const std::string& name, std::string_view value);
  void set_attribute(const std::string& name, const std::vector<std::string>& values);
  void set_attribute(const std::string& name, std::int64_t value);
  void set_attribute(const std::string& name, double value);
  [[nodiscard]] bool has_attribute(const std::string& name) const;
  /// Nothing when the attribute is absent or of another kind.
  [[nodiscard]] std::optional<std::string> string_attribute(const std::string& name) const;
  [[nodiscard]] std::optional<std::int64_t> integer_attribute(const std::string& name) const;
  [[nodiscard]] std::optional<double> real_attribute(const std::string& name) const;
  /// A list of variable-length strings.
  [[nodiscard]] std::optional<std::vector<std::string>> strings_attribute(const std::string& name) const;
  [[nodiscard]] const Place& place() const { return place_; }

 protected:
  Object(Handle handle, Place place) : handle_(std::move(handle)), place_(std::move(place)) {}
  Handle handle_;
  Place place_;
};

/// A data set. Numbers are converted by the library; T is float, double, std::int32_t, std::int64_t or std::uint8_t.
class Dataset : public Object {
 public:
  [[nodiscard]] const std::vector<std::size_t>& shape() const { return shape_; }
  [[nodiscard]] std::size_t elements() const { return elements_; }
  /// Whole data set in row-major order. InputError when it holds another class of values (integers for reals or the
  /// reverse), when a checksum does not fit, or when it claims far more data than the file can hold.
  template <typename T>
  [[nodiscard]] std::vector<T> read() const;
  /// Fixed- or variable-length strings, one axis.
  [[nodiscard]] std::vector<std::string> read_strings() const;

 private:
  friend class Group;
  Dataset(Handle handle, Place place, std::uint64_t file_bytes);
  void check_claim(std::size_t element_bytes) const;
  std::vector<std::size_t> shape_;
  std::size_t elements_ = 0;
  std::uint64_t file_bytes_ = 0;
};

class Group : public Object {
 public:
  Group create_group(const std::string& name);
  /// Chunks of whole rows of about 512 KiB, each with a Fletcher-32 checksum. Asserts that shape and values agree.
  template <typename T>
  Dataset write(const std::string& name, std::span<const T> values, const std::vector<std::size_t>& shape);
  /// Fixed-length where padding costs little (checksums cover the text then), else variable-length.
  Dataset write_strings(const std::string& name, std::span<const std::string> values);

  /// Names in creation order where the file tracks it, else alphabetical.
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] bool contains(const std::string& name) const;
  /// InputError when it is missing, of another kind, or a link out of this place (soft, external): a file is read
  /// for what it holds itself.
  [[nodiscard]] Group group(const std::string& name) const;
  [[nodiscard]] Dataset dataset(const std::string& name) const;

 private:
  friend class File;
  Group(Handle handle, Place place, std::uint64_t file_bytes)
      : Object(std::move(handle), std::move(place)), file_bytes_(file_bytes) {}
  [[nodiscard]] Place child(const std::string& name) const;
  void check_link(const std::string& name) const;
  std::uint64_t file_bytes_ = 0;
};

class File {
 public:
  /// A new file, built in memory: the library's own writing to disk cannot be used, since HDF5 1.10 crashes while
  /// closing a file whose disk is full. Nothing is on disk before commit(). Costs the file's size in memory.
  [[nodiscard]] static File create(const std::string& path);
  /// Read-only. InputError for a missing, foreign, truncated or damaged file.
  [[nodiscard]] static File open(const std::string& path);
  [[nodiscard]] Group root() const;
  /// Writes the finished file to its path, atomically (core/base/atomic_file.hpp), and closes it. StorageError naming
  /// path, cause and remedy. A file that is not committed leaves no trace.
  void commit();

 private:
  File(Handle handle, Place place, std::uint64_t bytes)
      : handle_(std::move(handle)), place_(std::move(place)), bytes_(bytes) {}
  Handle handle_;
  Place place_;
  std::uint64_t bytes_;
};

/// Whether the file starts as HDF5 files do.
[[nodiscard]] bool has_hdf5_signature(const std::string& path);

}  // namespace chorale::hdf5
