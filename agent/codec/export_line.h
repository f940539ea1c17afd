// One line of a spool's export, written and read: a header, a record, or a range of numbers without
// records. agent/spool/EXPORT.md has the format.
//
// Lossless: reading a written line gives the same bytes. The reader takes any bytes; what is no
// line of this format is kRejected with what is wrong. One reader per thread; buffers are reused.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/result.h"

namespace penstock::codec {

inline constexpr int64_t kExportFormat = 1;

struct ExportHeader {
  int64_t format = kExportFormat;
  std::string agent_id;  // of the spool that was exported
  std::string epoch;
  int64_t exported_at_us = 0;
};

// Whose a record or range is.
struct ExportLane {
  std::string origin;  // agent_id/epoch/lane
  std::string route;
  std::string table;
};

struct ExportNote {
  int64_t at_us = 0;
  std::string reason;
};

struct ExportLine {
  enum class Kind { kHeader, kRecord, kGap };
  Kind kind = Kind::kRecord;
  ExportHeader header;
  ExportLane lane;
  uint64_t first = 0;  // a record's number, or the first of a range
  uint64_t last = 0;
  std::string body;                       // kRecord: encode_record's byte form
  bool delivered = false;                 // kRecord: the destination has it
  std::optional<ExportNote> quarantined;  // kRecord
  std::string fate;                       // kGap: damaged, delivered, discarded, ...
  ExportNote note;                        // kGap
};

// Append one line with its newline. In `line` what the kind uses counts; its strings may hold any
// bytes.
void append_export_header(const ExportHeader& header, std::string& out);
void append_export_record(const ExportLine& line, std::string_view body, std::string& out);
void append_export_gap(const ExportLine& line, std::string& out);

class ExportLineReader {
 public:
  ExportLineReader();
  ~ExportLineReader();
  ExportLineReader(ExportLineReader&&) noexcept;
  ExportLineReader& operator=(ExportLineReader&&) noexcept;

  // `text` without its newline.
  Result<ExportLine> read(std::string_view text);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock::codec
