// Any bytes as a line of an export: refused, or a record that is written and read back the same.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "agent/codec/export_line.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::codec;
  static ExportLineReader reader;
  auto line = reader.read({reinterpret_cast<const char*>(data), size});
  if (!line || line->kind != ExportLine::Kind::kRecord) return 0;
  std::string text;
  append_export_record(*line, line->body, text);
  text.pop_back();
  const auto again = reader.read(text);
  if (!again || again->body != line->body || again->first != line->first ||
      again->lane.origin != line->lane.origin || again->lane.route != line->lane.route ||
      again->delivered != line->delivered ||
      again->quarantined.has_value() != line->quarantined.has_value()) {
    std::abort();
  }
  return 0;
}
