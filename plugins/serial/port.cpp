#include "plugins/serial/port.h"

// <termios.h> and the kernel's own header cannot be used together, and only the kernel's knows odd
// baud rates.
#include <cerrno>
#include <cstring>

#include <asm/termbits.h>
#include <fcntl.h>
#include <linux/serial.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace penstock::serial {
namespace {

constexpr uint32_t kBaudTolerancePercent =
    3;  // a receiver that samples mid-bit loses the place beyond about this

}  // namespace

std::string advice(int error) {
  switch (error) {
    case EACCES:
      return "; add the agent's user to the group that owns the device (dialout)";
    case EPERM:  // not from the file's mode: the service's device rules, made when it started
      return "; the service may not use this kind of device: load its driver and restart the "
             "service (modprobe -a usbserial cdc_acm; systemctl restart penstock), or add "
             "DeviceAllow= for it to penstock.service";
    case EBUSY:
    case EWOULDBLOCK:
      return "; another program or input uses it";
    case ENOTTY:
      return "; `device` must name a serial port";
    default:
      return "";
  }
}

namespace {

OpenedPort failed(OpenedPort port, const std::string& doing, const std::string& path, int error) {
  if (port.fd >= 0) {
    release_port(port.fd);
    ::close(port.fd);
  }
  port.fd = -1;
  port.error = error;
  port.what = "cannot " + doing + " " + path + ": " + std::strerror(error) + advice(error);
  return port;
}

int set_line(int fd, const LineSettings& line) {
  struct termios2 tty {};
  if (::ioctl(fd, TCGETS2, &tty) != 0) return errno;
  tty.c_iflag = input_flags(line);
  tty.c_oflag = 0;
  tty.c_lflag = 0;
  tty.c_cflag = control_flags(line);
  tty.c_ispeed = tty.c_ospeed = line.baud;
  tty.c_cc[VMIN] = 1;  // with 0 an empty line would read as an end of file
  tty.c_cc[VTIME] = 0;
  return ::ioctl(fd, TCSETS2, &tty) == 0 ? 0 : errno;
}

void add_trouble(OpenedPort& port, const std::string& text) {
  port.trouble += (port.trouble.empty() ? "" : "; ") + text;
}

// "8N1"
std::string character(unsigned control) {
  const unsigned size = control & CSIZE;
  const char* bits = size == CS5 ? "5" : size == CS6 ? "6" : size == CS7 ? "7" : "8";
  const char* parity = !(control & PARENB) ? "N" : control & PARODD ? "O" : "E";
  return std::string(bits) + parity + (control & CSTOPB ? "2" : "1");
}

// Drivers change what they cannot do without saying so: look at what is set now.
void compare_line(const LineSettings& line, OpenedPort& port) {
  struct termios2 tty {};
  if (::ioctl(port.fd, TCGETS2, &tty) != 0) return;
  constexpr unsigned kCharacter = CSIZE | CSTOPB | PARENB | PARODD;
  if ((tty.c_cflag & kCharacter) != (control_flags(line) & kCharacter)) {
    add_trouble(port,
                "the device has " + character(tty.c_cflag) + " instead of " +
                    character(control_flags(line)) +
                    ": set line.data, parity and stop to what it has, or use another adapter");
  }
  const uint64_t actual = tty.c_ospeed;
  const uint64_t off = actual > line.baud ? actual - line.baud : line.baud - actual;
  if (off * 100 > uint64_t{line.baud} * kBaudTolerancePercent) {
    add_trouble(port, "the device runs at " + std::to_string(actual) + " instead of " +
                          std::to_string(line.baud) + " baud: set line.baud to a rate it has");
  }
}

void set_rs485(OpenedPort& port) {
  struct serial_rs485 mode {};
  mode.flags = SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND;
  if (::ioctl(port.fd, TIOCSRS485, &mode) != 0) {
    add_trouble(port, std::string("RS-485 mode is not settable here (") + std::strerror(errno) +
                          "): remove line.rs485 if the adapter switches by itself");
  }
}

void set_low_latency(OpenedPort& port) {
  struct serial_struct settings {};
  const bool known = ::ioctl(port.fd, TIOCGSERIAL, &settings) == 0;
  settings.flags |= ASYNC_LOW_LATENCY;
  if (known && ::ioctl(port.fd, TIOCSSERIAL, &settings) == 0) return;
  port.notes.emplace_back(std::string("low latency is not settable here (") + std::strerror(errno) +
                          ")");
}

}  // namespace

unsigned control_flags(const LineSettings& line) {
  constexpr unsigned kSizes[] = {CS5, CS6, CS7, CS8};
  unsigned flags = CREAD | CLOCAL | BOTHER | kSizes[line.data_bits - 5];
  if (line.stop_bits == 2) flags |= CSTOPB;
  if (line.parity != Parity::kNone) flags |= PARENB;
  if (line.parity == Parity::kOdd) flags |= PARODD;
  if (line.flow == Flow::kRtsCts) flags |= CRTSCTS;
  return flags;
}

// A byte with a parity error becomes a zero byte, not nothing: a number that lost a digit would
// look like a good one.
unsigned input_flags(const LineSettings& line) {
  unsigned flags = IGNBRK;
  if (line.parity != Parity::kNone) flags |= INPCK;
  if (line.flow == Flow::kXonXoff) flags |= IXON | IXOFF;
  return flags;
}

OpenedPort open_port(const std::string& path, const LineSettings& line) {
  OpenedPort port;
  port.fd = ::open(path.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (port.fd < 0) return failed(std::move(port), "open", path, errno);
  if (!::isatty(port.fd)) return failed(std::move(port), "use", path, errno);
  // TIOCEXCL does not keep root out, and flock only those who ask: both.
  if (::flock(port.fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    ::close(port.fd);  // without release: the exclusive use is someone else's
    port.fd = -1;
    return failed(std::move(port), "lock", path, error);
  }
  if (::ioctl(port.fd, TIOCEXCL) != 0) return failed(std::move(port), "lock", path, errno);
  if (const int error = set_line(port.fd, line)) {
    return failed(std::move(port), "set " + describe(line) + " on", path, error);
  }
  compare_line(line, port);
  if (line.rs485) set_rs485(port);
  if (line.low_latency) set_low_latency(port);
  return port;
}

void release_port(int fd) { ::ioctl(fd, TIOCNXCL); }

size_t waiting_bytes(int fd) {
  int waiting = 0;
  return ::ioctl(fd, FIONREAD, &waiting) == 0 && waiting > 0 ? static_cast<size_t>(waiting) : 0;
}

std::optional<LineErrors> read_line_errors(int fd) {
  struct serial_icounter_struct counts {};
  if (::ioctl(fd, TIOCGICOUNT, &counts) != 0) return std::nullopt;
  const auto of = [](int count) { return uint64_t{static_cast<uint32_t>(count)}; };
  return LineErrors{of(counts.overrun) + of(counts.buf_overrun),
                    of(counts.parity) + of(counts.frame)};
}

}  // namespace penstock::serial
