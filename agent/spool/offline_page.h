// What lies on one page of a SQLite table: cells, records, values; and the way along overflow
// pages. Pure over bytes: any bytes give an answer, none a crash.
//
// Layout: SQLite's file format. Pages are kPageBytes long with no reserved bytes, as our databases
// are made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/spool/offline_image.h"

namespace penstock::spool {

enum class PageKind { kOther, kTableLeaf, kTableInterior, kIndexLeaf, kIndexInterior };

struct LeafCell {
  int64_t rowid = 0;
  uint64_t size_bytes = 0;  // of the whole record
  std::string_view local;   // as much of it as lies on the page
  uint32_t overflow = 0;    // the page where it goes on; 0: it does not
};

struct FieldValue {
  enum class Kind : uint8_t { kNull, kInteger, kReal, kText, kBlob };
  Kind kind = Kind::kNull;
  int64_t integer = 0;
  uint64_t size_bytes = 0;  // of a text or blob
  std::string_view bytes;   // shorter than size_bytes where the record was cut off
};

// `page` is page `number`; the first one begins with the file's header.
PageKind page_kind(std::string_view page, bool is_first);

// Number of cells of a leaf or interior page; 0 when the page says something impossible.
uint32_t cell_count(std::string_view page, bool is_first);
// Cell `index` of a table leaf; nullopt when it runs off the page or is of an impossible size.
std::optional<LeafCell> leaf_cell(std::string_view page, bool is_first, uint32_t index);
// The pages below an interior page of a table or index, in order; zeros where one is unreadable.
std::vector<uint32_t> children(std::string_view page, bool is_first);

// The values of a record, of which `local` is the beginning; nullopt when its header is not whole
// or makes no sense. Views into `local`.
std::optional<std::vector<FieldValue>> record_values(std::string_view local, uint64_t size_bytes);

// The whole record of `cell`, following its overflow pages as `from` sees them. kCorrupt names the
// page where the chain breaks.
Result<std::string> whole_record(const PageImage& image, PageFrom from, const LeafCell& cell);

}  // namespace penstock::spool
