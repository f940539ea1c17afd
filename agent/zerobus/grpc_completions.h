// Completions: the thread that waits for what the calls of a transport have done. Private to the
// gRPC transport.
//
// Not gRPC's callback API: on Linux its threads (two or more) wake twice a second each, for good,
// and after a second without events are deaf for 100 ms (gRPC 1.51, CallbackAlternativeCQ).
#pragma once

#include <thread>

#include <grpcpp/completion_queue.h>

namespace penstock::zerobus {

// What is given to gRPC with an operation, and comes back once, on the thread of Completions. The
// call keeps it until then.
class Operation {
 public:
  virtual void done(bool ok) = 0;
  void* tag() { return this; }

 protected:
  ~Operation() = default;
};

class Completions {
 public:
  Completions();
  // After the last operation: returns when its done() has returned. Not on this thread.
  ~Completions();
  Completions(const Completions&) = delete;
  Completions& operator=(const Completions&) = delete;

  grpc::CompletionQueue& queue() { return queue_; }

 private:
  void run();

  grpc::CompletionQueue queue_;
  std::thread thread_;
};

}  // namespace penstock::zerobus
