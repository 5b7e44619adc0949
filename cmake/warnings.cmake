# The warnings of our own targets. PRIVATE: a user's warnings are the user's choice.
function(rondo_target_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual
    -Wcast-align -Wformat=2
    # Before 13 g++ sees null dereferences in inlined library code that are not there.
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_GREATER_EQUAL:$<CXX_COMPILER_VERSION>,13>>:-Wnull-dereference>)
  set_target_properties(${target} PROPERTIES COMPILE_WARNING_AS_ERROR ${RONDO_WERROR})
endfunction()
