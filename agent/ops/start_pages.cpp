#include "agent/ops/start_pages.h"

#include <cstdint>

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

namespace penstock::ops {

size_t forget_start_pages() {
  size_t bytes = 0;
  const auto forget = [](dl_phdr_info* object, size_t, void* sum) {
    const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    for (int i = 0; i < object->dlpi_phnum; ++i) {
      const auto& part = object->dlpi_phdr[i];
      if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0 || (part.p_flags & PF_W) != 0)
        continue;
      const uintptr_t begin = (object->dlpi_addr + part.p_vaddr) / page * page;
      const uintptr_t end = object->dlpi_addr + part.p_vaddr + part.p_memsz;
      if (::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED) == 0)
        *static_cast<size_t*>(sum) += end - begin;
    }
    return 0;
  };
  ::dl_iterate_phdr(forget, &bytes);
  return bytes;
}

}  // namespace penstock::ops
