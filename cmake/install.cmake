# Where things go, the config package, pkg-config and the Debian packages.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(rondo_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/rondo")
get_target_property(rondo_type rondo TYPE)
set(rondo_config_static 0)
if(rondo_type STREQUAL "STATIC_LIBRARY")
  set(rondo_config_static 1)
endif()
set(rondo_config_tls_hint "")
if(rondo_tls_sources)
  set(rondo_config_tls_hint "; rebuild it with -DRONDO_WITH_TLS=ON")
endif()

# One export set per component, so that a core-only user needs nothing of OpenSSL.
foreach(pair "rondo core" "rondo_tls tls")
  separate_arguments(pair)
  list(POP_FRONT pair target component)
  if(TARGET ${target})
    install(TARGETS ${target} EXPORT rondo-${component}-targets
      RUNTIME COMPONENT rondo_runtime
      LIBRARY COMPONENT rondo_runtime NAMELINK_COMPONENT rondo_development
      ARCHIVE COMPONENT rondo_development
      FILE_SET HEADERS COMPONENT rondo_development
      INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
    install(EXPORT rondo-${component}-targets NAMESPACE rondo::
      DESTINATION "${rondo_cmake_dir}" COMPONENT rondo_development)
  endif()
endforeach()

configure_package_config_file(cmake/rondo-config.cmake.in rondo-config.cmake
  INSTALL_DESTINATION "${rondo_cmake_dir}" NO_SET_AND_CHECK_MACRO)
# 0.x: each minor version may break. From 1.0 on: SameMajorVersion.
write_basic_package_version_file(rondo-config-version.cmake COMPATIBILITY SameMinorVersion)
install(
  FILES "${PROJECT_BINARY_DIR}/rondo-config.cmake" "${PROJECT_BINARY_DIR}/rondo-config-version.cmake"
        cmake/FindLiburing.cmake cmake/RondoCheckCompiler.cmake
  DESTINATION "${rondo_cmake_dir}" COMPONENT rondo_development)

# The .pc files find their prefix from where they lie, so that a moved prefix keeps working;
# the number of levels depends on LIBDIR (lib, or lib/x86_64-linux-gnu). Absolute stays absolute.
set(rondo_pc_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(rondo_pc_prefix "${CMAKE_INSTALL_PREFIX}")
  set(rondo_pc_libdir "${CMAKE_INSTALL_LIBDIR}")
else()
  file(RELATIVE_PATH rondo_pc_up "/p/${rondo_pc_dir}" "/p")
  string(REGEX REPLACE "/$" "" rondo_pc_up "${rondo_pc_up}")
  set(rondo_pc_prefix "\${pcfiledir}/${rondo_pc_up}")
  set(rondo_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(rondo_pc_includedir "${CMAKE_INSTALL_INCLUDEDIR}")
else()
  set(rondo_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
set(rondo_pc_requires_private "")
if(RONDO_HAVE_URING)
  set(rondo_pc_requires_private "liburing")
endif()
set(rondo_pc_cflags "")
if(rondo_config_static)
  set(rondo_pc_cflags "-DRONDO_STATIC_DEFINE")
endif()
set(rondo_pc_files rondo)
if(TARGET rondo_tls)
  list(APPEND rondo_pc_files rondo-tls)
endif()
foreach(name IN LISTS rondo_pc_files)
  configure_file(cmake/${name}.pc.in ${name}.pc @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${name}.pc" DESTINATION "${rondo_pc_dir}"
    COMPONENT rondo_development)
endforeach()

install(FILES LICENSE README.md CHANGELOG.md docs/compiler-notes.md
  DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT rondo_development)

if(PROJECT_IS_TOP_LEVEL)
  include(cmake/debian.cmake)
endif()
