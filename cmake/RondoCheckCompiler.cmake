# Warns, once per build tree, if the compiler has the coroutine bugs of docs/compiler-notes.md.
# g++ before 13 is the one that has them; the probe says whether this copy does. Nothing is run
# with other compilers. -DRONDO_CHECK_COMPILER=OFF turns it off. Installed beside rondo-config.cmake.
option(RONDO_CHECK_COMPILER "Warn about compilers that miscompile coroutines" ON)
function(rondo_check_compiler)
  if(NOT RONDO_CHECK_COMPILER OR DEFINED RONDO_COMPILER_COROUTINES_WORK
     OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU" OR CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
    return()
  endif()
  if(CMAKE_CROSSCOMPILING)
    set(RONDO_COMPILER_COROUTINES_WORK OFF CACHE INTERNAL "not probed, judged by the version")
  else()
    include(CheckCXXSourceRuns)
    set(CMAKE_REQUIRED_FLAGS "-std=c++20")
    set(CMAKE_REQUIRED_QUIET ON)
    # A temporary of aggregate type inside a co_await expression must be destroyed once (PR100611),
    # and the code behind a condition with a co_await must run (PR106188).
    check_cxx_source_runs([==[
      #include <coroutine>
      int alive = 0, reached = 0;
      struct counted {
        counted() { ++alive; }
        counted(const counted&) { ++alive; }
        ~counted() { --alive; }
      };
      struct options { counted member; };
      struct co {
        struct promise_type {
          co get_return_object() { return {}; }
          std::suspend_never initial_suspend() noexcept { return {}; }
          std::suspend_never final_suspend() noexcept { return {}; }
          void return_void() {}
          void unhandled_exception() {}
        };
      };
      struct ready {
        bool await_ready() { return true; }
        void await_suspend(std::coroutine_handle<>) {}
        bool await_resume() { return false; }
      };
      ready use(const options&) { return {}; }
      co temporaries() { co_await use(options{}); }
      co conditions() {
        if (co_await ready()) co_return;
        ++reached;
      }
      int main() {
        temporaries();
        conditions();
        return alive == 0 && reached == 1 ? 0 : 1;
      }]==] RONDO_COMPILER_COROUTINES_WORK)
  endif()
  if(NOT RONDO_COMPILER_COROUTINES_WORK)
    message(WARNING
      "rondo: g++ ${CMAKE_CXX_COMPILER_VERSION} miscompiles some coroutine code of yours, not of the library: "
      "a by-value capturing lambda or an aggregate with owning members inside a co_await expression is "
      "destroyed twice, and a co_await in the condition of an if or while can skip the code after it. "
      "Keep to docs/compiler-notes.md (installed in share/doc/rondo), or use g++ >= 13 or clang >= 16. "
      "-DRONDO_CHECK_COMPILER=OFF silences this.")
  endif()
endfunction()
rondo_check_compiler()
