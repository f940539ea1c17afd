#include "plugins/serial/serial_input.h"

#include "plugins/serial/reader.h"
#include "plugins/serial/settings.h"

namespace penstock::serial {

SerialInput::SerialInput(sdk::Host host, const sdk::Options& options)
    : host_(host), reader_(std::make_unique<Reader>(host, read_settings(options))) {}

SerialInput::~SerialInput() = default;

void SerialInput::start() { reader_->start(); }
void SerialInput::on_room() { reader_->on_room(); }
void SerialInput::quiesce() { reader_->quiesce(); }

void SerialInput::stop() {
  reader_->stop();
  host_.set_state(PENSTOCK_STATE_STOPPED, "closed");
}

std::vector<sdk::Stat> SerialInput::stats() const { return reader_->stats(); }

}  // namespace penstock::serial
