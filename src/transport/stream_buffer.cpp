// SPDX-License-Identifier: MIT
// rondo — asyncio for C++20.  What a stream reader has received and nobody has read.
#include "transport/stream_buffer.hpp"

#include <rondo/errors.hpp>

#include "transport/receive_memory.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace rondo {
inline namespace v0 {
namespace detail {
namespace {

// Below it a copy is cheaper than the loss of a storage.
constexpr std::size_t worth_moving = 4096;

}  // namespace

stream_buffer::stream_buffer(std::size_t most) : limit(most) {
  if (most == 0) throw std::invalid_argument("Limit cannot be <= 0");
}

stream_buffer::~stream_buffer() {
  return_storage();
  if (retired_ != nullptr) give_storage(retired_);
}

void destroy(stream_buffer_head& buffer) noexcept { delete static_cast<stream_buffer*>(&buffer); }

// ---- storage -----------------------------------------------------------------------

// Makes room behind end_, without touching what is lent.
void stream_buffer::make_room(std::size_t wanted) {
  if (storage_ == nullptr) {
    storage_ = take_storage(std::max(wanted, storage_size(size_class_)));
    return;
  }
  const std::size_t unread = size();
  const std::size_t room = storage_->bytes.size();
  if (!lent_) {
    if (unread == 0) {
      begin_ = 0;
      end_ = 0;
    }
    if (room - end_ >= wanted) return;
    // Only where it pays: each byte is moved at most once for each byte that was read.
    if (begin_ >= unread && room - unread >= wanted) {
      std::memmove(storage_->bytes.data(), storage_->bytes.data() + begin_, unread);
      begin_ = 0;
      end_ = unread;
      return;
    }
  } else if (room - end_ >= wanted) {
    return;
  }
  storage* const larger =
      take_storage(std::max({unread + wanted, 2 * unread, storage_size(size_class_)}));
  std::memcpy(larger->bytes.data(), storage_->bytes.data() + begin_, unread);
  if (!lent_) {
    give_storage(storage_);
  } else {
    retired_ = storage_;  // there is none yet: the read that lent this one gave it back
    lent_ = false;
  }
  storage_ = larger;
  begin_ = 0;
  end_ = unread;
}

// The largest storage that does not hold much more than flow control allows.
void stream_buffer::use_larger() noexcept {
  if (size_class_ + 1U < storage_classes && storage_size(size_class_) < 2 * limit) ++size_class_;
}

void stream_buffer::use_smaller(std::size_t received) noexcept {
  if (received < storage_size(size_class_) / 8) --size_class_;
}

void stream_buffer::append(std::string_view bytes) {
  if (eof) throw std::logic_error("feed_data after feed_eof");
  if (bytes.empty()) return;
  make_room(bytes.size());
  std::memcpy(storage_->bytes.data() + end_, bytes.data(), bytes.size());
  end_ += bytes.size();
  after_feeding();
}

// ---- feeding -----------------------------------------------------------------------

void stream_buffer::pause_transport() {
  if (paused_ || transport == nullptr) return;
  // A read that needs more than that gets it.
  if (active != nullptr && active->outcome_ == read_request::outcome::waiting) return;
  try {
    transport->pause_reading();
    paused_ = true;
  } catch (const not_supported_error&) {
    // As asyncio: from now on it is fed as fast as it comes.
    transport.reset();
  }
}

void stream_buffer::feed_eof() {
  eof = true;
  if (active != nullptr) wake_reader();
}

void stream_buffer::set_exception(std::exception_ptr failure) {
  error = std::move(failure);
  if (active != nullptr) wake_reader();
}

// ---- reading -----------------------------------------------------------------------

[[gnu::cold]] void stream_buffer::throw_second_read() {
  throw std::logic_error(
      "read() called while another coroutine is already waiting for incoming data");
}

bool stream_buffer::satisfy_other(read_request& request) {
  using outcome = read_request::outcome;
  const std::size_t available = size();
  std::size_t amount = 0;
  switch (request.rule_) {
    case read_rule::some:
      if (available == 0 && request.size_ != 0 && !eof && !error) return false;
      if (available == 0 && error) {
        request.outcome_ = outcome::failed;
        return true;
      }
      amount = std::min(available, request.size_);
      break;
    case read_rule::all:
      if (error) {
        request.outcome_ = outcome::failed;
        return true;
      }
      if (!eof) return false;
      amount = available;
      break;
    case read_rule::exactly:
      if (available < request.size_) {
        if (!eof && !error) return false;
        request.outcome_ = error ? outcome::failed : outcome::incomplete;
        return true;
      }
      amount = request.size_;
      break;
    case read_rule::line:
      return satisfy_line(request);
    case read_rule::until:
      return satisfy_until(request);
  }
  request.amount_ = amount;
  request.outcome_ = outcome::done;
  return true;
}

bool stream_buffer::satisfy_line(read_request& request) {
  using outcome = read_request::outcome;
  const std::string_view text = unread();
  const void* const found =
      text.size() == request.scanned_
          ? nullptr
          : std::memchr(text.data() + request.scanned_, '\n', text.size() - request.scanned_);
  if (found != nullptr) {
    const auto place = static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
    request.amount_ = place + 1;
    request.outcome_ = place > limit ? outcome::overrun_found : outcome::done;
    return true;
  }
  request.scanned_ = text.size();
  request.amount_ = text.size();
  if (text.size() > limit) {
    request.outcome_ = outcome::overrun;
    return true;
  }
  if (!eof && !error) return false;
  request.outcome_ = error ? outcome::failed : outcome::done;
  return true;
}

bool stream_buffer::satisfy_until(read_request& request) {
  using outcome = read_request::outcome;
  const separator_set& separators = static_cast<until_request&>(request).separators_;
  const std::string_view text = unread();
  if (const auto match = separators.find(text, request.scanned_)) {
    // A limit_overrun_error tells the place of the separator.
    request.amount_ = match->begin > limit ? match->begin : match->end;
    request.outcome_ = match->begin > limit ? outcome::overrun_found : outcome::done;
    return true;
  }
  request.scanned_ = separators.searched(text.size());
  if (request.scanned_ > limit) {
    request.amount_ = request.scanned_;
    request.outcome_ = outcome::overrun;
    return true;
  }
  if (!eof && !error) return false;
  request.outcome_ = error ? outcome::failed : outcome::incomplete;
  return true;
}

void stream_buffer::resume_transport() {
  paused_ = false;
  // A connection that is lost has let go of it, also while it was paused.
  if (transport != nullptr) transport->resume_reading();
}

void stream_buffer::resume_if_low() {
  if (size() <= limit) resume_transport();
}

std::string stream_buffer::take_string(std::size_t count) {
  std::string result;
  if (count != 0) {
    std::string& bytes = storage_->bytes;
    if (begin_ == 0 && count == end_ && count >= worth_moving && count >= bytes.size() / 2) {
      result = std::move(bytes);
      delete std::exchange(storage_, nullptr);
      end_ = 0;
      result.resize(count);
    } else {
      result.assign(bytes, begin_, count);
      begin_ += count;
    }
  }
  after_reading();
  return result;
}

std::size_t stream_buffer::take_into(std::span<char> into, std::size_t count) {
  if (count != 0) std::memcpy(into.data(), storage_->bytes.data() + begin_, count);
  begin_ += count;
  after_reading();
  return count;
}

void stream_buffer::drop(std::size_t count) {
  begin_ += count;
  after_reading();
}

// ---- requests ----------------------------------------------------------------------

std::size_t checked_size(std::ptrdiff_t n) {
  if (n < 0) throw std::invalid_argument("readexactly size can not be less than zero");
  return static_cast<std::size_t>(n);
}

bool read_request::start(task_core& by, void* frame) {
  stream_buffer& buffer = buffer_of(buffer_);
  buffer.start_read();
  // The usual read finds nothing yet, and asks for at least one byte.
  if (buffer.size() != 0 || size_ == 0 || buffer.eof || buffer.error) {
    if (buffer.satisfy(*this)) return may_yield(by, frame);
  }
  task_ = &by;
  registered_ = true;
  buffer.wait(*this);
  by.suspend(frame, *this);
  return true;
}

// Whoever always finds data lets others run now and then.
bool read_request::may_yield(task_core& by, void* frame) {
  if (--by.core->inline_budget >= 0) [[likely]]
    return false;
  task_ = &by;
  registered_ = true;
  yields_ = true;
  buffer_of(buffer_).active = this;
  by.suspend(frame, *this);
  // Unless a cancellation was delivered at once.
  if (registered_) by.wake();
  return true;
}

void read_request::unregister() noexcept {
  registered_ = false;
  static_cast<stream_buffer&>(*buffer_.get()).active = nullptr;
}

bool read_request::on_cancel(suspension& self, task_core& by) {
  auto& request = static_cast<read_request&>(self);
  request.unregister();
  request.outcome_ = outcome::waiting;
  by.wake_cancelled();
  return true;
}

void read_request::check() {
  if (task_ != nullptr) {
    // Nothing is lost where a cancellation wins: the bytes are still buffered. Still it only wins
    // where nothing was waited for, or a reader that always finds data could not be cancelled.
    if (outcome_ == outcome::waiting || yields_) {
      task_->check_cancelled();
    } else {
      task_->postpone_cancel();
    }
  }
  if (outcome_ != outcome::done) fail();
}

void read_request::fail() {
  stream_buffer& buffer = buffer_of(buffer_);
  switch (outcome_) {
    case outcome::incomplete: {
      std::optional<std::size_t> expected;
      if (rule_ == read_rule::exactly) expected = size_;
      throw incomplete_read_error(buffer.take_string(buffer.size()), expected);
    }
    case outcome::overrun:
    case outcome::overrun_found: {
      const bool found = outcome_ == outcome::overrun_found;
      std::size_t consumed = amount_;
      if (rule_ == read_rule::line) {
        buffer.drop(amount_);
        if (found) --consumed;
      }
      throw limit_overrun_error(found ? "Separator is found, but chunk is longer than limit"
                                      : "Separator is not found, and chunk exceed the limit",
                                consumed);
    }
    default:
      std::rethrow_exception(buffer.error);
  }
}

std::string read_request::take_string() {
  stream_buffer::finish(*this);
  return buffer_of(buffer_).take_string(amount_);
}

std::string_view read_request::take_view() {
  stream_buffer::finish(*this);
  return buffer_of(buffer_).take_view(amount_);
}

std::size_t read_request::take_into(std::span<char> into) {
  stream_buffer::finish(*this);
  return buffer_of(buffer_).take_into(into, amount_);
}

// ---- separators --------------------------------------------------------------------

void throw_no_separator() {
  throw std::invalid_argument("Separator should contain at least one element");
}

void separator_set::add(std::string_view separator) {
  if (separator.empty()) {
    throw std::invalid_argument("Separator should be at least one-byte string");
  }
  if (longest_ == 0) {
    first_ = separator;
  } else {
    others_.emplace_back(separator);
  }
  longest_ = std::max(longest_, separator.size());
}

std::optional<separator_set::match> separator_set::find(std::string_view text,
                                                        std::size_t scanned) const noexcept {
  std::optional<match> best;
  const auto look_for = [&](std::string_view separator) {
    const std::size_t place = text.find(separator, scanned);
    if (place == std::string_view::npos) return;
    const std::size_t end = place + separator.size();
    if (!best || end < best->end) {
      best = match{place, end};
      // A later end cannot win any more.
      text = text.substr(0, end);
    }
  };
  look_for(first_);
  for (const std::string& each : others_) look_for(each);
  return best;
}

}  // namespace detail
}  // namespace v0
}  // namespace rondo
