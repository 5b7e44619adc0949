// SPDX-License-Identifier: MIT
#include <rondo/version.hpp>

#include <fmt/format.h>
#include <string>

#include "support/catch.hpp"

TEST_CASE("the linked library has the version of the headers") {
  CHECK(std::string(rondo::version()) ==
        fmt::format("{}.{}.{}", RONDO_VERSION_MAJOR, RONDO_VERSION_MINOR, RONDO_VERSION_PATCH));
  CHECK(RONDO_VERSION ==
        RONDO_VERSION_MAJOR * 10000 + RONDO_VERSION_MINOR * 100 + RONDO_VERSION_PATCH);
}

TEST_CASE("the inline namespace carries the ABI version") {
  CHECK(&rondo::version == &rondo::v0::version);
}
