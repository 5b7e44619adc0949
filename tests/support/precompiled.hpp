// SPDX-License-Identifier: MIT
// rondo tests: what nearly every test includes, compiled once where the compiler can.
#pragma once

#include "support/catch.hpp"

#include <rondo/rondo.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>
