// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  Bytes that wait to be sent.
#include "transport/byte_queue.hpp"

#include "transport/receive_memory.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

constexpr std::size_t largest_block = 64 * 1024;
// Below it copying a string costs less than a slice of its own.
constexpr std::size_t worth_moving = 2048;

}  // namespace

struct byte_queue::chunk {
  chunk* next = nullptr;
  char* data = nullptr;
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t capacity = 0;  // 0: a string_chunk, which takes nothing more
};

struct byte_queue::string_chunk : chunk {
  std::string text;
};

byte_queue::chunk* byte_queue::add_block(std::size_t capacity) {
  const std::size_t wanted = sizeof(chunk) + capacity;
  void* const memory = take_write_block(wanted);
  auto* const added = ::new (memory) chunk;
  added->data = static_cast<char*>(memory) + sizeof(chunk);
  added->capacity = std::max(wanted, write_block_size) - sizeof(chunk);
  link(added);
  return added;
}

void byte_queue::link(chunk* added) noexcept {
  if (first_ == nullptr) {
    first_ = added;
  } else {
    last_->next = added;
  }
  last_ = added;
}

void byte_queue::free_chunk(chunk* unused) noexcept {
  if (unused->capacity == 0) {
    delete static_cast<string_chunk*>(unused);
  } else {
    give_write_block(unused, sizeof(chunk) + unused->capacity);
  }
}

void byte_queue::append(std::string_view bytes) {
  if (last_ != nullptr && last_->capacity != 0) {
    const std::size_t count = std::min(bytes.size(), last_->capacity - last_->end);
    const std::size_t rest = bytes.size() - count;
    // Growing blocks keep the overhead small for whoever ignores flow control.
    chunk* const tail = last_;
    if (rest > 0) {
      add_block(std::max(rest, std::min(size_, largest_block - sizeof(chunk))));
      std::memcpy(last_->data, bytes.data() + count, rest);
      last_->end = rest;
    }
    if (count > 0) {
      std::memcpy(tail->data + tail->end, bytes.data(), count);
      tail->end += count;
    }
  } else if (!bytes.empty()) {
    add_block(bytes.size());
    std::memcpy(last_->data, bytes.data(), bytes.size());
    last_->end = bytes.size();
  }
  size_ += bytes.size();
}

void byte_queue::append_owned(std::string&& bytes, std::size_t skip) {
  const std::size_t count = bytes.size() - skip;
  if (count < worth_moving || skip > bytes.size() / 2) {
    append(std::string_view(bytes).substr(skip));
    return;
  }
  auto added = std::make_unique<string_chunk>();
  added->text = std::move(bytes);
  added->data = added->text.data();
  added->begin = skip;
  added->end = added->text.size();
  link(added.release());
  size_ += count;
}

std::size_t byte_queue::gather(std::span<::iovec> slices) const noexcept {
  std::size_t count = 0;
  for (const chunk* at = first_; at != nullptr && count < slices.size(); at = at->next) {
    slices[count].iov_base = at->data + at->begin;
    slices[count].iov_len = at->end - at->begin;
    ++count;
  }
  return count;
}

std::span<char> byte_queue::front() const noexcept {
  return {first_->data + first_->begin, first_->end - first_->begin};
}

void byte_queue::consume(std::size_t count) noexcept {
  size_ -= count;
  while (first_ != nullptr) {
    chunk* const at = first_;
    const std::size_t here = at->end - at->begin;
    if (count < here) {
      at->begin += count;
      return;
    }
    count -= here;
    first_ = at->next;
    free_chunk(at);
  }
  last_ = nullptr;
}

void byte_queue::clear() noexcept { consume(size_); }

}  // namespace detail
}  // namespace v0
}  // namespace rondo
