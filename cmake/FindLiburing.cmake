# FindLiburing: the imported target Liburing::Liburing; sets Liburing_FOUND and Liburing_VERSION.
# Installed beside rondo-config.cmake, because a static rondo with io_uring needs it to link.
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(PC_LIBURING QUIET liburing)
endif()
find_path(Liburing_INCLUDE_DIR liburing.h HINTS ${PC_LIBURING_INCLUDE_DIRS})
find_library(Liburing_LIBRARY NAMES uring HINTS ${PC_LIBURING_LIBRARY_DIRS})
set(Liburing_VERSION "${PC_LIBURING_VERSION}")
# The version header exists from 2.4 on.
set(_liburing_header "${Liburing_INCLUDE_DIR}/liburing/io_uring_version.h")
if(NOT Liburing_VERSION AND EXISTS "${_liburing_header}")
  file(STRINGS "${_liburing_header}" _liburing_lines REGEX "define IO_URING_VERSION_M(AJ|IN)OR")
  list(TRANSFORM _liburing_lines REPLACE ".*[ \t]([0-9]+).*" "\\1")
  list(JOIN _liburing_lines "." Liburing_VERSION)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Liburing
  REQUIRED_VARS Liburing_LIBRARY Liburing_INCLUDE_DIR VERSION_VAR Liburing_VERSION)
mark_as_advanced(Liburing_LIBRARY Liburing_INCLUDE_DIR)
if(Liburing_FOUND AND NOT TARGET Liburing::Liburing)
  add_library(Liburing::Liburing UNKNOWN IMPORTED)
  set_target_properties(Liburing::Liburing PROPERTIES
    IMPORTED_LOCATION "${Liburing_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${Liburing_INCLUDE_DIR}")
endif()
