// Spools that live, are cut off from power at random operations, and are looked at afterwards.
//
// A life runs one spool on the fault VFS (records of several lanes, refusals, acknowledgements,
// quarantine, restarts, I/O errors) and keeps, at every cut, what the medium could hold and what
// had been promised by then. check() opens what is left and compares. Used from one thread.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/crash/spool_fault_vfs.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {

// Deliberate mistakes, which a check has to find.
enum class Control {
  kNone,
  kNormalSync,       // PRAGMA synchronous=NORMAL instead of FULL
  kAckBeforeCommit,  // a record counts as durable once it is in the queue
  kPowersafe,        // psow=1: SQLite believes that a torn sector harms nothing beside it
};

struct Promise {
  std::map<LaneId, Seq> durable;                // on_durable covered it
  std::map<LaneId, Seq> acknowledged;           // was asked for
  std::map<LaneId, std::set<Seq>> refused;      // by intake
  std::map<LaneId, std::set<Seq>> poison;       // their quarantine was asked for
  std::map<LaneId, std::set<Seq>> quarantined;  // of these, what is known to be on disk
  std::map<LaneId, std::set<Seq>> given_up;     // by damaged()
  bool exact = true;                            // no fault has undone what was asked for
};

struct Cut {
  std::filesystem::path dir;
  FaultVfs::Survives mode = FaultVfs::Survives::kNothing;
  Promise promise;
  std::string story;  // for a person: which life, which cut
};

struct Verdict {
  bool refused = false;  // the spool did not open
  bool lost = false;     // something promised is not there, or is not what it was
  std::string what;
};

struct LifePlan {
  uint64_t seed = 1;
  int cuts = 30;
  int every = 25;  // operations between two cuts, at most
  int faults = 0;  // I/O errors in a hundred steps
  Control control = Control::kNone;
  std::optional<FaultVfs::Survives> mode{};  // of all cuts; else any
};

// Lives in `base`, which must exist; the cuts are directories there.
std::vector<Cut> live_and_cut(const std::filesystem::path& base, const LifePlan& plan);

// Opens the spool a cut left and compares it with the promise. With `again`, another cut hits that
// very opening first, and what that leaves must be as good.
Verdict check(const Cut& cut, bool again, uint64_t seed);

// A directory for simulated media: in memory where there is some, as nothing here needs a disk.
std::filesystem::path make_lab_dir();

Options lab_options(const std::filesystem::path& dir);

}  // namespace penstock::spool::testing
