// The agent with its promise broken on purpose (tests/support/ack_before_commit.h). The end-to-end
// test runs it to prove that it would notice: it must lose acknowledged records in a kill.
#include "agent/cli/cli.h"
#include "tests/support/ack_before_commit.h"

int main(int argc, char** argv) {
  penstock::app::AgentSettings settings;
  penstock::test::AckBeforeCommit::put_into(settings);
  return penstock::cli::run(argc, argv, std::move(settings));
}
