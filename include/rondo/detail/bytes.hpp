// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What counts as bytes besides string_view.
#pragma once

#include <concepts>
#include <cstddef>
#include <iterator>
#include <string_view>
#include <type_traits>

namespace rondo {
inline namespace v0 {
namespace detail {

template <class T>
concept byte_like =
    std::same_as<std::remove_cv_t<T>, char> || std::same_as<std::remove_cv_t<T>, unsigned char> ||
    std::same_as<std::remove_cv_t<T>, std::byte>;

/// What converts to a view by itself; also arrays of char, which end at their NUL.
template <class T>
concept text_like = std::convertible_to<const T&, std::string_view>;

/// std::filesystem::path, whose header nobody has to include for it.
template <class T>
concept path_like = !text_like<T> && requires(const T& path) {
  { path.native() } -> std::convertible_to<std::string_view>;
};

/// Spans, vectors and arrays of bytes.
template <class T>
concept byte_sequence = !text_like<T> && requires(const T& bytes) {
  requires byte_like<std::remove_pointer_t<decltype(std::data(bytes))>>;
  { std::size(bytes) } -> std::convertible_to<std::size_t>;
};

template <class T>
  requires text_like<T> || byte_sequence<T>
[[nodiscard]] std::string_view view_of(const T& bytes) {
  if constexpr (text_like<T>) {
    return bytes;
  } else {
    return std::string_view(reinterpret_cast<const char*>(std::data(bytes)), std::size(bytes));
  }
}

template <class R>
concept range_of_bytes = requires(R& parts) {
  std::begin(parts) != std::end(parts);
  ++std::declval<decltype(std::begin(parts))&>();
  view_of(*std::begin(parts));
};

}  // namespace detail
}  // namespace v0
}  // namespace rondo
