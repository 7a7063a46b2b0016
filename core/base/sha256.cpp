#include "core/base/sha256.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "core/base/errors.hpp"
#include "core/base/heartbeat.hpp"

namespace chorale {

void Sha256::Deleter::operator()(evp_md_ctx_st* context) const noexcept {
  EVP_MD_CTX_free(context);
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  const bool started = context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1;
  CHORALE_ASSERT(started, "OpenSSL offers no SHA-256");
}

void Sha256::update(std::span<const std::byte> bytes) {
  CHORALE_ASSERT(context_ != nullptr, "SHA-256 continued after finish()");
  CHORALE_ASSERT(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1, "SHA-256 failed");
}

void Sha256::update(std::string_view text) {
  update(std::as_bytes(std::span(text)));
}

std::string Sha256::finish() {
  CHORALE_ASSERT(context_ != nullptr, "SHA-256 finished twice");
  std::array<unsigned char, 32> digest{};
  unsigned int size = 0;
  CHORALE_ASSERT(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1 && size == digest.size(),
                 "SHA-256 failed");
  context_.reset();
  std::string text;
  text.reserve(2 * digest.size());
  for (const unsigned char byte : digest) {
    fmt::format_to(std::back_inserter(text), "{:02x}", byte);
  }
  return text;
}

std::string sha256(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

std::string sha256(std::string_view text) {
  return sha256(std::as_bytes(std::span(text)));
}

std::string sha256_base64(std::string_view text) {
  const std::string digits = sha256(text);
  std::array<unsigned char, 32> digest{};
  for (std::size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<unsigned char>(std::stoi(digits.substr(2 * i, 2), nullptr, 16));
  }
  std::array<unsigned char, 45> encoded{};  // 4 for each 3 bytes, and a zero
  const int length = EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(digest.size()));
  return {encoded.begin(), encoded.begin() + length};
}

std::string sha256_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw InputError(
        fmt::format("{}: cannot be opened: {}. Check the path and its permissions.", path, std::strerror(errno)));
  }
  Sha256 hash;
  std::vector<char> chunk(1 << 20);
  do {
    beat();
    file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    hash.update(std::string_view(chunk.data(), static_cast<std::size_t>(file.gcount())));
  } while (file);
  if (!file.eof()) {
    throw InputError(fmt::format("{}: reading stopped half-way: {}. Check the disk, or copy the file again.", path,
                                 std::strerror(errno)));
  }
  return hash.finish();
}

}  // namespace chorale
