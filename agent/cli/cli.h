// The command line: `penstock run | check | version`.
#pragma once

namespace penstock::cli {

// Parses the arguments and does what they say; returns the process's exit code. 2: wrong use or a
// wrong configuration.
int run(int argc, char** argv);

}  // namespace penstock::cli
