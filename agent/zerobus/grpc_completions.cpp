#include "agent/zerobus/grpc_completions.h"

#include <pthread.h>

namespace penstock::zerobus {

Completions::Completions() : thread_([this] { run(); }) {
  pthread_setname_np(thread_.native_handle(), "zerobus");
}

Completions::~Completions() {
  queue_.Shutdown();
  thread_.join();
}

void Completions::run() {
  void* tag = nullptr;
  for (bool ok = false; queue_.Next(&tag, &ok);) static_cast<Operation*>(tag)->done(ok);
}

}  // namespace penstock::zerobus
