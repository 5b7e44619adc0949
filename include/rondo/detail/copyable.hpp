// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Whether a result can really be copied.
#pragma once

#include <concepts>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {

template <class T>
struct copyable_trait;

// Containers claim to be copyable whatever they hold, and so does what contains them.
template <class T>
[[nodiscard]] consteval bool is_copyable() {
  if constexpr (!std::copy_constructible<T>) {
    return false;
  } else {
    return copyable_trait<T>::value;
  }
}
template <class T>
inline constexpr bool copyable = is_copyable<T>();

template <class T>
struct copyable_trait : std::true_type {};
template <class T>
  requires requires {
    typename T::value_type;
    typename T::allocator_type;
  }
struct copyable_trait<T> : std::bool_constant<is_copyable<typename T::value_type>()> {};
template <class T>
struct copyable_trait<std::optional<T>> : std::bool_constant<is_copyable<T>()> {};
template <class First, class Second>
struct copyable_trait<std::pair<First, Second>>
    : std::bool_constant<is_copyable<First>() && is_copyable<Second>()> {};
template <class... Ts>
struct copyable_trait<std::tuple<Ts...>> : std::bool_constant<(is_copyable<Ts>() && ...)> {};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
