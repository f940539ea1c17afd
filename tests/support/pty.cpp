#include "tests/support/pty.h"

#include <stdexcept>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

namespace penstock::test {
namespace {

// Until the reader sets its own mode the line would echo every byte and cut at 4095 characters.
void make_raw(int fd) {
  termios mode{};
  if (::tcgetattr(fd, &mode) != 0) return;
  ::cfmakeraw(&mode);
  ::tcsetattr(fd, TCSANOW, &mode);
}

}  // namespace

PtyLine::PtyLine(std::filesystem::path link) : link_(std::move(link)) {}

PtyLine::~PtyLine() { unplug(); }

void PtyLine::plug() {
  unplug();
  master_ = ::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  char name[128];
  if (master_ < 0 || ::grantpt(master_) != 0 || ::unlockpt(master_) != 0 ||
      ::ptsname_r(master_, name, sizeof(name)) != 0)
    throw std::runtime_error("cannot make a pseudo terminal; is /dev/pts mounted?");
  make_raw(master_);
  // By way of a rename, so that there is never a half-made link to open.
  const std::filesystem::path fresh = link_.string() + ".new";
  std::error_code ignored;
  std::filesystem::remove(fresh, ignored);
  std::filesystem::create_symlink(name, fresh);
  std::filesystem::rename(fresh, link_);
}

void PtyLine::unplug() {
  std::error_code ignored;
  std::filesystem::remove(link_, ignored);
  if (master_ >= 0) ::close(master_);
  master_ = -1;
  rest_.clear();
}

bool PtyLine::flush_rest() {
  if (rest_.empty()) return true;
  const ssize_t put = ::write(master_, rest_.data(), rest_.size());
  if (put > 0) rest_.erase(0, static_cast<size_t>(put));
  return rest_.empty();
}

std::string PtyLine::read(size_t bytes) {
  std::string text;
  pollfd waiting{master_, POLLIN, 0};
  while (text.size() < bytes && ::poll(&waiting, 1, 10'000) == 1) {
    char byte = 0;
    if (::read(master_, &byte, 1) != 1) break;
    text.push_back(byte);
  }
  return text;
}

bool PtyLine::write(std::string_view bytes) {
  if (master_ < 0 || !flush_rest()) return false;
  const ssize_t put = ::write(master_, bytes.data(), bytes.size());
  if (put <= 0) return false;
  rest_.assign(bytes.substr(static_cast<size_t>(put)));
  return true;
}

}  // namespace penstock::test
