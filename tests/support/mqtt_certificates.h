// Throw-away certificates for TLS tests. Throws std::runtime_error when OpenSSL does not do its
// part. Main thread.
#pragma once

#include <filesystem>
#include <string>

namespace penstock::test {

struct TestAuthority {
  std::filesystem::path ca;    // PEM
  std::filesystem::path cert;  // PEM, issued by ca, for the DNS name or IPv4 address `name`
  std::filesystem::path key;
  std::filesystem::path locked_key;  // the same, encrypted with a passphrase
};

// Files named `prefix`-*.pem in `dir`; the certificate is valid from `from_s` to `to_s` seconds
// from now.
TestAuthority make_authority(const std::filesystem::path& dir, const std::string& prefix,
                             const std::string& name, long from_s = -60, long to_s = 3600);

}  // namespace penstock::test
