#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "agent/zerobus/body_buffers.h"

namespace penstock::zerobus {
namespace {

TEST(ZerobusBodyBuffers, ABodyIsHandedOutEmptyOnceNobodyRefersToItAnyMore) {
  const auto buffers = BodyBuffers::make();
  auto body = buffers->take(5000);
  EXPECT_GE(body.capacity(), 5000u);
  body.assign(5000, 'x');
  const char* const memory = body.data();
  auto shared = buffers->share(std::move(body));
  auto also = shared;
  EXPECT_EQ(shared->size(), 5000u);
  EXPECT_EQ(shared->data(), memory) << "it was copied";
  shared.reset();
  EXPECT_EQ(buffers->held_bytes(), 0u);
  EXPECT_NE(buffers->take(5000).data(), memory) << "gRPC still reads it";
  EXPECT_EQ(also->back(), 'x');
  also.reset();
  EXPECT_GE(buffers->held_bytes(), 5000u);
  const auto again = buffers->take(100);
  EXPECT_EQ(again.data(), memory);
  EXPECT_TRUE(again.empty());
  EXPECT_EQ(buffers->held_bytes(), 0u);
}

TEST(ZerobusBodyBuffers, ItKeepsNoMoreThanItsLimit) {
  const auto buffers = BodyBuffers::make(10'000);
  std::vector<std::shared_ptr<const std::string>> bodies;
  for (int i = 0; i < 10; ++i) bodies.push_back(buffers->share(std::string(4000, 'x')));
  bodies.clear();
  EXPECT_GT(buffers->held_bytes(), 4000u);
  EXPECT_LE(buffers->held_bytes(), 10'000u);
  (void)buffers->share(std::string(20'000, 'x'));
  EXPECT_LE(buffers->held_bytes(), 10'000u);
}

TEST(ZerobusBodyBuffers, BodiesMayOutliveItAndEndOnAnyThread) {
  auto buffers = BodyBuffers::make();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([buffers] {
      for (int i = 0; i < 200; ++i) {
        auto body = buffers->take(1000);
        EXPECT_TRUE(body.empty());
        body.append(1000, 'x');
        const auto shared = buffers->share(std::move(body));
        EXPECT_EQ(shared->size(), 1000u);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const auto last = buffers->share(std::string(1000, 'x'));
  buffers.reset();
  EXPECT_EQ(last->size(), 1000u);
}

}  // namespace
}  // namespace penstock::zerobus
