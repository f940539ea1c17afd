#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/footprint_bench.h"
#include "tests/support/ports.h"

namespace penstock::bench {
namespace {

constexpr double kPatience_s = 30;

std::filesystem::path fresh(const std::filesystem::path& dir) {
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  return dir;
}

class Knocker {
 public:
  explicit Knocker(uint16_t port)
      : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      throw std::runtime_error("no UDP socket");
  }
  ~Knocker() { close(fd_); }
  Knocker(const Knocker&) = delete;
  // Sends one and waits a millisecond for any answer.
  bool knock() {
    constexpr std::string_view kDatagram = R"({"n":1,"t":0,"unit":"C","v":1.5,"pad":"knock"})";
    (void)!send(fd_, kDatagram.data(), kDatagram.size(), 0);  // refused until somebody listens
    pollfd waiting{fd_, POLLIN, 0};
    char answer[64];
    return poll(&waiting, 1, 1) > 0 && recv(fd_, answer, sizeof answer, 0) > 0;
  }

 private:
  int fd_;
};

}  // namespace

Gateway::Gateway(const std::filesystem::path& dir)
    : broker_(fresh(dir) / "broker"), line_(dir / "line"), udp_port_(test::free_udp_port()) {
  broker_.start();
  line_.plug();
  const auto inputs = fmt::format(
      "  m: {{plugin: mqtt, server: \"{}\", subscribe: [{{filter: \"bench/#\", qos: 1}}]}}\n"
      "  s: {{plugin: serial, device: {}, framing: {{type: line}}, topic: bench/serial}}\n"
      "  u: {{plugin: udp, listen: \"127.0.0.1:{}\", ack_bytes: 8, topic: bench/udp}}\n",
      broker_.url(), line_.link().string(), udp_port_);
  rig_ = std::make_unique<E2eRig>(dir / "run", E2eSetup{inputs, true});
}

double Gateway::start_to_first_commit_ms() {
  Knocker sender(udp_port_);
  const MonoTime start = read_clock().mono;
  rig_->agent().start();
  while (!sender.knock()) {
    if (seconds_since(start) > kPatience_s)
      throw std::runtime_error("no answer from the agent:\n" + rig_->agent().log());
  }
  const double ms = seconds_since(start) * 1e3;
  if (rig_->agent().stop() != 0) throw std::runtime_error("the agent did not stop in order");
  return ms;
}

}  // namespace penstock::bench
