#include "agent/zerobus/ca_file.h"

#include <fstream>
#include <sstream>

#include <spdlog/fmt/fmt.h>

namespace penstock::zerobus {

Result<std::string> read_ca_file(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in || !text) {
    return Error{
        ErrorKind::kTransient, fmt::format("CA file {} (tls.ca) cannot be read", file), {}};
  }
  if (text.str().find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    return Error{ErrorKind::kTransient,
                 fmt::format("CA file {} (tls.ca) holds no PEM certificate "
                             "(-----BEGIN CERTIFICATE-----)",
                             file),
                 {}};
  }
  return text.str();
}

}  // namespace penstock::zerobus
