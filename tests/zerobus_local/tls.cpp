#include "tests/zerobus_local/tls.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

namespace penstock::local {
namespace {

Error refused(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }

// `end_of_label` is what a PEM block of the kind ends its BEGIN line with.
Result<std::string> read_pem(const char* option, const std::string& file,
                             std::string_view end_of_label) {
  std::ifstream in(file);
  std::ostringstream text;
  if (!in || !(text << in.rdbuf()))
    return refused(std::string(option) + ": cannot read " + file + ": " + std::strerror(errno));
  std::string pem = text.str();
  if (pem.find("-----BEGIN ") == std::string::npos ||
      pem.find(std::string(end_of_label) + "-----") == std::string::npos) {
    return refused(std::string(option) + ": " + file + " holds no PEM block '" +
                   std::string(end_of_label) + "'");
  }
  return pem;
}

}  // namespace

Result<std::shared_ptr<grpc::ServerCredentials>> server_credentials(const std::string& cert_file,
                                                                    const std::string& key_file) {
  if (cert_file.empty() && key_file.empty()) return grpc::InsecureServerCredentials();
  if (cert_file.empty() || key_file.empty())
    return refused("--tls-cert and --tls-key: give both or none");
  auto cert = read_pem("--tls-cert", cert_file, "CERTIFICATE");
  if (!cert) return std::move(cert).error();
  auto key = read_pem("--tls-key", key_file, "PRIVATE KEY");
  if (!key) return std::move(key).error();
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({*std::move(key), *std::move(cert)});
  return grpc::SslServerCredentials(options);
}

}  // namespace penstock::local
