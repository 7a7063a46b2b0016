// A directory of files that appears under its name complete or not at all.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace chorale {

/// Files are written to PATH.tmp; commit() makes that PATH. What an earlier attempt left as PATH.tmp is removed.
class NewDirectory {
 public:
  /// Makes PATH.tmp and what is missing above it. StorageError, here and below.
  explicit NewDirectory(std::string path);
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;
  NewDirectory(NewDirectory&&) = delete;
  NewDirectory& operator=(NewDirectory&&) = delete;
  /// Removes PATH.tmp when there was no commit.
  ~NewDirectory();

  /// Where a file called `name` is to be written; note() must follow.
  [[nodiscard]] std::string file(std::string_view name) const { return unfinished_ + "/" + std::string(name); }
  /// Remembers the SHA-256 of a file written at file(name).
  void note(const std::string& name, std::string sha256) { files_[name] = std::move(sha256); }
  /// Writes a small file.
  void write(const std::string& name, std::string_view content);
  /// Copies a small file (a tokenizer's). InputError when it cannot be read.
  void copy(const std::string& name, const std::string& from);

  /// Names and SHA-256 of the files so far.
  [[nodiscard]] const std::map<std::string, std::string>& files() const { return files_; }
  /// Gives the directory its name, durably.
  void commit();

 private:
  std::string path_;
  std::string unfinished_;
  bool committed_ = false;
  std::map<std::string, std::string> files_;
};

}  // namespace chorale
