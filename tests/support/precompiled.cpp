// SPDX-License-Identifier: MIT
// rondo tests: a source that uses the precompiled header; without one CMake makes none.
