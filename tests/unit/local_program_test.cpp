// The program itself: command line, the ready line, exit codes, signals.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/paths.h"
#include "tests/zerobus_local/test_client.h"

namespace penstock::local::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// The program as a child; standard output through a pipe, standard error into a file.
class Program {
 public:
  Program(const TempDir& dir, std::vector<std::string> arguments)
      : errors_(dir.path() + "/stderr") {
    arguments.insert(arguments.begin(), test::build_dir() + "/bin/penstock-zerobus-local");
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors_.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0644);
    EXPECT_EQ(posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    out_ = fdopen(ends[0], "r");
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      (void)wait();
    }
    fclose(out_);
  }

  std::string read_line() {
    std::string line;
    for (int c; (c = fgetc(out_)) != EOF && c != '\n';) line.push_back(static_cast<char>(c));
    return line;
  }
  void signal(int number) const { kill(pid_, number); }
  int wait() {
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  std::string errors() const {
    std::ifstream in(errors_);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

 private:
  std::string errors_;
  pid_t pid_ = -1;
  FILE* out_ = nullptr;
};

class LocalProgram : public ::testing::Test {
 protected:
  std::vector<std::string> arguments() const {
    return {"--tables", tables_, "--data", dir_.path() + "/data"};
  }
  TempDir dir_;
  std::string tables_ = dir_.write("tables.yaml", kTables);
};

TEST_F(LocalProgram, TheReadyLineNamesWhereItListensAndSigtermStopsItCleanly) {
  Program program(dir_, arguments());
  const std::string line = program.read_line();
  ASSERT_THAT(line, StartsWith("ready grpc=127.0.0.1:"));
  EXPECT_THAT(line, HasSubstr(" admin=127.0.0.1:"));
  EXPECT_THAT(line, HasSubstr(" data=" + dir_.path() + "/data"));
  const std::string address = line.substr(11, line.find(" admin") - 11);
  const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  ClientStream stream(channel, {});
  ASSERT_FALSE(stream.create_json().empty());
  for (int64_t i = 0; i < 10; ++i) ASSERT_TRUE(stream.send_json(i, row_json(i)));
  ASSERT_TRUE(stream.wait_for_ack(9));
  program.signal(SIGTERM);
  EXPECT_EQ(stream.finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(program.wait(), 0) << program.errors();
  EXPECT_EQ(Lakehouse(dir_.path() + "/data").count(kTable), 10);
}

TEST_F(LocalProgram, AKilledProgramHasKeptEveryAcknowledgedRow) {
  Program program(dir_, arguments());
  const std::string line = program.read_line();
  const std::string address = line.substr(11, line.find(" admin") - 11);
  const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  ClientStream stream(channel, {});
  ASSERT_FALSE(stream.create_json().empty());
  for (int64_t i = 0; i < 200; ++i) ASSERT_TRUE(stream.send_json(i, row_json(i)));
  ASSERT_TRUE(stream.wait_for_ack(100));
  program.signal(SIGKILL);
  (void)stream.finish();  // acknowledgements that were under way count too
  EXPECT_EQ(program.wait(), 128 + SIGKILL);
  EXPECT_GE(Lakehouse(dir_.path() + "/data").count(kTable), stream.acked() + 1);
}

TEST_F(LocalProgram, SigintStopsItToo) {
  Program program(dir_, arguments());
  EXPECT_THAT(program.read_line(), StartsWith("ready"));
  program.signal(SIGINT);
  EXPECT_EQ(program.wait(), 0) << program.errors();
}

TEST_F(LocalProgram, ABadTablesFileOrCommandLineExitsWithTwoAndSaysWhy) {
  tables_ =
      dir_.write("bad.yaml", "tables:\n  - name: a.b\n    columns: [{name: x, type: NOPE}]\n");
  Program bad_tables(dir_, arguments());
  EXPECT_EQ(bad_tables.wait(), 2);
  EXPECT_THAT(bad_tables.errors(), HasSubstr("bad.yaml:2: table 'a.b' must have three parts"));
  EXPECT_THAT(bad_tables.errors(), HasSubstr("bad.yaml:3: type NOPE is not supported"));
  Program unknown(dir_, {"--nope"});
  EXPECT_EQ(unknown.wait(), 2);
  auto remote = arguments();
  remote.insert(remote.end(), {"--listen", "0.0.0.0:0"});
  Program refused(dir_, remote);
  EXPECT_EQ(refused.wait(), 2);
}

}  // namespace
}  // namespace penstock::local::testing
