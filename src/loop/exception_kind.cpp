// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Telling cancellations and interrupts from errors.
#include "exception_kind.hpp"

#include <rondo/errors.hpp>

#include <cstdint>
#include <exception>
#include <iterator>
#include <typeinfo>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

exception_kind find_kind_of(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const cancelled_error&) {
    return exception_kind::cancellation;
  } catch (const keyboard_interrupt&) {
    return exception_kind::ends_program;
  } catch (const system_exit&) {
    return exception_kind::ends_program;
  } catch (...) {
    return exception_kind::ordinary;
  }
}

}  // namespace

exception_kind kind_of(const std::exception_ptr& error) noexcept {
#ifdef __GLIBCXX__
  // Rethrowing takes more than a microsecond. The answer depends on the type alone, so the last few
  // are remembered.
  struct known {
    const std::type_info* type;
    exception_kind kind;
  };
  static constinit thread_local known cache[8] = {};
  const std::type_info* const type = error.__cxa_exception_type();
  known& place = cache[(reinterpret_cast<std::uintptr_t>(type) >> 4U) % std::size(cache)];
  if (place.type != type) [[unlikely]]
    place = known{type, find_kind_of(error)};
  return place.kind;
#else
  return find_kind_of(error);
#endif
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
