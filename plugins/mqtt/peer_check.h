// Is the other end of an accepted loopback connection a socket of this very process? The gate's
// port is open to every local user, and whoever connects would ride on our client certificate; so
// only our own Paho is let in. Looks at the addresses of all open descriptors (/proc/self/fd). Any
// thread; false when /proc cannot be read.
#pragma once

namespace penstock::mqtt {

bool peer_is_own_process(int accepted_fd);

}  // namespace penstock::mqtt
