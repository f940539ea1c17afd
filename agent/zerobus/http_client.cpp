#include "agent/zerobus/http_client.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <curl/curl.h>

#include "agent/zerobus/status.h"

namespace penstock::zerobus {
namespace {

constexpr long kIdleConnections = 8;  // kept; hundreds of tables ask at once, and then for long not
constexpr int kPollMs = 60'000;  // an upper bound; curl asks for less while it has something to do

using Headers = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;
using Easy = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;

// Process-lifetime, like gRPC's; curl wants it before its first thread.
bool curl_ready() {
  static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return ready;
}

void add_header(Headers& headers, const std::string& line) {
  if (curl_slist* longer = curl_slist_append(headers.get(), line.c_str())) {
    (void)headers.release();
    headers.reset(longer);
  }
}

// One request under way.
struct Transfer {
  HttpRequest request;
  HttpClient::Done done;
  std::optional<Millis> timeout;
  Easy easy{nullptr, curl_easy_cleanup};
  Headers headers{nullptr, curl_slist_free_all};
  std::array<char, CURL_ERROR_SIZE> error{};
  HttpReply reply;
  std::string proxy;  // "host:port"; empty: none
  size_t max_body_bytes = 0;
  bool too_long = false;

  static size_t on_body(char* data, size_t size, size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    const size_t bytes = size * count;
    transfer.too_long = transfer.reply.body.size() + bytes > transfer.max_body_bytes;
    if (transfer.too_long) return 0;
    transfer.reply.body.append(data, bytes);
    return bytes;
  }

  bool prepare(const HttpOptions& options);
  Result<HttpReply> result(CURLcode code);
};

bool Transfer::prepare(const HttpOptions& options) {
  easy.reset(curl_easy_init());
  if (!easy) return false;
  max_body_bytes = options.max_body_bytes;
  for (const auto& line :
       {"Authorization: " + request.authorization, std::string("Accept: application/json"),
        std::string("Content-Type: application/x-www-form-urlencoded"), std::string("Expect:")}) {
    add_header(headers, line);
  }
  CURL* const c = easy.get();
  const bool https = request.url.starts_with("https://");
  curl_easy_setopt(c, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, https ? "https" : "http");
  // Unencrypted requests are for this machine; a proxy would carry them off it. Empty: none, also
  // if the environment has one.
  if (https && options.proxy) proxy = options.proxy->address();
  curl_easy_setopt(c, CURLOPT_PROXY, proxy.empty() ? "" : options.proxy->url().c_str());
  curl_easy_setopt(c, CURLOPT_NOPROXY, "");
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(c, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
  if (request.get) {
    curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
  } else {
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, request.body.c_str());
  }
  curl_easy_setopt(c, CURLOPT_USERAGENT, options.user_agent.c_str());
  const Millis limit = std::max(Millis(1), timeout.value_or(options.timeout));  // 0 is none to curl
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, static_cast<long>(limit.count()));
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  // A name lookup that hangs is left to end by itself: otherwise libcurl waits for it when the
  // time is over and when the client stops, and all other requests wait with it.
  curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(c, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  if (!options.ca_file.empty()) {
    curl_easy_setopt(c, CURLOPT_CAINFO, options.ca_file.c_str());
    curl_easy_setopt(c, CURLOPT_CAPATH, nullptr);       // otherwise the system's store counts too
    curl_easy_setopt(c, CURLOPT_CA_CACHE_TIMEOUT, 0L);  // the file may be replaced
  }
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error.data());
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(c, CURLOPT_PRIVATE, this);
  return true;
}

Result<HttpReply> Transfer::result(CURLcode code) {
  const std::string what = (request.get ? "GET " : "POST ") + request.url + ": ";
  if (too_long) {
    return Error{ErrorKind::kDenied,
                 what + "the answer is longer than " + std::to_string(max_body_bytes) +
                     " bytes. Check workspace_url.",
                 {}};
  }
  if (code != CURLE_OK) {
    std::string text = what + (error[0] ? printable(error.data()) : curl_easy_strerror(code));
    const bool hopeless = code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
                          code == CURLE_SSL_CACERT_BADFILE;
    if (code == CURLE_PEER_FAILED_VERIFICATION)
      text += ". Check tls.ca, and whether the clock is set.";
    if (!proxy.empty()) text += " (through the proxy " + proxy + ")";
    return Error{hopeless ? ErrorKind::kDenied : ErrorKind::kTransient, std::move(text), {}};
  }
  long status = 0;
  curl_off_t retry_after_s = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(easy.get(), CURLINFO_RETRY_AFTER, &retry_after_s);
  reply.status = static_cast<int>(status);
  if (retry_after_s > 0) {
    reply.retry_after = std::chrono::seconds(std::min<curl_off_t>(retry_after_s, 86'400));
  }
  return std::move(reply);
}

}  // namespace

class HttpClient::Worker {
 public:
  Worker(HttpOptions options, CURLM* multi) : options_(std::move(options)), multi_(multi) {
    thread_ = std::thread([this] { run(); });
  }

  ~Worker() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    curl_multi_wakeup(multi_);
    thread_.join();
    for (const auto& transfer : active_) curl_multi_remove_handle(multi_, transfer->easy.get());
    active_.clear();
    curl_multi_cleanup(multi_);
  }

  void post(HttpRequest request, Done done, std::optional<Millis> timeout) {
    auto transfer = std::make_unique<Transfer>();
    transfer->request = std::move(request);
    transfer->done = std::move(done);
    transfer->timeout = timeout;
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(transfer));
    }
    curl_multi_wakeup(multi_);
  }

 private:
  void run() {
    while (take_queue()) {
      int running = 0;
      curl_multi_perform(multi_, &running);
      finish_some();
      curl_multi_poll(multi_, nullptr, 0, kPollMs, nullptr);
    }
  }

  bool take_queue() {
    std::vector<std::unique_ptr<Transfer>> taken;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return false;
      taken.swap(queue_);
    }
    for (auto& transfer : taken) {
      if (transfer->prepare(options_) &&
          curl_multi_add_handle(multi_, transfer->easy.get()) == CURLM_OK) {
        active_.push_back(std::move(transfer));
      } else {
        transfer->done(Error{ErrorKind::kTransient, "no memory for an HTTP request", {}});
      }
    }
    return true;
  }

  void finish_some() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      CURL* const easy = message->easy_handle;  // `message` is gone after the next call
      curl_multi_remove_handle(multi_, easy);
      const auto found = std::find_if(active_.begin(), active_.end(),
                                      [&](const auto& one) { return one->easy.get() == easy; });
      const auto transfer = std::move(*found);
      active_.erase(found);
      transfer->done(transfer->result(code));
    }
  }

  const HttpOptions options_;
  CURLM* const multi_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Transfer>> queue_;
  bool stopping_ = false;
  std::vector<std::unique_ptr<Transfer>> active_;  // of the thread
  std::thread thread_;
};

HttpClient::HttpClient(std::unique_ptr<Worker> worker) : worker_(std::move(worker)) {}
HttpClient::~HttpClient() = default;

Result<std::unique_ptr<HttpClient>> HttpClient::start(HttpOptions options) {
  CURLM* const multi = curl_ready() ? curl_multi_init() : nullptr;
  if (!multi) return Error{ErrorKind::kDenied, "the HTTP library cannot be started", {}};
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, kIdleConnections);
  return std::unique_ptr<HttpClient>(
      new HttpClient(std::make_unique<Worker>(std::move(options), multi)));
}

void HttpClient::post(HttpRequest request, Done done, std::optional<Millis> timeout) {
  worker_->post(std::move(request), std::move(done), timeout);
}

}  // namespace penstock::zerobus
