// What open_port sets on a tty, read back through the kernel's own view of it.
#include <cerrno>

#include <asm/termbits.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "plugins/serial/line_error_meter.h"
#include "plugins/serial/port.h"
#include "plugins/serial/retry_pace.h"
#include "tests/support/pty.h"
#include "tests/support/temp_dir.h"

namespace penstock::serial {
namespace {

struct SerialPort : testing::Test {
  SerialPort() { line.plug(); }
  ~SerialPort() override {
    if (port.fd >= 0) ::close(port.fd);
  }
  struct termios2 open(const LineSettings& settings) {
    port = open_port(line.link().string(), settings);
    EXPECT_GE(port.fd, 0) << port.what;
    struct termios2 tty {};
    EXPECT_EQ(::ioctl(port.fd, TCGETS2, &tty), 0);
    return tty;
  }
  test::TempDir dir{"port"};
  test::PtyLine line{dir.path() / "port"};
  OpenedPort port;
};

TEST_F(SerialPort, AnyBaudRateIsSetExactly) {
  for (const uint32_t baud : {50u, 9600u, 19201u, 250'000u, 921'600u, 3'000'000u}) {
    LineSettings settings;
    settings.baud = baud;
    const auto tty = open(settings);
    EXPECT_EQ(tty.c_ospeed, baud);
    EXPECT_EQ(tty.c_ispeed, baud);
    EXPECT_EQ(port.trouble, "");
    ::close(port.fd);
    port.fd = -1;
  }
}

TEST_F(SerialPort, RawModeStopBitsAndFlowControl) {
  LineSettings settings;
  settings.stop_bits = 2;
  settings.flow = Flow::kRtsCts;
  const auto tty = open(settings);
  EXPECT_EQ(tty.c_lflag & (ICANON | ECHO | ISIG), 0u);
  EXPECT_EQ(tty.c_iflag & (ICRNL | INLCR | IGNCR | ISTRIP | IXON), 0u);
  EXPECT_EQ(tty.c_cflag & CSTOPB, unsigned{CSTOPB});
  EXPECT_EQ(tty.c_cflag & CRTSCTS, unsigned{CRTSCTS});
  EXPECT_EQ(tty.c_cc[VMIN], 1);
}

// A pseudo terminal takes 8N1 only: what a real one is told is read off before it gets there.
TEST(SerialFlags, EveryCharacterFormatHasItsBits) {
  constexpr unsigned kFormat = CSIZE | CSTOPB | PARENB | PARODD;
  const unsigned sizes[] = {CS5, CS6, CS7, CS8};
  const std::pair<Parity, unsigned> parities[] = {
      {Parity::kNone, 0}, {Parity::kEven, PARENB}, {Parity::kOdd, PARENB | PARODD}};
  for (int data = 5; data <= 8; ++data) {
    for (const auto& [parity, bits] : parities) {
      for (const int stop : {1, 2}) {
        LineSettings line;
        line.data_bits = data;
        line.parity = parity;
        line.stop_bits = stop;
        SCOPED_TRACE(describe(line));
        const unsigned expected = sizes[data - 5] | bits | (stop == 2 ? unsigned{CSTOPB} : 0U);
        EXPECT_EQ(control_flags(line) & kFormat, expected);
        EXPECT_EQ(control_flags(line) & CRTSCTS, 0U);
        // Checked where there is one; never dropped (IGNPAR), never marked in the bytes (PARMRK).
        EXPECT_EQ(input_flags(line) & (INPCK | IGNPAR | PARMRK),
                  parity == Parity::kNone ? 0U : unsigned{INPCK});
      }
    }
  }
}

TEST(SerialFlags, FlowControlIsOneOfThree) {
  LineSettings line;
  EXPECT_EQ(input_flags(line) & (IXON | IXOFF), 0U);
  line.flow = Flow::kXonXoff;
  EXPECT_EQ(input_flags(line) & (IXON | IXOFF), unsigned{IXON | IXOFF});
  EXPECT_EQ(control_flags(line) & CRTSCTS, 0U);
  line.flow = Flow::kRtsCts;
  EXPECT_EQ(input_flags(line) & (IXON | IXOFF), 0U);
  EXPECT_EQ(control_flags(line) & CRTSCTS, unsigned{CRTSCTS});
}

TEST_F(SerialPort, SoftwareFlowControl) {
  LineSettings settings;
  settings.flow = Flow::kXonXoff;
  EXPECT_EQ(open(settings).c_iflag & (IXON | IXOFF), unsigned{IXON | IXOFF});
}

TEST_F(SerialPort, WhatTheDeviceSilentlyDropsIsTrouble) {
  LineSettings settings;
  settings.parity = Parity::kEven;  // a pty drops it and says nothing
  open(settings);
  EXPECT_TRUE(port.notes.empty());
  EXPECT_NE(port.trouble.find("has 8N1 instead of 8E1"), std::string::npos) << port.trouble;
}

TEST_F(SerialPort, LowLatencyIsAskedForAndNotFatalWhereThereIsNone) {
  LineSettings settings;
  settings.low_latency = true;
  open(settings);
  ASSERT_EQ(port.notes.size(), 1u);
  EXPECT_NE(port.notes[0].find("low latency is not settable"), std::string::npos) << port.notes[0];
  EXPECT_GE(port.fd, 0);
}

TEST_F(SerialPort, ExclusiveUseEndsWithRelease) {
  open({});
  int exclusive = -1;
  ASSERT_EQ(::ioctl(port.fd, TIOCGEXCL, &exclusive), 0);
  EXPECT_EQ(exclusive, 1);
  EXPECT_EQ(open_port(line.link().string(), {}).error, EWOULDBLOCK) << "taken twice";
  ASSERT_EQ(::ioctl(port.fd, TIOCGEXCL, &exclusive), 0);
  EXPECT_EQ(exclusive, 1) << "the refused attempt took the exclusive use away";
  release_port(port.fd);
  ASSERT_EQ(::ioctl(port.fd, TIOCGEXCL, &exclusive), 0);
  EXPECT_EQ(exclusive, 0);
}

TEST_F(SerialPort, MissingDeviceGivesTheReason) {
  const auto missing = open_port((dir.path() / "nothing").string(), {});
  EXPECT_EQ(missing.fd, -1);
  EXPECT_EQ(missing.error, ENOENT);
  EXPECT_NE(missing.what.find("nothing: No such file"), std::string::npos) << missing.what;
  const auto folder = open_port(dir.path().string(), {});
  EXPECT_EQ(folder.fd, -1);
  EXPECT_EQ(folder.error, EISDIR);
  EXPECT_NE(folder.what.find("Is a directory"), std::string::npos) << folder.what;
}

TEST(RetryPace, BeginsAnewWhenTheReasonChanges) {
  using std::chrono::milliseconds;
  RetryPace pace;
  milliseconds last{0};
  for (int i = 0; i < 20; ++i) last = pace.next(ENOENT);
  EXPECT_EQ(last, milliseconds(1000)) << "looking for a missing device is cheap";
  EXPECT_EQ(pace.next(ENXIO), milliseconds(1000)) << "the same, in another way";
  EXPECT_EQ(pace.next(EBUSY), milliseconds(100)) << "it is back, and will be free soon";
  for (int i = 0; i < 20; ++i) last = pace.next(EBUSY);
  EXPECT_EQ(last, milliseconds(5000));
  EXPECT_EQ(pace.next(EACCES), milliseconds(100));
  EXPECT_EQ(pace.next(EACCES), milliseconds(200));
  pace.opened();
  EXPECT_EQ(pace.next(EACCES), milliseconds(100));
}

TEST(LineErrorMeter, AddsUpWhatTheDriverCountsFromTheOpeningOn) {
  std::optional<LineErrors> driver = LineErrors{70, 7};
  LineErrorMeter meter([&](int) { return driver; });
  Counters counters;
  constexpr int64_t kSecond = 1'000'000;
  meter.opened(3);
  meter.sample(3, 10 * kSecond, counters);
  EXPECT_EQ(counters.line_overruns, 0U) << "what it counted before is not ours";
  driver = LineErrors{75, 9};
  meter.sample(3, 10 * kSecond + 1, counters);
  EXPECT_EQ(counters.line_overruns, 0U) << "it is asked once a second";
  meter.sample(3, 11 * kSecond, counters);
  EXPECT_EQ(counters.line_overruns, 5U);
  EXPECT_EQ(counters.line_errors, 2U);
  meter.sample(3, 12 * kSecond, counters);
  EXPECT_EQ(counters.line_overruns, 5U) << "each once";
  driver = LineErrors{1, 0};  // plugged in again: the driver begins anew
  meter.opened(4);
  driver = LineErrors{4, 1};
  meter.sample(4, 13 * kSecond, counters);
  EXPECT_EQ(counters.line_overruns, 8U);
  EXPECT_EQ(counters.line_errors, 3U);
  driver.reset();
  meter.sample(4, 14 * kSecond, counters);
  meter.opened(5);  // one that does not count
  driver = LineErrors{100, 100};
  meter.sample(5, 15 * kSecond, counters);
  EXPECT_EQ(counters.line_overruns, 8U);
}

// systemd's device rules answer EPERM, the mode of the device file EACCES: another group mends only
// the second.
TEST(SerialAdvice, AForbiddenKindOfDeviceIsNotTakenForAMissingGroup) {
  EXPECT_NE(advice(EACCES).find("dialout"), std::string::npos);
  EXPECT_EQ(advice(EACCES).find("modprobe"), std::string::npos);
  EXPECT_EQ(advice(EPERM).find("dialout"), std::string::npos);
  for (const char* part : {"modprobe -a usbserial cdc_acm", "restart", "DeviceAllow="})
    EXPECT_NE(advice(EPERM).find(part), std::string::npos) << part;
}

TEST(SerialSettings, DescribeIsTheUsualShortForm) {
  LineSettings settings;
  settings.baud = 19200;
  settings.data_bits = 7;
  settings.parity = Parity::kEven;
  settings.stop_bits = 2;
  EXPECT_EQ(describe(settings), "19200 7E2");
}

}  // namespace
}  // namespace penstock::serial
