#include "plugins/serial/framing.h"

#include <stdexcept>

#include "plugins/serial/framings.h"

namespace penstock::serial {
namespace {

constexpr int64_t kDefaultIdleGapUs =
    20'000;  // above the 16 ms latency timer of common USB adapters
constexpr int64_t kDefaultGiveUpUs = 1'000'000;  // devices do not pause this long inside a frame
constexpr size_t kMaxDelimiterBytes = 64;

std::unique_ptr<Framing> make_delimited(const FramingSettings& settings) {
  if (settings.delimiter.empty() || settings.delimiter.size() > kMaxDelimiterBytes) {
    throw std::invalid_argument(
        "framing.delimiter: must be 1 to 64 bytes long; write it in double quotes, as \"\\r\\n\"");
  }
  // The default of `line` takes both usual line ends; a delimiter given otherwise means exactly
  // itself.
  const bool strip_cr = settings.type == "line" && settings.delimiter == "\n";
  return make_delimiter_framing(settings.delimiter, strip_cr, settings.max_frame_bytes);
}

std::unique_ptr<Framing> make_fixed(const FramingSettings& settings, int64_t gap_us) {
  if (settings.length_bytes == 0) {
    throw std::invalid_argument(
        "framing.length: framing type fixed needs the length of a frame, as `length: 12`");
  }
  if (settings.length_bytes > settings.max_frame_bytes) {
    throw std::invalid_argument(
        "framing.length: is over framing.max_frame; raise max_frame or lower length");
  }
  return make_fixed_framing(settings.length_bytes, gap_us);
}

std::unique_ptr<Framing> make_length_prefix(const FramingSettings& settings, int64_t gap_us) {
  const int bytes = settings.prefix_bytes;
  if (bytes != 1 && bytes != 2 && bytes != 4) {
    throw std::invalid_argument("framing.prefix_bytes: must be 1, 2 or 4, not " +
                                std::to_string(bytes));
  }
  return make_length_prefix_framing(bytes, settings.prefix_little_endian, settings.max_frame_bytes,
                                    gap_us);
}

}  // namespace

void Framing::on_time(Instant, std::vector<Frame>&) {}

void Framing::cut() {
  if (has_partial()) ++counts_.partial_discarded;
  reset();
}

std::unique_ptr<Framing> make_framing(const FramingSettings& settings) {
  const auto& type = settings.type;
  const size_t max = settings.max_frame_bytes;
  if (max == 0) throw std::invalid_argument("framing.max_frame: must be at least one byte");
  if (settings.gap_us && *settings.gap_us <= 0)
    throw std::invalid_argument("framing.gap: must be more than 0");
  const int64_t give_up_us = settings.gap_us.value_or(kDefaultGiveUpUs);
  if (type == "line" || type == "delimiter") return make_delimited(settings);
  if (type == "fixed") return make_fixed(settings, give_up_us);
  if (type == "length_prefix") return make_length_prefix(settings, give_up_us);
  if (type == "idle_gap")
    return make_idle_gap_framing(max, settings.gap_us.value_or(kDefaultIdleGapUs));
  if (type == "stx_etx") return make_stx_etx_framing(max);
  if (type == "slip") return make_slip_framing(max);
  if (type == "cobs") return make_cobs_framing(max);
  if (type == "nmea0183") return make_nmea_framing(max);
  if (type == "modbus_rtu")
    return make_modbus_framing(max, settings.gap_us.value_or(kDefaultIdleGapUs));
  throw std::invalid_argument("framing.type: '" + type + "' is not known");
}

}  // namespace penstock::serial
