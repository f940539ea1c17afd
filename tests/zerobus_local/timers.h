// One thread that runs functions at given times.
//
// at() from any thread, also from within a function it runs. Functions must be short and must not
// throw. After stop() returns nothing runs any more; what was still due is dropped. The owner stops
// it before what its functions use dies.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "agent/base/clock.h"

namespace penstock::local {

class Timers {
 public:
  Timers();
  ~Timers();
  void at(MonoTime when, std::function<void()> run);
  void stop();

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<MonoTime, std::function<void()>> due_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace penstock::local
