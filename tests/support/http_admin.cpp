#include "tests/support/http_admin.h"

#include <charconv>

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/support/net.h"

namespace penstock::test {
namespace {

HttpReply parse(const std::string& answer) {
  constexpr std::string_view kStart = "HTTP/1.1 ";
  HttpReply reply;
  const auto body = answer.find("\r\n\r\n");
  if (!answer.starts_with(kStart) || body == std::string::npos)
    return {0, "not an HTTP answer: " + answer};
  std::from_chars(answer.data() + kStart.size(), answer.data() + answer.size(), reply.status);
  reply.body = answer.substr(body + 4);
  return reply;
}

HttpReply ask(uint16_t port, const std::string& request) {
  const int fd = connect_loopback(port);
  if (fd < 0) return {0, "nobody listens on port " + std::to_string(port)};
  const timeval limit{10, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  std::string answer;
  if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
      static_cast<ssize_t>(request.size())) {
    char chunk[4096];
    for (ssize_t got = 0; (got = ::recv(fd, chunk, sizeof(chunk), 0)) > 0;)
      answer.append(chunk, static_cast<size_t>(got));
  }
  ::close(fd);
  return parse(answer);
}

// Connection: close lets the end of the stream mark the end of the body.
std::string head(std::string_view method, std::string_view path) {
  return std::string(method) + " " + std::string(path) +
         " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n";
}

}  // namespace

HttpReply http_get(uint16_t port, std::string_view path) {
  return ask(port, head("GET", path) + "\r\n");
}

HttpReply http_post(uint16_t port, std::string_view path, std::string_view json_body) {
  return ask(port, head("POST", path) + "Content-Type: application/json\r\nContent-Length: " +
                       std::to_string(json_body.size()) + "\r\n\r\n" + std::string(json_body));
}

}  // namespace penstock::test
