// Puts records that another spool has exported into a spool that no agent runs on.
//
// Every origin (agent_id/epoch/lane) gets a lane of its own, named as imported_lane.h says, so that
// it can meet neither a lane of this spool nor one of another import; a record keeps its number. A
// record that is there already, waiting or decided, is left out: importing twice changes nothing. A
// record that this very spool has numbered and still answers for is left out too; one it has lost
// comes back in a lane of its own.
//
// The cursor of a lane stands before the lowest record imported until an agent runs on the spool;
// what it has passed since is not taken again. One thread; holds the spool's lock while it lives.
// Memory is bounded by a transaction and by the ranges of numbers known, not by the number of
// records.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/imported_lane.h"
#include "agent/spool/lock_file.h"
#include "agent/spool/offline_reader.h"
#include "agent/spool/offline_writer.h"

namespace penstock::spool {

struct ImportOf {
  std::string origin;
  std::string route;
  std::string table;
};

struct ImportQuarantine {
  int64_t at_us = 0;
  std::string reason;
};

enum class ImportOutcome {
  kTaken,
  kKnown,   // it is there already
  kBehind,  // its lane has passed it: delivered from here, or before the first import
};

class Importer {
 public:
  // Makes `dir` when it is not there. `input_bytes` of what will come, for the file's size limit.
  // kDenied: in use, not a spool, not permitted, damaged.
  static Result<Importer> open(const std::filesystem::path& dir, uint64_t input_bytes,
                               const Log& log);

  // kRejected: this record cannot be taken; go on with the next. Any other error ends the import.
  Result<ImportOutcome> add(const ImportOf& of, Seq seq, std::string_view body,
                            const std::optional<ImportQuarantine>& quarantined);
  // Numbers the exporting spool has no record for, with their fate over there.
  Result<ImportOutcome> add_gap(const ImportOf& of, SeqRange range, const std::string& fate,
                                int64_t at_us, const std::string& reason);
  // Everything taken is on disk and the spool closed on return. The last call.
  Result<void> finish();

 private:
  struct Home;
  struct State;
  explicit Importer(std::unique_ptr<State> state);

 public:
  Importer(Importer&&) noexcept;
  Importer& operator=(Importer&&) noexcept;
  ~Importer();

 private:
  std::unique_ptr<State> state_;
};

}  // namespace penstock::spool
