// Any bytes as a database and its log: the carver looks at every page and follows every chain it
// is led to, without a crash and in bounded memory.
#include <cstdint>
#include <string>

#include "agent/spool/page_carver.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::spool;
  if (size < 1) return 0;
  // The first byte says how much of the input is the log.
  const size_t log_bytes = (size - 1) * data[0] / 255;
  const std::string all(reinterpret_cast<const char*>(data) + 1, size - 1);
  const PageImage image(bytes_in_memory(all.substr(0, all.size() - log_bytes)),
                        bytes_in_memory(all.substr(all.size() - log_bytes)));
  int blobs = 0;
  carve(image, [&](const RowPlace& place, FoundRow&& row) {
    if (++blobs > 8) return;
    if (std::holds_alternative<FoundSegment>(row))
      (void)blob_at(image, place, FoundTable::kSegment);
    if (std::holds_alternative<FoundQuarantine>(row))
      (void)blob_at(image, place, FoundTable::kQuarantine);
  });
  return 0;
}
