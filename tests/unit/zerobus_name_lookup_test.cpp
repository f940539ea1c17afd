// Goal: a name lookup that hangs does not hold up an HTTP request beyond its time, nor the stop.
// Method: this program's own getaddrinfo, which libcurl calls, waits for one name as long as the
// test wants and hands every other one on.
#include <condition_variable>
#include <future>
#include <mutex>
#include <string_view>

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include "agent/zerobus/http_client.h"

namespace {

constexpr std::string_view kHangs = "hangs.invalid";

// Lookups of kHangs. Never destroyed: a thread of libcurl's may be the last to use it.
struct Lookups {
  std::mutex mutex;
  std::condition_variable changed;
  bool released = false;
  int begun = 0;
  int ended = 0;
};

Lookups& lookups() {
  static auto* const all = new Lookups;
  return *all;
}

}  // namespace

extern "C" [[gnu::visibility("default")]] int getaddrinfo(const char* name, const char* service,
                                                          const addrinfo* hints,
                                                          addrinfo** result) {
  if (name && name == kHangs) {
    auto& all = lookups();
    std::unique_lock lock(all.mutex);
    ++all.begun;
    all.changed.notify_all();
    all.changed.wait(lock, [&] { return all.released; });
    ++all.ended;
    all.changed.notify_all();
    return EAI_NONAME;
  }
  static const auto next =
      reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return next(name, service, hints, result);
}

namespace penstock::zerobus {
namespace {

constexpr std::chrono::seconds kSoon{30};

class NameLookup : public testing::Test {
 protected:
  NameLookup() {
    const std::lock_guard lock(lookups().mutex);
    lookups().released = false;
    lookups().begun = lookups().ended = 0;
  }
  ~NameLookup() override {
    release();
    std::unique_lock lock(lookups().mutex);
    EXPECT_TRUE(
        lookups().changed.wait_for(lock, kSoon, [] { return lookups().ended == lookups().begun; }));
  }
  static void release() {
    const std::lock_guard lock(lookups().mutex);
    lookups().released = true;
    lookups().changed.notify_all();
  }
  static bool begun() {
    std::unique_lock lock(lookups().mutex);
    return lookups().changed.wait_for(lock, kSoon, [] { return lookups().begun > 0; });
  }
  static std::future<Result<HttpReply>> post(HttpClient& client) {
    const auto promise = std::make_shared<std::promise<Result<HttpReply>>>();
    client.post({"http://" + std::string(kHangs) + ":1/", "x", "y"},
                [promise](Result<HttpReply> reply) { promise->set_value(std::move(reply)); });
    return promise->get_future();
  }
};

TEST_F(NameLookup, ThatHangsEndsARequestWhenItsTimeIsOver) {
  HttpOptions options;
  options.timeout = Millis(100);
  const auto client = HttpClient::start(options);
  ASSERT_TRUE(client);
  auto reply = post(**client);
  ASSERT_TRUE(begun());
  const bool in_time = reply.wait_for(kSoon) == std::future_status::ready;
  release();
  ASSERT_TRUE(in_time) << "the request waits for the lookup";
  const auto got = reply.get();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, ErrorKind::kTransient);
}

TEST_F(NameLookup, ThatHangsDoesNotHoldUpTheStop) {
  auto client = HttpClient::start({});
  ASSERT_TRUE(client);
  auto reply = post(**client);
  ASSERT_TRUE(begun());
  auto stopped = std::async(std::launch::async, [&] { client->reset(); });
  const bool in_time = stopped.wait_for(kSoon) == std::future_status::ready;
  release();
  EXPECT_TRUE(in_time) << "the stop waits for the lookup";
}

}  // namespace
}  // namespace penstock::zerobus
