// SHA-256 for fingerprints and manifests; OpenSSL does the arithmetic.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;  // OpenSSL's EVP_MD_CTX, kept out of our headers

namespace chorale {

/// A running SHA-256 over everything given to update().
class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  /// The digest as 64 lower-case hexadecimal digits. Ends the computation: nothing may be added afterwards.
  [[nodiscard]] std::string finish();

 private:
  struct Deleter {
    void operator()(evp_md_ctx_st* context) const noexcept;
  };
  std::unique_ptr<evp_md_ctx_st, Deleter> context_;
};

[[nodiscard]] std::string sha256(std::span<const std::byte> bytes);
[[nodiscard]] std::string sha256(std::string_view text);
/// In base64, as a Content-Security-Policy writes it.
[[nodiscard]] std::string sha256_base64(std::string_view text);
/// Of a file's contents; InputError when it cannot be read. An empty file has the digest of the empty text.
[[nodiscard]] std::string sha256_of_file(const std::string& path);

}  // namespace chorale
