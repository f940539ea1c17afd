// The tty itself: open it exclusively, set the line, ask it questions. Linux calls only, no state
// of its own.
//
// None of these blocks: a tty is opened without waiting for a carrier. Any thread; the caller owns
// the descriptor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plugins/serial/settings.h"

namespace penstock::serial {

struct OpenedPort {
  int fd = -1;                     // raw, non-blocking, exclusive, close-on-exec
  int error = 0;                   // errno when fd is -1
  std::string what;                // when fd is -1: what failed and what to do
  std::vector<std::string> notes;  // what the device does not have and can do without
  std::string trouble;             // collecting works, but a person should know; may be empty
};

// What a person can do about errno `error` of opening or setting a port, from "; " on; may be
// empty.
std::string advice(int error);

// What is set for a line in termios2 (c_cflag, c_iflag; numbers of asm/termbits.h). Pure. With
// parity checked, a character that fails it reads as a zero byte.
unsigned control_flags(const LineSettings& line);
unsigned input_flags(const LineSettings& line);

OpenedPort open_port(const std::string& path, const LineSettings& line);

// Gives the exclusive use up again: it would outlive the descriptor where another one is open. Does
// not close.
void release_port(int fd);

// How many bytes could be read now.
size_t waiting_bytes(int fd);

// Since the driver was loaded. nullopt: the device does not count (a pty, some adapters).
struct LineErrors {
  uint64_t overruns = 0;   // characters lost in the UART or the tty buffer
  uint64_t bad_chars = 0;  // parity and framing errors; such a character is read as a zero byte
};
std::optional<LineErrors> read_line_errors(int fd);

}  // namespace penstock::serial
