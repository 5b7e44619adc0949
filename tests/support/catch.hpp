// SPDX-License-Identifier: MIT
// rondo tests: Catch2 version 2 (Debian 12) or 3, whichever is installed.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
namespace Catch {
using Detail::Approx;
}
#else
#include <catch2/catch.hpp>
#endif
