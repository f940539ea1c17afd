#include "plugins/mqtt/resolver.h"

#include <csignal>
#include <cstring>
#include <mutex>
#include <utility>

#include <netdb.h>

namespace penstock::mqtt {

struct Lookup::Request {
  Request() = default;
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;
  ~Request() {
    if (control.ar_result) freeaddrinfo(control.ar_result);
  }
  bool running() const { return gai_error(const_cast<gaicb*>(&control)) == EAI_INPROGRESS; }

  std::string host;
  std::string service;
  addrinfo hints{};
  gaicb control{};
};

namespace {

// Of the process, because no input lives as long as a lookup may last. Never destroyed: glibc may
// still write into what is in here while the process ends.
template <class T>
struct Aside {
  std::mutex mutex;
  std::vector<std::unique_ptr<T>> requests;
};

template <class T>
Aside<T>& aside() {
  static auto* const kept = new Aside<T>;
  return *kept;
}

}  // namespace

void Lookup::abandon(std::unique_ptr<Request> request) {
  auto& kept = aside<Request>();
  const std::lock_guard lock(kept.mutex);
  kept.requests.push_back(std::move(request));
}

size_t Lookup::abandoned() {
  auto& kept = aside<Request>();
  const std::lock_guard lock(kept.mutex);
  std::erase_if(kept.requests, [](const auto& request) { return !request->running(); });
  return kept.requests.size();
}

Lookup::Lookup(const std::string& host, uint16_t port) : request_(std::make_unique<Request>()) {
  static_cast<void>(abandoned());
  Request& request = *request_;
  request.host = host;
  request.service = std::to_string(port);
  request.hints.ai_family = AF_UNSPEC;
  request.hints.ai_socktype = SOCK_STREAM;
  request.hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  request.control.ar_name = request.host.c_str();
  request.control.ar_service = request.service.c_str();
  request.control.ar_request = &request.hints;
  if (getaddrinfo(request.control.ar_name, request.control.ar_service, &request.hints,
                  &request.control.ar_result) == 0) {
    done_ = true;
    return;
  }
  request.hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
  gaicb* list[] = {&request.control};
  sigevent nothing{};
  nothing.sigev_notify = SIGEV_NONE;
  if (const int failure = getaddrinfo_a(GAI_NOWAIT, list, 1, &nothing)) {
    done_ = true;
    error_ = gai_strerror(failure);
  }
}

Lookup::~Lookup() {
  if (!done() && gai_cancel(&request_->control) == EAI_NOTCANCELED) abandon(std::move(request_));
}

bool Lookup::done() {
  if (done_) return true;
  const int state = gai_error(&request_->control);
  if (state == EAI_INPROGRESS) return false;
  done_ = true;
  if (state != 0) error_ = gai_strerror(state);
  return true;
}

std::vector<Endpoint> Lookup::endpoints() const {
  std::vector<Endpoint> found;
  if (!done_ || !error_.empty()) return found;
  for (const addrinfo* entry = request_->control.ar_result; entry; entry = entry->ai_next) {
    Endpoint endpoint;
    if (entry->ai_addrlen > sizeof endpoint.address) continue;
    std::memcpy(&endpoint.address, entry->ai_addr, entry->ai_addrlen);
    endpoint.size = entry->ai_addrlen;
    found.push_back(endpoint);
  }
  return found;
}

}  // namespace penstock::mqtt
