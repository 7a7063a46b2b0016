// Files that are either complete or absent: written beside their final name, synced, then renamed over it.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace chorale {

/// The name a file carries until it is complete: in the same directory, because a rename is atomic only inside one file
/// system, and with the process id, so that two processes never write into each other's unfinished file.
[[nodiscard]] std::string unfinished_path(const std::string& path);

/// Makes the finished file `unfinished` appear as `path`: fsync of the file, rename, fsync of the directory. Throws
/// StorageError when a step fails and removes `unfinished`; `path` then holds what it held before (or the new file,
/// when only the last step failed).
void commit_file(const std::string& unfinished, const std::string& path);

/// Writes `content` to `path` so that a reader, or a crash at any moment, sees the old file or the new one and nothing
/// between. Throws StorageError naming the path, the cause and the remedy.
void write_file_atomically(const std::string& path, std::string_view content);
/// The same with content in several pieces, written back to back.
void write_file_atomically(const std::string& path, std::initializer_list<std::string_view> pieces);

/// Makes `path` and the directories above it that are missing, each durable in its parent. Throws StorageError.
void make_directories(const std::string& path);

/// Makes names created, renamed or removed in `directory` durable. Throws StorageError.
void sync_directory(const std::string& directory);

/// Throws StorageError "cannot <action> PATH: <reason of error_number>. <remedy>".
[[noreturn]] void throw_storage_error(const std::string& action, const std::string& path, int error_number);

}  // namespace chorale
