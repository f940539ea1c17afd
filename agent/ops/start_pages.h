// The code that only the start needed, given back: relocation, registration, reading the
// configuration, the first handshakes of large libraries. It stays mapped into the process
// otherwise, and counts as its memory, until the machine is short of it.
#pragma once

#include <cstddef>

namespace penstock::ops {

// Takes the pages of all loaded code out of this process. What runs on is there again at its next
// call, from the page cache as a rule. Only segments that are executable and not writable: nothing
// in them is the process's own. Returns the bytes it was done for. Any thread.
size_t forget_start_pages();

}  // namespace penstock::ops
