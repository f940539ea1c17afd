# A toolchain file for CMake: builds for another architecture than this machine's.
#   -DPENSTOCK_CROSS_ARCH=arm64|armhf   -DPENSTOCK_SYSROOT=DIR   (what cross/sysroot made)
set(CMAKE_SYSTEM_NAME Linux)
# What CMake compiles to try things out needs them too.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PENSTOCK_CROSS_ARCH PENSTOCK_SYSROOT)
if(PENSTOCK_CROSS_ARCH STREQUAL "arm64")
  set(CMAKE_SYSTEM_PROCESSOR aarch64)
  set(penstock_triplet aarch64-linux-gnu)
  set(penstock_emulator qemu-aarch64-static)
elseif(PENSTOCK_CROSS_ARCH STREQUAL "armhf")
  set(CMAKE_SYSTEM_PROCESSOR armv7l)
  set(penstock_triplet arm-linux-gnueabihf)
  set(penstock_emulator qemu-arm-static)
else()
  message(FATAL_ERROR "PENSTOCK_CROSS_ARCH is '${PENSTOCK_CROSS_ARCH}': arm64 or armhf")
endif()
if(NOT IS_DIRECTORY "${PENSTOCK_SYSROOT}/usr/include")
  message(FATAL_ERROR "PENSTOCK_SYSROOT is '${PENSTOCK_SYSROOT}': make one with cross/sysroot")
endif()

set(CMAKE_C_COMPILER ${penstock_triplet}-gcc)
set(CMAKE_CXX_COMPILER ${penstock_triplet}-g++)
set(CMAKE_SYSROOT ${PENSTOCK_SYSROOT})
set(CMAKE_LIBRARY_ARCHITECTURE ${penstock_triplet})
# Programs run here (protoc); all else is the other architecture's.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# LIBDIR replaces the built-in search path: without it this machine's .pc files answer where the sysroot has none.
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${PENSTOCK_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR}
  ${PENSTOCK_SYSROOT}/usr/lib/${penstock_triplet}/pkgconfig:${PENSTOCK_SYSROOT}/usr/share/pkgconfig)
set(ENV{PKG_CONFIG_PATH} "")
set(CMAKE_CROSSCOMPILING_EMULATOR ${penstock_emulator} -L ${PENSTOCK_SYSROOT})
# The agent is tested as it is packaged; the tests' own sources need not be optimised as much.
set(PENSTOCK_TEST_OPTIONS -O1 -g0)
