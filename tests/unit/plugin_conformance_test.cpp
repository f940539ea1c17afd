// Goal: the conformance kit finds each fault it names, in a plugin that has just this one, and none
// in one that behaves. Method: tests/support/plugins/misfit.cpp against a device in this process.
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <regex>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/host/native_values.h"
#include "agent/host/plugin_library.h"
#include "plugins/sdk/conformance.h"
#include "tests/support/mqtt_script_broker.h"
#include "tests/support/paced_thread.h"
#include "tests/support/paths.h"
#include "tests/support/ports.h"
#include "tests/support/pty.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace penstock::sdk {
namespace {

using namespace std::chrono_literals;

// The device: counts the acknowledgements that come to its socket.
class Device final : public Source {
 public:
  Device() {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strncpy(at.sun_path + 1, name_.c_str(), sizeof at.sun_path - 2);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  }
  ~Device() override { ::close(fd_); }
  const std::string& name() const { return name_; }
  void begin() override {}
  void end() override {}
  uint64_t acknowledged() const override {
    char byte = 0;
    while (::recv(fd_, &byte, 1, MSG_DONTWAIT) > 0) ++count_;
    return count_;
  }

 private:
  const std::string name_ = "penstock-device-" + std::to_string(::getpid());
  const int fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  mutable uint64_t count_ = 0;
};

struct Conformance : testing::Test {
  ConformanceReport run(const std::string& plugin, const std::string& mode) {
    auto library = host::find_plugin(test::build_dir() + "/test_plugins", plugin);
    EXPECT_TRUE(library) << library.error().what;
    std::vector<config::OptionValue> values;
    if (!mode.empty()) {
      values.push_back({"mode", config::OptionType::kEnum, mode, 0});
      values.push_back({"ack_to", config::OptionType::kString, device.name(), 0});
    } else {
      values.push_back({"interval", config::OptionType::kDuration, "", 10});
      values.push_back({"text", config::OptionType::kString, "x", 0});
    }
    const auto native = host::native_values(values);
    return run_conformance(library->descriptor(), native, &device, limits);
  }
  static std::string text(const ConformanceReport& report) {
    std::string all;
    for (const auto& one : report.findings)
      all += std::string(to_string(one.fault)) + ": " + one.text + "\n";
    return all;
  }

  Device device;
  // Under load a good plugin may be slow; one that is bad is so for as long as it is watched.
  ConformanceLimits limits{.callback = 1s, .stop = 3s, .record = 5s, .watch = 500ms, .lives = 6};
};

TEST_F(Conformance, FindsNothingInAPluginThatBehaves) {
  const auto report = run("misfit", "behave");
  EXPECT_EQ(text(report), "");
  EXPECT_TRUE(report.notes.empty()) << report.notes.front();
  EXPECT_GT(report.records, 0u);
  EXPECT_GT(device.acknowledged(), 0u) << "the device was told what was safe";
}

TEST_F(Conformance, FindsNothingInTheExample) { EXPECT_EQ(text(run("heartbeat", "")), ""); }

// A source that sends a message every few milliseconds, in the way of the plugin it is for.
class Paced final : public Source {
 public:
  Paced(std::function<void(uint64_t n)> send, std::function<uint64_t()> acknowledged)
      : acknowledged_(std::move(acknowledged)),
        thread_({200}, [send = std::move(send)](size_t, uint64_t n) { send(n); }) {}
  void begin() override { thread_.start(); }
  void end() override { thread_.stop(); }
  uint64_t acknowledged() const override { return acknowledged_(); }

 private:
  const std::function<uint64_t()> acknowledged_;
  test::PacedThread thread_;
};

// Sends datagrams and counts the answers.
class Socket {
 public:
  explicit Socket(uint16_t port) {
    to_.sin_family = AF_INET;
    to_.sin_port = htons(port);
    to_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  ~Socket() { ::close(fd_); }
  void send(const std::string& text) const {
    ::sendto(fd_, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&to_), sizeof to_);
  }
  uint64_t answers() {
    char bytes[64];
    while (::recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT) > 0) ++count_;
    return count_;
  }

 private:
  const int fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in to_{};
  uint64_t count_ = 0;
};

TEST_F(Conformance, FindsNothingInTheUdpInputWithAnswers) {
  auto library = host::find_plugin(test::build_dir() + "/plugins", "udp");
  ASSERT_TRUE(library) << library.error().what;
  const auto port = test::free_udp_port();
  const std::vector<config::OptionValue> values{
      {"listen", config::OptionType::kString, "127.0.0.1:" + std::to_string(port), 0},
      {"ack_bytes", config::OptionType::kInteger, "", 7}};
  Socket socket(port);
  Paced senders([&](uint64_t n) { socket.send(std::to_string(1'000'000 + n)); },
                [&] { return socket.answers(); });
  const auto native = host::native_values(values);
  const auto report = run_conformance(library->descriptor(), native, &senders, limits);
  EXPECT_EQ(text(report), "");
  EXPECT_TRUE(report.notes.empty()) << report.notes.front();
  EXPECT_GT(senders.acknowledged(), 0u);
}

TEST_F(Conformance, FindsNothingInTheMqttInput) {
  auto library = host::find_plugin(test::build_dir() + "/plugins", "mqtt");
  ASSERT_TRUE(library) << library.error().what;
  test::ScriptBroker broker(100);
  Paced messages(
      [&](uint64_t n) {
        broker.publish({"plant/t", std::to_string(n), 1, false, ""});
      },
      [&] { return broker.acks().size(); });
  const std::vector<config::OptionValue> values{
      {"server", config::OptionType::kString, "mqtt://127.0.0.1:" + std::to_string(broker.port()),
       0},
      {"protocol", config::OptionType::kEnum, "3.1.1", 0},
      {"client_id", config::OptionType::kString, "c", 0},
      {"subscribe[0].filter", config::OptionType::kString, "plant/#", 0}};
  limits.callback = 10s;  // the client library takes seconds to end its threads
  limits.stop = 10s;
  limits.record = 20s;
  limits.lives = 2;
  const auto native = host::native_values(values);
  const auto report = run_conformance(library->descriptor(), native, &messages, limits);
  // Some fifty bytes stay with every connection of the client library; no thread, no descriptor.
  for (const auto& finding : report.findings) {
    EXPECT_EQ(finding.fault, Fault::kLeak) << text(report);
    EXPECT_TRUE(std::regex_search(finding.text, std::regex("behind [0-9]{1,2} bytes of memory$")))
        << text(report);
  }
  EXPECT_TRUE(report.notes.empty()) << report.notes.front();
  EXPECT_GT(messages.acknowledged(), 0u);
}

TEST_F(Conformance, FindsNothingInTheSerialInput) {
  auto library = host::find_plugin(test::build_dir() + "/plugins", "serial");
  ASSERT_TRUE(library) << library.error().what;
  const test::TempDir dir("conformance");
  test::PtyLine line(dir.path() / "port");
  line.plug();
  Paced readings([&](uint64_t n) { line.write("reading " + std::to_string(n) + "\n"); },
                 [] { return uint64_t{0}; });  // a line has no way to acknowledge
  const std::vector<config::OptionValue> values{
      {"device", config::OptionType::kPath, line.link().string(), 0}};
  const auto native = host::native_values(values);
  const auto report = run_conformance(library->descriptor(), native, &readings, limits);
  EXPECT_EQ(text(report), "");
  EXPECT_TRUE(report.notes.empty()) << report.notes.front();
  EXPECT_GT(report.records, 0u);
}

struct Broken {
  const char* mode;
  Fault fault;
  const char* says;
};

class BrokenPlugin : public Conformance, public testing::WithParamInterface<Broken> {};

size_t threads_of_this_process() {
  const std::filesystem::directory_iterator threads("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(threads), end(threads)));
}

TEST_P(BrokenPlugin, IsFoundByItsFaultAndNoOther) {
  const size_t threads = threads_of_this_process();
  const auto report = run("misfit", GetParam().mode);
  EXPECT_TRUE(report.found(GetParam().fault)) << text(report);
  EXPECT_EQ(report.findings.size(), 1u) << text(report);
  EXPECT_NE(text(report).find(GetParam().says), std::string::npos) << text(report);
  // The last of its threads may still be on its way, and call into what the report keeps.
  EXPECT_TRUE(test::wait_until([&] { return threads_of_this_process() <= threads; }, 30s));
}

INSTANTIATE_TEST_SUITE_P(
    Each, BrokenPlugin,
    testing::Values(
        Broken{"emit_after_stop", Fault::kEmitAfterStop, "after STOPPED was reported"},
        Broken{"spin_on_full", Fault::kIgnoresFull, "wait for on_room"},
        Broken{"retry_on_full", Fault::kIgnoresFull, "wait for on_room, not for a time"},
        Broken{"lose_on_full", Fault::kIgnoresFull, "not offered again"},
        Broken{"ignore_closed", Fault::kIgnoresClosed, "after the answer CLOSED"},
        Broken{"early_ack", Fault::kEarlyAck, "while 0 records are safe"},
        Broken{"leak", Fault::kLeak, "bytes of memory"},
        Broken{"leak_record", Fault::kLeak, "every record leaves behind 1"},
        Broken{"silent", Fault::kNothingCame, "although the source was running"},
        Broken{"leak_descriptor", Fault::kLeak, "1 file descriptors"},
        Broken{"call_after_destroy", Fault::kCallAfterDestroy, "log was called after destroy"},
        Broken{"block_in_durable", Fault::kBlocks, "on_durable did not return within"},
        Broken{"lock_across_emit", Fault::kBlocks, "while emit was under way"},
        Broken{"bad_record", Fault::kBadRecord, "not UTF-8"},
        Broken{"never_stopped", Fault::kNotStopped, "STOPPED was not reported"},
        Broken{"retry_too_big", Fault::kIgnoresTooBig, "was offered again"},
        Broken{"stop_on_too_big", Fault::kIgnoresTooBig, "go on behind it"},
        Broken{"refuse_start", Fault::kRefused, "told to refuse"}),
    [](const auto& broken) { return std::string(broken.param.mode); });

}  // namespace
}  // namespace penstock::sdk
