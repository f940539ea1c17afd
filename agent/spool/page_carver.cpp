#include "agent/spool/page_carver.h"

namespace penstock::spool {
namespace {

class Carver {
 public:
  Carver(const PageImage& image, const std::function<void(const RowPlace&, FoundRow&&)>& found)
      : image_(image), found_(found) {}

  CarvedCounts run() {
    for (uint32_t page = 1; page <= image_.page_count(); ++page) {
      ++counts_.pages;
      if (!leaf({PageFrom::kCommitted, page})) ++counts_.unreadable_pages;
    }
    for (uint32_t page = 1; page <= image_.page_count(); ++page) {
      if (image_.is_overlaid(page)) leaf({PageFrom::kDatabase, page});
    }
    for (uint32_t frame = 0; frame < image_.frame_count(); ++frame) {
      if (!image_.is_committed_frame(frame)) leaf({PageFrom::kFrame, frame});
    }
    return counts_;
  }

 private:
  // False when it cannot be read.
  bool leaf(PageRef ref) {
    if (!image_.read(ref, page_)) return false;
    const bool is_first = ref.from != PageFrom::kFrame && ref.number == 1;
    if (page_kind(page_, is_first) != PageKind::kTableLeaf) return true;
    ++counts_.leaves;
    const uint32_t count = cell_count(page_, is_first);
    for (uint32_t i = 0; i < count; ++i) {
      const auto cell = leaf_cell(page_, is_first, i);
      if (!cell) continue;
      const auto values = record_values(cell->local, cell->size_bytes);
      if (!values) continue;
      const auto table = table_by_shape(*values);
      if (!table) continue;
      if (auto row = row_of(*table, cell->rowid, *values)) found_({ref, i}, std::move(*row));
    }
    return true;
  }

  const PageImage& image_;
  const std::function<void(const RowPlace&, FoundRow&&)>& found_;
  CarvedCounts counts_;
  std::string page_;
};

Error gone(const std::string& what) { return {ErrorKind::kCorrupt, what, {}}; }

}  // namespace

CarvedCounts carve(const PageImage& image,
                   const std::function<void(const RowPlace&, FoundRow&&)>& found) {
  return Carver(image, found).run();
}

Result<std::string> blob_at(const PageImage& image, const RowPlace& place, FoundTable table) {
  std::string page;
  if (!image.read(place.leaf, page)) return gone("its page cannot be read");
  const bool is_first = place.leaf.from != PageFrom::kFrame && place.leaf.number == 1;
  const auto cell = leaf_cell(page, is_first, place.cell);
  const auto field = blob_field(table);
  if (!cell || !field) return gone("its row is gone");
  const PageFrom from = place.leaf.from == PageFrom::kFrame ? PageFrom::kAnyFrame : place.leaf.from;
  auto record = whole_record(image, from, *cell);
  if (!record) return std::move(record).error();
  const auto values = record_values(*record, record->size());
  if (!values || values->size() <= *field) return gone("its row is gone");
  return std::string((*values)[*field].bytes);
}

}  // namespace penstock::spool
