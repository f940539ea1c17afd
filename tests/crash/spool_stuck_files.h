// Files that cannot be removed, as on a filesystem that has turned read-only in part.
//
// While a FaultVfs lives, whose replacements of unlink and remove ask here.
#pragma once

#include <functional>
#include <string>

namespace penstock::spool::testing {

// Those whose name ends so; "": none.
void refuse_removal_of(const std::string& suffix);

// Called with the path of each file before it is removed; nullptr: no more.
void watch_removals(std::function<void(const std::string&)> watch);

}  // namespace penstock::spool::testing
