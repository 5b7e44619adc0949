// SPDX-License-Identifier: MIT
// rondo tests: whether this is a build with a sanitizer.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define RONDO_TEST_THREAD_SANITIZED 1
#elif defined(__SANITIZE_ADDRESS__)
#define RONDO_TEST_ADDRESS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RONDO_TEST_THREAD_SANITIZED 1
#elif __has_feature(address_sanitizer)
#define RONDO_TEST_ADDRESS_SANITIZED 1
#endif
#endif
#ifndef RONDO_TEST_THREAD_SANITIZED
#define RONDO_TEST_THREAD_SANITIZED 0
#endif
#ifndef RONDO_TEST_ADDRESS_SANITIZED
#define RONDO_TEST_ADDRESS_SANITIZED 0
#endif

namespace rondo_test {

inline constexpr bool thread_sanitized = RONDO_TEST_THREAD_SANITIZED != 0;
inline constexpr bool address_sanitized = RONDO_TEST_ADDRESS_SANITIZED != 0;
/// Sanitized builds are an order of magnitude slower.
inline constexpr bool sanitized = thread_sanitized || address_sanitized;

}  // namespace rondo_test
