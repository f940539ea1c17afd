// The serial input on a pseudo terminal that can be unplugged and plugged in again. One test, main
// thread; what the input says arrives on the input's own.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include <gtest/gtest.h>

#include "plugins/serial/serial_input.h"
#include "tests/support/fake_plugin_host.h"
#include "tests/support/pty.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace penstock::serial {

struct SerialFixture : testing::Test {
  static constexpr std::chrono::seconds kDeadline{30};

  SerialFixture() { values.text("device", line.link().string(), PENSTOCK_OPTION_PATH); }

  void start() {
    input.emplace(host.face(), values.options());
    input->start();
  }
  void start_up() {
    line.plug();
    start();
    ASSERT_TRUE(host.wait_state(PENSTOCK_STATE_UP, line.link().string())) << host.last_state_text();
  }
  // Also what the line has not taken yet of what was written before: only when nothing of that is
  // left does it take a single byte.
  void flush(char byte) {
    ASSERT_TRUE(test::wait_until(
        [&] {
          return line.write({&byte, 1});
        },
        kDeadline, std::chrono::milliseconds(1)));
  }

  test::FakePluginHost host;
  test::TempDir dir{"serial"};
  test::PtyLine line{dir.path() / "port"};
  test::OptionValues values;
  std::optional<SerialInput> input;  // after the host: destroyed first
};

}  // namespace penstock::serial
