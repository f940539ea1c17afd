#include "agent/zerobus/grpc_call.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <grpcpp/support/slice.h>
#include <spdlog/fmt/fmt.h>

#include "agent/base/secret.h"

namespace penstock::zerobus {
namespace {

using Body = std::shared_ptr<const std::string>;

// gRPC calls it when no slice refers to the bytes any more, on whichever thread that was.
void release_body(void* body) { delete static_cast<Body*>(body); }

grpc::Slice referring_slice(Body body) {
  const auto owner = new Body(std::move(body));
  auto* const bytes = const_cast<char*>((*owner)->data());  // gRPC's signature; it only reads
  return grpc::Slice(bytes, (*owner)->size(), release_body, owner);
}

std::string joined(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string out;
  if (!buffer.Dump(&slices).ok()) return out;
  for (const grpc::Slice& slice : slices) {
    out.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return out;
}

// How long after a GOAWAY a stream goes on for the acknowledgements it waits for.
constexpr Millis kGoawayGrace{10'000};

}  // namespace

GrpcCall::GrpcCall(StreamOpen open, std::weak_ptr<StreamEvents> events, std::shared_ptr<Pool> pool,
                   Channels& channels, Place place)
    : generation_(open.generation),
      encoding_(open.encoding),
      bearer_(std::move(open.bearer)),
      events_(std::move(events)),
      pool_(std::move(pool)),
      channels_(channels),
      place_(std::move(place)) {
  context_->AddMetadata("authorization", "Bearer " + bearer_);
  context_->AddMetadata("x-databricks-zerobus-table-name", open.table);
  // The headers go with the create request.
  context_->set_initial_metadata_corked(true);
  const grpc::Slice create(create_request(open.table, open.encoding, open.descriptor));
  queued_.emplace_back(&create, 1);
  largest_sent_bytes_ = queued_.front().Length();
}

void GrpcCall::start(grpc::CompletionQueue& queue) {
  // Every operation that comes back takes it first, so it sees the finished object.
  const std::lock_guard lock(mutex_);
  grpc::GenericStub stub(place_.channel->channel);
  stream_ = stub.PrepareCall(context_.get(), kStreamMethod, &queue);
  stream_->StartCall(nullptr);  // no operation, see the constructor
  read();
  start_write();
}

void GrpcCall::write(int64_t offset, std::shared_ptr<const std::string> body) {
  const grpc::Slice header(batch_header(offset, encoding_, body->size()));
  const grpc::Slice slices[] = {header, referring_slice(std::move(body))};
  grpc::ByteBuffer message(slices, 2);
  const std::lock_guard lock(mutex_);
  if (ended_ || half_closed_) return;
  largest_sent_bytes_ = std::max(largest_sent_bytes_, message.Length());
  queued_.emplace_back().Swap(&message);
  if (!write_pending_) start_write();
}

size_t GrpcCall::take_back() {
  std::deque<grpc::ByteBuffer> taken;  // goes after the lock
  const std::lock_guard lock(mutex_);
  taken.swap(queued_);
  return taken.size();
}

void GrpcCall::half_close() {
  const std::lock_guard lock(mutex_);
  if (ended_ || half_closed_) return;
  half_closed_ = true;
  if (!write_pending_) start_half_close();
}

void GrpcCall::cancel() {
  std::shared_ptr<grpc::ClientContext> context;
  {
    const std::lock_guard lock(mutex_);
    if (!ended_) context = context_;
    if (!ended_ && !answered_) {
      const MonoTime now = pool_->clock();
      const std::lock_guard pool_lock(pool_->mutex);
      channels_.given_up(place_, now);
    }
  }
  if (context) context->TryCancel();
}

void GrpcCall::heard() {
  const std::lock_guard lock(mutex_);  // first, see start()
  ++place_.channel->heard;
  if (std::exchange(answered_, true)) return;
  const MonoTime now = pool_->clock();
  const std::lock_guard pool_lock(pool_->mutex);
  channels_.answered(place_, now);
}

// The server wants this connection left, and cuts it some time. The channel turns from it at once,
// which is all gRPC shows of a GOAWAY; without traffic nothing is at stake. The owner is told what
// it is as good as.
void GrpcCall::note_goaway() {
  if (place_.channel->channel->GetState(false) == GRPC_CHANNEL_READY) return;
  if (std::exchange(goaway_told_, true)) return;
  emit([&](StreamEvents& events) { events.on_response(generation_, CloseSignal{kGoawayGrace}); });
}

// Of what has not begun nothing can have arrived; by the time its owner reads the ack it may have
// begun. What is wrong with one before the answer to the create request its owner sees.
Result<void> GrpcCall::check_ack(const Response& response) {
  if (std::holds_alternative<StreamCreated>(response)) taken_ = true;
  const auto* ack = std::get_if<Ack>(&response);
  if (ack == nullptr || !taken_) return {};
  const std::lock_guard lock(mutex_);
  if (ack->up_to < begun_) return {};
  return Error{ErrorKind::kTransient,
               fmt::format("the server acknowledged offset {} but only {} requests were sent; not "
                           "trusting this stream any further",
                           ack->up_to, begun_),
               {}};
}

void GrpcCall::read() {
  ++operations_;
  stream_->Read(&incoming_, read_.tag());
}

void GrpcCall::start_write() {
  ++begun_;
  write_pending_ = true;
  ++operations_;
  stream_->Write(queued_.front(), written_.tag());  // takes references of its own
  queued_.pop_front();
}

void GrpcCall::start_half_close() {
  ++operations_;
  stream_->WritesDone(half_close_done_.tag());
}

void GrpcCall::ask_status() {
  ended_ = true;
  ++operations_;
  stream_->Finish(&status_, status_known_.tag());
}

void GrpcCall::finish_operation(void (GrpcCall::*next)(bool), bool ok) {
  (this->*next)(ok);
  {
    const std::lock_guard lock(mutex_);
    if (--operations_ > 0) return;
  }
  end();
}

void GrpcCall::on_read(bool ok) {
  if (!ok) {
    const std::lock_guard lock(mutex_);
    ask_status();
    return;
  }
  heard();
  auto response = parse_response(joined(incoming_));
  incoming_.Clear();
  if (auto good = response ? check_ack(*response) : Result<void>(); !good)
    response = std::move(good).error();
  if (response) {
    emit([&](StreamEvents& events) { events.on_response(generation_, *std::move(response)); });
  } else {
    emit([&](StreamEvents& events) {
      events.on_bad_response(generation_, std::move(response).error());
    });
  }
  note_goaway();
  const std::lock_guard lock(mutex_);
  read();
}

// Its owner is told of all at once, when the last of them is on its way: each time costs it a
// wake-up.
void GrpcCall::on_written(bool ok) {
  size_t done = 0;
  bool open = false;
  {
    const std::lock_guard lock(mutex_);
    write_pending_ = false;
    unreported_ += std::exchange(created_, true) ? 1 : 0;
    open = answered_;
    if (!ok || ended_) {
      queued_.clear();
      return;
    }
    if (!queued_.empty()) {
      start_write();
    } else if (half_closed_) {
      start_half_close();
    }
    if (queued_.empty()) done = std::exchange(unreported_, 0);
  }
  if (done > 0) emit([&](StreamEvents& events) { events.on_writes_done(generation_, done); });
  if (open) note_goaway();
}

// Nothing is under way any more. The last call here, which may destroy it.
void GrpcCall::end() {
  release_context();
  {
    // Who hears of the end finds room for the next stream.
    const std::lock_guard lock(pool_->mutex);
    channels_.left(place_, answered_);
  }
  Status end =
      as_meant(static_cast<int>(status_.error_code()), status_.error_message(), sent_sizes());
  // A server, or a proxy in between, may repeat the token it was sent; the text ends up in logs.
  end.message = without_secret(std::move(end.message), bearer_, "[access token]");
  if (end.code == code::kUnavailable && !answered_ && !pool_->proxy.empty())
    end.message += " (through the proxy " + pool_->proxy + ")";
  emit([&](StreamEvents& events) { events.on_closed(generation_, end); });
  const std::shared_ptr<Pool> pool = pool_;
  std::shared_ptr<GrpcCall> self;  // goes after the lock
  const std::lock_guard lock(pool->mutex);
  const auto found = std::find_if(pool->calls.begin(), pool->calls.end(),
                                  [this](const auto& call) { return call.get() == this; });
  self = std::move(pool->calls.extract(found).value());
  pool->all_ended.notify_all();
}

SentSizes GrpcCall::sent_sizes() {
  const std::lock_guard lock(mutex_);
  return {largest_sent_bytes_, bearer_.size(), answered_};
}

// What a failed write was sending stays with the call until its context goes; handles may live
// longer.
void GrpcCall::release_context() {
  std::shared_ptr<grpc::ClientContext> context;
  const std::lock_guard lock(mutex_);
  stream_.reset();
  context.swap(context_);
}

}  // namespace penstock::zerobus
