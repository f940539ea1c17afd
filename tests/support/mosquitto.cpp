#include "tests/support/mosquitto.h"

#include <fstream>
#include <stdexcept>
#include <utility>

#include <pwd.h>
#include <unistd.h>

#include "tests/support/net.h"
#include "tests/support/ports.h"

namespace penstock::test {
namespace {

// Started by root the broker would become user `mosquitto`, who cannot write into our private
// directory.
std::string current_user() {
  const passwd* entry = ::getpwuid(::geteuid());
  return entry == nullptr ? "root" : entry->pw_name;
}

}  // namespace

Mosquitto::Mosquitto(std::filesystem::path dir, int max_inflight_messages)
    : dir_(std::move(dir)), port_(free_tcp_port()), max_inflight_messages_(max_inflight_messages) {
  std::filesystem::create_directories(dir_);
  configure("allow_anonymous true");
}

void Mosquitto::set_login(const std::string& user, const std::string& password) {
  const auto file = (dir_ / "users").string();
  Process tool({{"mosquitto_passwd", "-b", "-c", file, user, password}, {}, dir_ / "passwd.log"});
  if (tool.wait(std::chrono::seconds(30)) != 0)
    throw std::runtime_error("mosquitto_passwd failed:\n" + tool.output());
  configure("allow_anonymous false\npassword_file " + file);
}

void Mosquitto::configure(const std::string& access) const {
  std::ofstream conf(dir_ / "mosquitto.conf");
  conf << "listener " << port_ << " 127.0.0.1\n"
       << access << "\n"
       << "user " << current_user() << "\n"
       << "persistence true\n"
       << "persistence_location " << dir_.string() << "/\n"
       << "autosave_interval 1\n"
       << "max_inflight_messages " << max_inflight_messages_ << "\n"
       << "max_queued_messages 0\n"
       << "max_queued_bytes 0\n"
       << "log_dest stderr\n";
  if (!conf.flush()) throw std::runtime_error("cannot write " + (dir_ / "mosquitto.conf").string());
}

void Mosquitto::start() {
  process_.reset();
  process_ = std::make_unique<Process>(ProcessSpec{
      {"mosquitto", "-c", (dir_ / "mosquitto.conf").string()}, {}, dir_ / "mosquitto.log"});
  const bool up = wait_until([this] { return can_connect(port_) || !process_->running(); },
                             std::chrono::seconds(15));
  if (!up || !process_->running())
    throw std::runtime_error("mosquitto did not start:\n" + process_->output());
}

void Mosquitto::stop() {
  if (process_) process_->terminate(std::chrono::seconds(10));
  process_.reset();
}

void Mosquitto::kill_now() { process_.reset(); }

}  // namespace penstock::test
