#include "plugins/udp/datagram_batch.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace penstock::udp {
namespace {

constexpr size_t kBatchBytes = size_t{512} << 10;
constexpr size_t kMinBatch = 8;
constexpr size_t kMaxBatch = 64;

size_t batch_size(size_t max_datagram_bytes) {
  return std::clamp(kBatchBytes / max_datagram_bytes, kMinBatch, kMaxBatch);
}

void read_control(msghdr& header, Datagram& datagram) {
  for (auto* item = CMSG_FIRSTHDR(&header); item; item = CMSG_NXTHDR(&header, item)) {
    if (item->cmsg_level != SOL_SOCKET) {
      datagram.to.take(*item);
      continue;
    }
    if (item->cmsg_type == SCM_TIMESTAMPNS) {
      timespec at{};
      std::memcpy(&at, CMSG_DATA(item), sizeof(at));
      datagram.received_at_us = int64_t{at.tv_sec} * 1'000'000 + at.tv_nsec / 1000;
    } else if (item->cmsg_type == SO_RXQ_OVFL) {
      uint32_t drops = 0;
      std::memcpy(&drops, CMSG_DATA(item), sizeof(drops));
      datagram.kernel_drops = drops;
    }
  }
}

}  // namespace

DatagramBatch::DatagramBatch(size_t max_datagram_bytes)
    : max_datagram_bytes_(max_datagram_bytes),
      bytes_(batch_size(max_datagram_bytes) * max_datagram_bytes),
      slots_(batch_size(max_datagram_bytes)),
      headers_(slots_.size()) {
  for (size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].payload = {bytes_.data() + i * max_datagram_bytes_, max_datagram_bytes_};
    auto& header = headers_[i].msg_hdr;
    header.msg_name = &slots_[i].source;
    header.msg_iov = &slots_[i].payload;
    header.msg_iovlen = 1;
    header.msg_control = slots_[i].control;
  }
}

int DatagramBatch::receive(int fd) {
  for (auto& header : headers_) {  // the kernel wrote the last call's sizes here
    header.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
    header.msg_hdr.msg_controllen = kControlBytes;
    header.msg_hdr.msg_flags = 0;
  }
  const int count = ::recvmmsg(fd, headers_.data(), static_cast<unsigned>(headers_.size()),
                               MSG_DONTWAIT, nullptr);
  if (count >= 0) return count;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
}

Datagram DatagramBatch::datagram(size_t i) const {
  auto header = headers_[i].msg_hdr;
  Datagram datagram;
  datagram.payload = {static_cast<const char*>(slots_[i].payload.iov_base), headers_[i].msg_len};
  datagram.source = &slots_[i].source;
  datagram.truncated = (header.msg_flags & MSG_TRUNC) != 0;
  read_control(header, datagram);
  return datagram;
}

}  // namespace penstock::udp
