#include "tests/bench/load_udp.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/bench/delivery_cpu.h"
#include "tests/support/wall_clock.h"

namespace penstock::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kBatch = 32;
constexpr std::chrono::microseconds kNap{100};
constexpr std::chrono::seconds kLimit{300};
constexpr std::string_view kChild = "--child-udp";

// The datagrams of one sendmmsg.
class Batch {
 public:
  explicit Batch(const UdpLoad& load) : bytes_(load.bytes), texts_(kBatch) {
    address_.sin_family = AF_INET;
    address_.sin_port = htons(load.port);
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < kBatch; ++i) {
      texts_[i].assign(bytes_ + 1, 'x');
      parts_[i] = {texts_[i].data(), bytes_};
      headers_[i].msg_hdr.msg_name = &address_;
      headers_[i].msg_hdr.msg_namelen = sizeof address_;
      headers_[i].msg_hdr.msg_iov = &parts_[i];
      headers_[i].msg_hdr.msg_iovlen = 1;
    }
  }
  // How many of the `count` went out.
  size_t send(int fd, uint64_t first, size_t count) {
    const auto now_us = test::wall_us();
    for (size_t i = 0; i < count; ++i) {
      char* text = texts_[i].data();
      const int head =
          std::snprintf(text, bytes_, R"({"n":%llu,"t":%lld,"unit":"mm/s","v":%u.%u,"pad":")",
                        static_cast<unsigned long long>(first + i), static_cast<long long>(now_us),
                        static_cast<unsigned>(first % 97), static_cast<unsigned>(first % 10));
      std::memset(text + head, 'x', bytes_ - static_cast<size_t>(head) - 2);
      std::memcpy(text + bytes_ - 2, "\"}", 2);
    }
    const int sent = ::sendmmsg(fd, headers_, static_cast<unsigned>(count), 0);
    return sent > 0 ? static_cast<size_t>(sent) : 0;
  }

 private:
  const size_t bytes_;
  sockaddr_in address_{};
  std::vector<std::string> texts_;
  iovec parts_[kBatch]{};
  mmsghdr headers_[kBatch]{};
};

int socket_on(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("cannot send from port " + std::to_string(port));
  return fd;
}

UdpSent send_all(const UdpLoad& load) {
  std::vector<int> sockets;
  for (const uint16_t port : load.from) sockets.push_back(socket_on(port));
  Batch batch(load);
  const auto start = Clock::now();
  uint64_t sent = 0;
  double elapsed = 0;
  for (size_t turn = 0; sent < load.count;) {
    elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    const auto due = std::min(load.count, 1 + static_cast<uint64_t>(elapsed * load.per_second));
    if (due <= sent) {
      std::this_thread::sleep_for(kNap);
      continue;
    }
    const size_t count = std::min<uint64_t>(due - sent, kBatch);
    sent += batch.send(sockets[turn++ % sockets.size()], load.first + sent, count);
  }
  elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  return {sent, std::max(elapsed, 1e-6), own_cpu_s()};
}

}  // namespace

UdpSender::UdpSender(const UdpLoad& load, const std::filesystem::path& dir) {
  std::vector<std::string> command{"/proc/self/exe",           std::string(kChild),
                                   std::to_string(load.port),  std::to_string(load.bytes),
                                   std::to_string(load.count), std::to_string(load.per_second),
                                   std::to_string(load.first)};
  for (const uint16_t port : load.from) command.push_back(std::to_string(port));
  const auto output = dir / "sender.log";
  std::filesystem::remove(output);
  process_ = std::make_unique<test::Process>(test::ProcessSpec{std::move(command), {}, output});
}

UdpSent UdpSender::wait() {
  UdpSent sent;
  const auto code = process_->wait(kLimit);
  const auto text = process_->output();
  unsigned long long count = 0;
  if (code != 0 ||
      std::sscanf(text.c_str(), "sent %llu %lf %lf", &count, &sent.seconds, &sent.cpu_s) != 3) {
    throw std::runtime_error("the sender failed: " + text.substr(0, 200));
  }
  sent.count = count;
  return sent;
}

std::optional<int> run_as_udp_sender(int argc, char** argv) {
  if (argc < 8 || argv[1] != kChild) return std::nullopt;
  UdpLoad load;
  load.port = static_cast<uint16_t>(std::stoul(argv[2]));
  load.bytes = std::stoul(argv[3]);
  load.count = std::stoull(argv[4]);
  load.per_second = std::stod(argv[5]);
  load.first = std::stoull(argv[6]);
  load.from.clear();
  for (int i = 7; i < argc; ++i) load.from.push_back(static_cast<uint16_t>(std::stoul(argv[i])));
  const auto sent = send_all(load);
  std::printf("sent %llu %.6f %.6f\n", static_cast<unsigned long long>(sent.count), sent.seconds,
              sent.cpu_s);
  return 0;
}

}  // namespace penstock::bench
