// One HTTP/1.1 request to a loopback port, for the admin interface of the local Zerobus server.
//
// Blocks for at most 10 s. Any thread. Status 0 means no usable answer; `body` then says why.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::test {

struct HttpReply {
  int status = 0;
  std::string body;
};

HttpReply http_get(uint16_t port, std::string_view path);
HttpReply http_post(uint16_t port, std::string_view path, std::string_view json_body = "{}");

}  // namespace penstock::test
