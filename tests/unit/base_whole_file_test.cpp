// A file that is written whole: what is on disk when, and what stays when it fails. This program
// has its own fsync and rename, which note that they were called, and fail on request.
#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/base/whole_file.h"
#include "tests/support/temp_dir.h"

namespace {

std::vector<std::string> calls;
bool sync_fails = false;

std::string content_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

extern "C" int fsync(int fd) {
  struct stat info {};
  fstat(fd, &info);
  calls.push_back(S_ISDIR(info.st_mode) ? "sync directory"
                                        : "sync " + std::to_string(info.st_size) + " bytes");
  if (!sync_fails) return static_cast<int>(syscall(SYS_fsync, fd));
  errno = EIO;
  return -1;
}

extern "C" int rename(const char* from, const char* to) noexcept {
  calls.emplace_back("rename");
  return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

namespace penstock {
namespace {

class WholeFile : public testing::Test {
 protected:
  WholeFile() {
    calls.clear();
    sync_fails = false;
  }
  test::TempDir dir_{"whole_file"};
  const std::filesystem::path file_ = dir_.path() / "kept";
};

TEST_F(WholeFile, TheContentIsOnDiskBeforeItHasItsNameAndThenTheNameIs) {
  ASSERT_TRUE(write_whole_file(file_, "one"));
  EXPECT_EQ(calls, (std::vector<std::string>{"sync 3 bytes", "rename", "sync directory"}));
  EXPECT_EQ(content_of(file_), "one");
  ASSERT_TRUE(write_whole_file(file_, ""));
  EXPECT_EQ(content_of(file_), "");
}

TEST_F(WholeFile, WhatCannotBeSyncedLeavesTheFileAsItWas) {
  ASSERT_TRUE(write_whole_file(file_, "one"));
  sync_fails = true;
  const auto written = write_whole_file(file_, "two");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().kind, ErrorKind::kDenied);
  EXPECT_NE(written.error().what.find("kept.new: cannot be written: Input/output error"),
            std::string::npos)
      << written.error().what;
  EXPECT_EQ(content_of(file_), "one");
  EXPECT_FALSE(std::filesystem::exists(dir_.path() / "kept.new"));
}

TEST_F(WholeFile, IsForItsOwnerAlone) {
  ASSERT_TRUE(write_whole_file(file_, "a token"));
  EXPECT_EQ(std::filesystem::status(file_).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(WholeFile, AFolderThatIsNotThereIsNamed) {
  const auto written = write_whole_file(dir_.path() / "none/kept", "x");
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().what.find("none/kept.new"), std::string::npos);
}

}  // namespace
}  // namespace penstock
