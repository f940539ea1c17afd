// The UDP input beside a loop of recvmmsg that only counts, under the same generator and with the
// same receive buffer.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include <netinet/in.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/inputs_bench.h"
#include "tests/bench/inputs_rig.h"
#include "tests/bench/load_udp.h"
#include "tests/bench/packaged_user.h"
#include "tests/bench/rate_search.h"
#include "tests/bench/receive_buffer.h"
#include "tests/bench/spool_bench_rig.h"
#include "tests/support/ports.h"

namespace penstock::bench {
namespace {

constexpr unsigned kBatch = 64;

// Receives and counts, in a thread of its own.
class BareLoop {
 public:
  explicit BareLoop(size_t bytes) : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    if (::setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBufferBytes,
                     sizeof kReceiveBufferBytes) != 0)
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes, sizeof kReceiveBufferBytes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0)
      throw std::runtime_error("udp bench: bind: " + std::string(std::strerror(errno)));
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, bytes] { receive(bytes); });
  }
  ~BareLoop() {
    stop_ = true;
    thread_.join();
    ::close(fd_);
  }
  uint16_t port() const { return port_; }
  uint64_t received() const { return received_; }

 private:
  void receive(size_t bytes) {
    std::vector<char> buffer(kBatch * bytes);
    std::vector<iovec> parts(kBatch);
    std::vector<mmsghdr> headers(kBatch);
    for (size_t i = 0; i < kBatch; ++i) {
      parts[i] = {buffer.data() + i * bytes, bytes};
      headers[i].msg_hdr.msg_iov = &parts[i];
      headers[i].msg_hdr.msg_iovlen = 1;
    }
    pollfd readable{fd_, POLLIN, 0};
    while (!stop_) {
      if (::poll(&readable, 1, 20) != 1) continue;
      const int count = ::recvmmsg(fd_, headers.data(), kBatch, MSG_DONTWAIT, nullptr);
      if (count > 0) received_ += static_cast<uint64_t>(count);
    }
  }

  int fd_;
  uint16_t port_ = 0;
  std::atomic<uint64_t> received_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

Trial bare_trial(const InputsSettings& settings, UdpLoad load) {
  BareLoop loop(load.bytes);
  load.port = loop.port();
  UdpSender sender(load, settings.dir);
  const auto sent = sender.wait();
  if (!test::wait_until([&] { return loop.received() == sent.count; }, Millis(300), Millis(5)))
    return std::nullopt;
  return sent.per_second();
}

std::string input_options(uint16_t port) {
  return fmt::format("plugin: udp, listen: \"127.0.0.1:{}\"", port);
}

// The rate is that of becoming durable: what waits in buffers when the sender ends takes its time
// too.
Trial input_trial(const InputsSettings& settings, UdpLoad load) {
  load.port = test::free_udp_port();
  InputsRig rig({settings.dir / "spool", input_options(load.port)});
  rig.wait_up();
  const MonoTime start = read_clock().mono;
  UdpSender sender(load, settings.dir);
  double seconds = 0;
  test::wait_until(
      [&] {
        seconds = seconds_since(start);
        return rig.durable() >= load.count || rig.stat("kernel_drops") > 0;
      },
      Millis(60000), Millis(1));
  const auto sent = sender.wait();
  if (rig.durable() < load.count) return std::nullopt;
  // The start of the sender's process is not ours.
  return static_cast<double>(load.count) / std::max(seconds - 0.01, sent.seconds);
}

// A place of the unit's user, away from what root made.
InputsSettings of_user(const InputsSettings& settings) {
  InputsSettings out = settings;
  out.dir = settings.dir / "user";
  return out;
}

void measure_size(const InputsSettings& all, Report& report, size_t bytes, double target) {
  Finding rate;
  rate.id = bytes == 200 ? "udp_200b" : "udp_1kb";
  if (!all.wants(rate.id)) return;
  const InputsSettings settings = of_user(all);
  const AsPackagedUser user(settings.dir);
  rate.unit = "datagrams/s";
  rate.of = "bare recvmmsg";
  rate.target = target;
  const double trial_s = settings.quick ? 0.3 : 1.0;
  std::vector<double> bare;
  double bare_start = 400'000;
  double input_start = 120'000;
  for (int run = 0; run < settings.runs(); ++run) {
    const auto load = [&](double per_second) {
      UdpLoad out;
      out.bytes = bytes;
      out.per_second = per_second;
      out.count = static_cast<uint64_t>(per_second * trial_s);
      return out;
    };
    bare.push_back(
        highest_rate(bare_start, [&](double at) { return bare_trial(settings, load(at)); }));
    rate.values.push_back(
        highest_rate(input_start, [&](double at) { return input_trial(settings, load(at)); }));
    rate.ratios.push_back(rate.values.back() / bare.back());
    bare_start = std::max(bare.back(), 1000.0);
    input_start = std::max(rate.values.back(), 1000.0);
  }
  rate.note = fmt::format("lossless and durable; bare {:.0f}/s; {}", median(bare), user.text());
  report.add(rate);
}

}  // namespace

void measure_udp(const InputsSettings& settings, Report& report) {
  measure_size(settings, report, 200, 0.25);
  measure_size(settings, report, 1024, 0.2);
}

void measure_udp_burst(const InputsSettings& all, Report& report) {
  Finding lost;
  lost.id = "udp_burst";
  if (!all.wants(lost.id)) return;
  const InputsSettings settings = of_user(all);
  const AsPackagedUser user(settings.dir);
  lost.unit = "lost";
  lost.better = Better::kLess;
  lost.target = 0;
  lost.digits = 0;
  UdpLoad load;
  load.count = 5000;
  load.per_second = 100'000;
  double slowest = 1e9;
  for (int run = 0; run < settings.runs(); ++run) {
    load.port = test::free_udp_port();
    InputsRig rig({settings.dir / "spool", input_options(load.port)});
    rig.wait_up();
    UdpSender sender(load, settings.dir);
    slowest = std::min(slowest, sender.wait().per_second());
    rig.wait_durable(load.count, Millis(2000));
    lost.values.push_back(static_cast<double>(load.count - rig.durable()));
  }
  lost.note = fmt::format("of 5,000 x 200 B at 100 k/s (the slowest burst: {:.0f}/s); {}", slowest,
                          user.text());
  report.add(lost);
}

}  // namespace penstock::bench
