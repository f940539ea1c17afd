// What is wrong with the topic of a received message, and how to show such a topic. Pure.
#pragma once

#include <string>
#include <string_view>

namespace penstock::mqtt {

// Empty: nothing. Source: MQTT 3.1.1 sections 1.5.3 and 4.7.3. Brokers check this; not all do.
std::string_view topic_problem(std::string_view topic);

// With \xNN for what is not printable ASCII.
std::string escaped_topic(std::string_view topic);

}  // namespace penstock::mqtt
