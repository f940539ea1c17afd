#include "plugins/mqtt/paho_link.h"

#include <mutex>
#include <utility>

#include <mqtt/async_client.h>

namespace penstock::mqtt {
namespace {

using ClientPtr = std::unique_ptr<::mqtt::async_client>;

constexpr std::chrono::milliseconds kAbandonPoll{20};
constexpr std::chrono::seconds kConnectLimit{30};

// Paho's global state is built with its first client and torn down with its last; the two must not
// overlap.
std::mutex& paho_lifetime() {
  static std::mutex mutex;
  return mutex;
}

::mqtt::connect_options connect_options(const Settings& settings, Version version,
                                        const std::optional<std::string>& password) {
  ::mqtt::connect_options options;
  options.set_keep_alive_interval(static_cast<int>(settings.keepalive.count()));
  options.set_connect_timeout(kConnectLimit);
  options.set_automatic_reconnect(false);
  if (!settings.username.empty()) options.set_user_name(settings.username);
  if (password) options.set_password(*password);
  if (version == Version::kV311) {
    options.set_mqtt_version(MQTTVERSION_3_1_1);
    options.set_clean_session(false);
    return options;
  }
  options.set_mqtt_version(MQTTVERSION_5);
  options.set_clean_start(false);
  using Property = ::mqtt::property;
  // No MAXIMUM_PACKET_SIZE: a broker discards what is larger without a word to anybody.
  options.set_properties(::mqtt::properties{
      {Property::SESSION_EXPIRY_INTERVAL, static_cast<int32_t>(settings.session_expiry.count())},
      {Property::RECEIVE_MAXIMUM, static_cast<int32_t>(settings.receive_maximum)}});
  return options;
}

void take_properties(const ::mqtt::properties& properties, IncomingMessage& message) {
  if (properties.contains(::mqtt::property::CONTENT_TYPE)) {
    message.attributes.emplace_back(
        "mqtt.content_type", ::mqtt::get<std::string>(properties, ::mqtt::property::CONTENT_TYPE));
  }
  const size_t count = properties.count(::mqtt::property::USER_PROPERTY);
  for (size_t i = 0; i < count; ++i) {
    auto [name, value] =
        ::mqtt::get<::mqtt::string_pair>(properties, ::mqtt::property::USER_PROPERTY, i);
    message.attributes.emplace_back("mqtt.user." + name, std::move(value));
  }
}

void hand_over(const ::mqtt::message& from, const PahoLink::Handlers& handlers) {
  IncomingMessage message;
  const std::string& topic = from.get_topic();
  const auto& payload = from.get_payload_ref();
  message.topic = topic;
  if (payload) message.payload = {payload.data(), payload.size()};
  message.qos = from.get_qos();
  message.retained = from.is_retained();
  message.duplicate = from.is_duplicate();
  if (!from.get_properties().empty()) take_properties(from.get_properties(), message);
  handlers.message(message);
}

std::chrono::seconds server_keepalive(const ::mqtt::properties& properties) {
  using Property = ::mqtt::property;
  if (!properties.contains(Property::SERVER_KEEP_ALIVE)) return std::chrono::seconds(0);
  return std::chrono::seconds(::mqtt::get<uint16_t>(properties, Property::SERVER_KEEP_ALIVE));
}

// True: the token completed (and did not fail, else it throws). False: abandoned.
bool wait_for(::mqtt::token& token, const PahoLink::Abandon& abandon) {
  while (!token.wait_for(kAbandonPoll)) {
    if (abandon()) return false;
  }
  return true;
}

}  // namespace

struct PahoKeeper::Client {
  ClientPtr paho;
};

PahoKeeper::PahoKeeper() : client_(std::make_unique<Client>()) {
  const std::lock_guard lock(paho_lifetime());
  client_->paho = std::make_unique<::mqtt::async_client>("tcp://127.0.0.1:1", "keeper");
}

PahoKeeper::~PahoKeeper() {
  const std::lock_guard lock(paho_lifetime());
  client_.reset();
}

struct PahoLink::Client {
  Handlers handlers;
  ClientPtr paho;  // after the handlers: destroyed first
};

PahoLink::PahoLink(const Settings& settings, Version version, uint16_t gate_port, Handlers handlers)
    : settings_(settings), version_(version), client_(std::make_unique<Client>()) {
  client_->handlers = std::move(handlers);
  const Handlers& told = client_->handlers;
  const int paho_version = version == Version::kV5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
  client_->paho = std::make_unique<::mqtt::async_client>(
      "tcp://127.0.0.1:" + std::to_string(gate_port), settings.client_id,
      ::mqtt::create_options(paho_version), static_cast<::mqtt::iclient_persistence*>(nullptr));
  client_->paho->set_message_callback(
      [&told](const ::mqtt::const_message_ptr& message) { hand_over(*message, told); });
  client_->paho->set_connection_lost_handler([&told](const std::string&) { told.lost(); });
}

PahoLink::~PahoLink() = default;

PahoLink::Connected PahoLink::connect(const std::optional<std::string>& password,
                                      const Abandon& abandon) {
  Connected result;
  try {
    const auto token = client_->paho->connect(connect_options(settings_, version_, password));
    const auto deadline =
        std::chrono::steady_clock::now() + kConnectLimit + std::chrono::seconds(5);
    const auto late = [&] { return abandon() || std::chrono::steady_clock::now() > deadline; };
    if (!wait_for(*token, late)) {
      result.abandoned = true;
      return result;
    }
    const auto response = token->get_connect_response();
    result.ok = true;
    result.session_present = response.is_session_present();
    result.server_keepalive = server_keepalive(response.get_properties());
  } catch (const ::mqtt::exception& problem) {
    result.ok = false;
    // Positive: the code of the CONNACK, in both versions. Negative: Paho's own.
    if (problem.get_return_code() > 0) result.refusal = problem.get_return_code();
    result.detail = problem.what();
  }
  return result;
}

std::optional<std::vector<PahoLink::Granted>> PahoLink::subscribe(const std::vector<size_t>& which,
                                                                  const Abandon& abandon) {
  // One SUBSCRIBE for each filter: for a list of filters Paho C++ 1.2.0 loses the answers when the
  // first is refused.
  std::vector<Granted> results;
  try {
    std::vector<::mqtt::token_ptr> tokens;
    for (const size_t i : which) {
      const auto retain = settings_.skip_retained ? ::mqtt::subscribe_options::DONT_SEND_RETAINED
                                                  : ::mqtt::subscribe_options::SEND_RETAINED_ON_NEW;
      const bool v5 = version_ == Version::kV5;
      tokens.push_back(client_->paho->subscribe(
          settings_.filters[i], settings_.qos[i],
          v5 ? ::mqtt::subscribe_options(false, false, retain) : ::mqtt::subscribe_options()));
    }
    for (const auto& token : tokens) {
      Granted granted;
      try {
        if (!wait_for(*token, abandon)) return std::nullopt;
        granted.ok = true;
        granted.qos = static_cast<int>(token->get_subscribe_response().get_reason_codes().at(0));
      } catch (const ::mqtt::exception& problem) {
        granted.ok = false;
        granted.refusal = version_ == Version::kV5 ? static_cast<int>(problem.get_reason_code())
                                                   : problem.get_return_code();
        if (granted.refusal <= 0) return std::nullopt;
      }
      results.push_back(granted);
    }
  } catch (const std::exception&) {
    return std::nullopt;
  }
  return results;
}

bool PahoLink::unsubscribe(const std::vector<std::string>& filters, const Abandon& abandon,
                           std::vector<std::string>& refused) {
  try {
    for (const auto& filter : filters) {
      const auto token = client_->paho->unsubscribe(filter);
      try {
        if (!wait_for(*token, abandon)) return false;
        if (version_ == Version::kV311) continue;  // its UNSUBACK says nothing
        const auto codes = token->get_unsubscribe_response().get_reason_codes();
        if (!codes.empty() && static_cast<int>(codes[0]) >= 0x80) refused.push_back(filter);
      } catch (const ::mqtt::exception& problem) {
        if (version_ == Version::kV311 || static_cast<int>(problem.get_reason_code()) < 0x80)
          return false;
        refused.push_back(filter);
      }
    }
  } catch (const std::exception&) {
    return false;
  }
  return true;
}

void PahoLink::disconnect(std::chrono::milliseconds limit) {
  try {
    client_->paho->disconnect(static_cast<int>(limit.count()))->wait_for(limit);
  } catch (const ::mqtt::exception&) {
    // Not connected any more: that is what was wanted.
  }
}

}  // namespace penstock::mqtt
