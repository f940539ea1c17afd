// Goal: code that is not running is not counted as the process's memory, and runs when it is
// called. Method: the kernel's own account of this program's code.
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "agent/ops/start_pages.h"

extern "C" const char __executable_start;  // of the linker
extern "C" const char etext;

namespace penstock::ops {
namespace {

// What of all mapped code is in memory.
size_t code_kb() {
  std::ifstream maps("/proc/self/smaps");
  size_t sum = 0;
  bool is_code = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(" r-xp ") != std::string::npos) is_code = true;
    if (line.find(" rw-p ") != std::string::npos || line.find(" r--p ") != std::string::npos)
      is_code = false;
    if (is_code && line.starts_with("Rss:")) sum += std::stoul(line.substr(4));
  }
  return sum;
}

TEST(StartPages, CodeThatDoesNotRunIsGivenBackAndRunsWhenItIsCalled) {
  size_t sum = 0;
  for (const char* at = &__executable_start; at < &etext; at += 4096)
    sum += static_cast<unsigned char>(*static_cast<const volatile char*>(at));
  const size_t before = code_kb();
  EXPECT_GT(forget_start_pages(), 0U);
  const size_t after = code_kb();  // whose code was forgotten, too
  EXPECT_LT(after, before) << "KiB; " << sum;
}

}  // namespace
}  // namespace penstock::ops
