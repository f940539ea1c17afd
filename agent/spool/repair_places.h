// Where a repair in place puts the two spools: the repaired one is made in DIR.repairing, then it
// is DIR, and what was DIR is DIR.before-repair. Cut off at any moment, either one of them is DIR,
// or whoever wants to use DIR is told what to do: an empty spool in its place would hide all
// records.
#pragma once

#include <filesystem>
#include <functional>

#include "agent/base/result.h"

namespace penstock::spool {

std::filesystem::path repairing_place(const std::filesystem::path& dir);
// The first of DIR.before-repair, DIR.before-repair-2, ... that is free.
std::filesystem::path damaged_place(const std::filesystem::path& dir);

// As the calls to the kernel of these names: 0, or -1 and errno.
struct RenameCalls {
  using Call = std::function<int(const char* from, const char* to)>;
  Call exchange;  // both names in one step
  Call rename;
};
RenameCalls rename_calls();

// `made` becomes `dir`, `dir` becomes `damaged`, durable on return: in two steps after the first of
// which all is in place, or, on filesystems that cannot exchange names, before which `dir` is gone
// for a moment. kTransient with what is where.
Result<void> change_places(const std::filesystem::path& dir, const std::filesystem::path& made,
                           const std::filesystem::path& damaged,
                           const RenameCalls& calls = rename_calls());

// kDenied with what to do: `dir` holds no spool, and beside it lies what a repair has left.
Result<void> check_repair_ended(const std::filesystem::path& dir);

}  // namespace penstock::spool
