#include "agent/ops/progress_watch.h"

namespace penstock::ops {
namespace {

Millis since(MonoTime then, MonoTime now) { return std::chrono::duration_cast<Millis>(now - then); }

}  // namespace

ProgressWatch::Verdict ProgressWatch::look(const Health& health) {
  const Millis busy =
      health.spool_busy_since ? since(*health.spool_busy_since, health.now) : Millis{0};
  Verdict verdict{health.agent_thread_answers && busy <= kIoStallLimit};
  if (busy > kStallShown) {
    if (!stalled_since_) verdict.news = News::kStalled;
    verdict.stalled = busy;
    stalled_since_ = health.spool_busy_since;
  } else if (stalled_since_) {
    verdict.news = News::kOver;
    verdict.stalled = since(*stalled_since_, health.now);
    stalled_since_.reset();
  }
  return verdict;
}

}  // namespace penstock::ops
