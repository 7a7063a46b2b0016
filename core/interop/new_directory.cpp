#include "core/interop/new_directory.hpp"

#include <filesystem>
#include <utility>

#include "core/base/atomic_file.hpp"
#include "core/base/file_calls.hpp"
#include "core/base/mapped_file.hpp"
#include "core/base/sha256.hpp"

namespace chorale {

NewDirectory::NewDirectory(std::string path) : path_(std::move(path)), unfinished_(path_ + ".tmp") {
  if (const int failure = file_calls::remove_tree(unfinished_); failure != 0) {
    throw_storage_error("remove", unfinished_, failure);
  }
  make_directories(unfinished_);
}

NewDirectory::~NewDirectory() {
  if (!committed_) static_cast<void>(file_calls::remove_tree(unfinished_));
}

void NewDirectory::write(const std::string& name, std::string_view content) {
  write_file_atomically(file(name), content);
  note(name, sha256(content));
}

void NewDirectory::copy(const std::string& name, const std::string& from) {
  const MappedFile source(from);
  write(name, {reinterpret_cast<const char*>(source.bytes().data()), source.bytes().size()});
}

void NewDirectory::commit() {
  sync_directory(unfinished_);
  if (const int failure = file_calls::rename(unfinished_, path_); failure != 0) {
    throw_storage_error("write", path_, failure);
  }
  committed_ = true;
  const std::string parent = std::filesystem::path(path_).parent_path().string();
  sync_directory(parent.empty() ? "." : parent);
}

}  // namespace chorale
