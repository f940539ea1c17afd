// Credentials of the local server's gRPC port. Stateless; any thread.
#pragma once

#include <memory>
#include <string>

#include <grpcpp/security/server_credentials.h>

#include "agent/base/result.h"

namespace penstock::local {

// Both empty: without TLS. kRejected: only one of the two, a file that cannot be read or is no PEM
// of its kind. Whether the key belongs to the certificate shows when the port is opened.
Result<std::shared_ptr<grpc::ServerCredentials>> server_credentials(const std::string& cert_file,
                                                                    const std::string& key_file);

}  // namespace penstock::local
