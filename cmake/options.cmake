# What a user may choose. Sanitizers and coverage are presets, not options.
option(BUILD_SHARED_LIBS "Build shared libraries" OFF)
option(RONDO_BUILD_TESTS "Build the tests (needs Catch2 and fmt)" ${PROJECT_IS_TOP_LEVEL})
option(RONDO_BUILD_EXAMPLES "Build the examples (needs CLI11 and fmt)" ${PROJECT_IS_TOP_LEVEL})
option(RONDO_BUILD_BENCHMARKS "Build the benchmarks (needs Google Benchmark)" OFF)
option(RONDO_INSTALL "Generate install rules" ON)
option(RONDO_WERROR "Treat warnings as errors (developers and CI only)" OFF)

# AUTO uses the feature if its dependency is found, ON insists, OFF leaves it out.
foreach(feature URING TLS)
  set(RONDO_WITH_${feature} AUTO CACHE STRING "AUTO, ON or OFF")
  set_property(CACHE RONDO_WITH_${feature} PROPERTY STRINGS AUTO ON OFF)
  string(TOLOWER ${feature} lower)
  set(RONDO_HAVE_${feature} 0)
  set(rondo_want_${lower} OFF)
  set(rondo_${lower}_required)
  if(NOT RONDO_WITH_${feature} STREQUAL "AUTO" AND RONDO_WITH_${feature})
    if(NOT rondo_${lower}_sources)
      message(FATAL_ERROR
        "rondo ${PROJECT_VERSION} does not contain what RONDO_WITH_${feature}=ON asks for yet; "
        "leave it at AUTO.")
    endif()
    set(rondo_want_${lower} ON)
    set(rondo_${lower}_required REQUIRED)
  elseif(RONDO_WITH_${feature} STREQUAL "AUTO" AND rondo_${lower}_sources)
    set(rondo_want_${lower} ON)
  endif()
endforeach()

# A plain `cmake -B build` of this project gives optimised code.
if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()
