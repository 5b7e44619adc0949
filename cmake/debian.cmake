# cpack -G DEB: librondo0.1 (the shared libraries) and librondo-dev. Configure with the preset `deb`:
# a prefix of /usr puts the libraries into the multiarch directory.
set(rondo_soname ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(rondo_runtime_package librondo${rondo_soname})
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "the rondo authors <rondo@example.org>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL rondo_runtime rondo_development)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_RONDO_RUNTIME_PACKAGE_NAME ${rondo_runtime_package})
set(CPACK_DEBIAN_RONDO_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_COMPONENT_RONDO_RUNTIME_DESCRIPTION
  "An event loop with coroutines, tasks, cancellation, signals and TCP streams,
with the names and the behaviour of Python's asyncio. This package contains
the shared library.")
set(CPACK_DEBIAN_RONDO_DEVELOPMENT_PACKAGE_NAME librondo-dev)
set(CPACK_DEBIAN_RONDO_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_RONDO_DEVELOPMENT_PACKAGE_DEPENDS "${rondo_runtime_package} (= ${PROJECT_VERSION})")
set(CPACK_COMPONENT_RONDO_DEVELOPMENT_DESCRIPTION
  "An event loop with coroutines, tasks, cancellation, signals and TCP streams,
with the names and the behaviour of Python's asyncio. This package contains
the headers, the CMake package and the pkg-config file.")

# What policy asks of each package: copyright and a compressed changelog.
file(READ LICENSE rondo_license)
string(REGEX REPLACE "\n\n" "\n.\n" rondo_license "${rondo_license}")
string(REGEX REPLACE "\n([^\n])" "\n \\1" rondo_license "\n${rondo_license}")
string(STRIP "${rondo_license}" rondo_license)
file(WRITE "${PROJECT_BINARY_DIR}/debian/copyright"
  "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
  "Upstream-Name: rondo\n\nFiles: *\nCopyright: 2026 the rondo authors\nLicense: MIT\n ${rondo_license}\n")
string(TIMESTAMP rondo_date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(WRITE "${PROJECT_BINARY_DIR}/debian/changelog"
  "rondo (${PROJECT_VERSION}) unstable; urgency=medium\n\n  * Version ${PROJECT_VERSION}; "
  "see /usr/share/doc/rondo/CHANGELOG.md in librondo-dev.\n\n -- ${CPACK_PACKAGE_CONTACT}  ${rondo_date}\n")
find_program(RONDO_GZIP gzip)
if(NOT RONDO_GZIP)
  return() # no Debian packages on a system without gzip
endif()
execute_process(COMMAND "${RONDO_GZIP}" -9nc "${PROJECT_BINARY_DIR}/debian/changelog"
  OUTPUT_FILE "${PROJECT_BINARY_DIR}/debian/changelog.gz" COMMAND_ERROR_IS_FATAL ANY)
file(WRITE "${PROJECT_BINARY_DIR}/debian/triggers" "activate-noawait ldconfig\n")
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  foreach(pair "${rondo_runtime_package} rondo_runtime" "librondo-dev rondo_development")
    separate_arguments(pair)
    list(POP_FRONT pair package component)
    install(FILES "${PROJECT_BINARY_DIR}/debian/copyright" "${PROJECT_BINARY_DIR}/debian/changelog.gz"
      DESTINATION share/doc/${package} COMPONENT ${component})
  endforeach()
endif()
if(BUILD_SHARED_LIBS)
  set(CPACK_DEBIAN_RONDO_RUNTIME_PACKAGE_CONTROL_EXTRA "${PROJECT_BINARY_DIR}/debian/triggers")
endif()
include(CPack)
