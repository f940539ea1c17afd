// Fuzz target: every framing, fed whole and in pieces, must give the same frames, none of them too
// long.
//
// First byte: which framing. Second: length of the pieces. The rest: the line.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/serial/framing.h"

namespace {

using penstock::serial::Frame;
using penstock::serial::FramingCounts;
using penstock::serial::FramingSettings;

constexpr size_t kMaxFrame = 32;
constexpr const char* kTypes[] = {"line", "delimiter", "fixed",    "length_prefix", "stx_etx",
                                  "slip", "cobs",      "nmea0183", "modbus_rtu"};

struct Outcome {
  std::vector<Frame> frames;
  FramingCounts counts;
};

FramingSettings settings_of(uint8_t choice) {
  FramingSettings settings;
  settings.type = kTypes[choice % std::size(kTypes)];
  settings.max_frame_bytes = kMaxFrame;
  settings.length_bytes = 7;
  if (settings.type == "delimiter") settings.delimiter = "aab";
  constexpr int kPrefixes[] = {1, 2, 4};
  settings.prefix_bytes = kPrefixes[choice / 16 % 3];
  settings.prefix_little_endian = choice >= 128;
  return settings;
}

Outcome run(const FramingSettings& settings, std::string_view line, size_t piece) {
  const auto framing = penstock::serial::make_framing(settings);
  Outcome outcome;
  for (size_t from = 0; from < line.size(); from += piece) {
    framing->feed(line.substr(from, piece), {1, 1}, outcome.frames);
  }
  framing->cut();
  outcome.counts = framing->counts();
  return outcome;
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const auto settings = settings_of(data[0]);
  const std::string_view line(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto whole = run(settings, line, line.size());
  const auto pieces = run(settings, line, size_t{data[1]} + 1);
  require(whole.frames.size() == pieces.frames.size());
  for (size_t i = 0; i < whole.frames.size(); ++i) {
    require(whole.frames[i].bytes == pieces.frames[i].bytes);
    require(!whole.frames[i].bytes.empty() && whole.frames[i].bytes.size() <= kMaxFrame);
  }
  require(whole.counts.resyncs == pieces.counts.resyncs);
  require(whole.counts.oversize_frames == pieces.counts.oversize_frames);
  require(whole.counts.checksum_errors == pieces.counts.checksum_errors);
  require(whole.counts.partial_discarded == pieces.counts.partial_discarded);
  return 0;
}
