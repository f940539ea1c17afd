// The serial input on a pseudo terminal that is written to as fast as it takes bytes.
#include <chrono>
#include <thread>

#include <spdlog/fmt/fmt.h>

#include "tests/bench/inputs_bench.h"
#include "tests/bench/inputs_rig.h"
#include "tests/bench/spool_bench_rig.h"
#include "tests/support/pty.h"

namespace penstock::bench {
namespace {

// Where the line is full: short, for its rate is what is measured.
constexpr std::chrono::microseconds kNap{50};
constexpr double kLimit_s = 60;

}  // namespace

void measure_serial(const InputsSettings& settings, Report& report) {
  Finding rate;
  rate.id = "serial_mb_s";
  if (!settings.wants(rate.id)) return;
  rate.unit = "MB/s";
  rate.note = "lines of 200 B over a pty, until durable";
  const std::string line = std::string(199, 'x') + "\n";
  const uint64_t lines = settings.quick ? 40'000 : 200'000;
  for (int run = 0; run < settings.runs(); ++run) {
    test::PtyLine pty(settings.dir / "line");
    pty.plug();
    InputsRig rig({settings.dir / "spool",
                   fmt::format("plugin: serial, device: {}, line: {{baud: 115200}}, framing: "
                               "{{type: line, delimiter: \"\\n\"}}",
                               pty.link().string())});
    rig.wait_up();
    const MonoTime start = read_clock().mono;
    for (uint64_t sent = 0; sent < lines && seconds_since(start) < kLimit_s;) {
      if (pty.write(line)) {
        ++sent;
      } else {
        std::this_thread::sleep_for(kNap);
      }
    }
    while (!rig.wait_durable(lines, Millis(1000)) && seconds_since(start) < kLimit_s) pty.write("");
    if (rig.durable() != lines) throw std::runtime_error("lines were lost on the way");
    rate.values.push_back(static_cast<double>(lines * line.size()) / 1e6 / seconds_since(start));
  }
  report.add(rate);
}

}  // namespace penstock::bench
