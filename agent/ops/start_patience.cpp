#include "agent/ops/start_patience.h"

#include <fstream>
#include <string>
#include <utility>

namespace penstock::ops {
namespace {

constexpr uint64_t kLeastBytes = 64 << 10;

}  // namespace

uint64_t bytes_read() {
  std::ifstream file("/proc/self/io");
  uint64_t bytes = 0;
  for (std::string name; file >> name >> bytes;) {
    if (name == "rchar:") return bytes;
  }
  return 0;
}

StartPatience::StartPatience(std::function<uint64_t()> read, std::function<void()> ask, Millis look)
    : read_(std::move(read)), ask_(std::move(ask)), look_(look), thread_([this] { run(); }) {}

StartPatience::~StartPatience() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  over_.notify_one();
  thread_.join();
}

void StartPatience::run() {
  uint64_t before = read_();
  std::unique_lock lock(mutex_);
  while (!over_.wait_for(lock, look_, [this] { return is_over_; })) {
    const uint64_t now = read_();
    if (now >= before + kLeastBytes) ask_();
    before = now;
  }
}

}  // namespace penstock::ops
