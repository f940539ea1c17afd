// What open_port sets on a tty, read back through the kernel's own view of it.
#include <cerrno>

#include <asm/termbits.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "plugins/serial/port.h"
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

TEST_F(SerialPort, SoftwareFlowControl) {
  LineSettings settings;
  settings.flow = Flow::kXonXoff;
  EXPECT_EQ(open(settings).c_iflag & (IXON | IXOFF), unsigned{IXON | IXOFF});
}

TEST_F(SerialPort, WhatTheDeviceSilentlyDropsIsNoted) {
  LineSettings settings;
  settings.parity = Parity::kEven;  // a pty drops it and says nothing
  open(settings);
  EXPECT_EQ(port.notes.size(), 1u);
  EXPECT_EQ(port.trouble, "");
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
