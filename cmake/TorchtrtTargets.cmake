# Helpers for src/: common options, and one GoogleTest program per library.

add_library(torchtrt_options INTERFACE)
target_include_directories(torchtrt_options INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
target_compile_definitions(torchtrt_options INTERFACE TORCHTRT_VERSION="${PROJECT_VERSION}")
target_compile_options(torchtrt_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -fno-semantic-interposition
  $<$<BOOL:${TORCHTRT_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 sees overlaps and overflows in inlined std::string and std::vector code where there are none (GCC bugs 105329,
  # 105562 and their like, mended in 13). The sanitizer builds look for the real ones.
  target_compile_options(torchtrt_options INTERFACE -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
endif()
if(TORCHTRT_SANITIZE)
  target_compile_options(torchtrt_options INTERFACE -fsanitize=${TORCHTRT_SANITIZE} -fno-omit-frame-pointer -g)
  target_link_options(torchtrt_options INTERFACE -fsanitize=${TORCHTRT_SANITIZE})
endif()

# torchtrt_sources(<variable> <folder>...): the .cpp files of the folders, without tests. Folders are relative to src/.
function(torchtrt_sources variable)
  set(sources "")
  foreach(folder IN LISTS ARGN)
    file(GLOB found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${folder}/*.cpp)
    list(FILTER found EXCLUDE REGEX "_test\\.cpp$")
    list(APPEND sources ${found})
  endforeach()
  set(${variable} "${sources}" PARENT_SCOPE)
endfunction()

# torchtrt_tests(<name> FOLDERS <folder>... LIBRARIES <target>...): one program of all *_test.cpp in the folders.
function(torchtrt_tests name)
  if(NOT TORCHTRT_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "FOLDERS;LIBRARIES" ${ARGN})
  set(sources "")
  foreach(folder IN LISTS ARG_FOLDERS)
    file(GLOB found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${folder}/*_test.cpp)
    list(APPEND sources ${found})
  endforeach()
  if(NOT sources)
    return()
  endif()
  find_package(GTest REQUIRED)
  add_executable(${name} ${sources} ${PROJECT_SOURCE_DIR}/src/base/testing/main.cpp)
  target_link_libraries(${name} PRIVATE torchtrt_options ${ARG_LIBRARIES} GTest::gtest)
  target_compile_definitions(${name} PRIVATE TORCHTRT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name})
endfunction()

# Only our own symbols leave a library; of the Python module, its entry only.
function(torchtrt_export_own_symbols target)
  get_target_property(type ${target} TYPE)
  set(map ${PROJECT_SOURCE_DIR}/cmake/exports.map)
  if(type STREQUAL "MODULE_LIBRARY")
    set(map ${PROJECT_SOURCE_DIR}/cmake/exports_python.map)
  endif()
  target_link_options(${target} PRIVATE -Wl,--version-script=${map})
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${map})
endfunction()

# torchtrt_library(<name> FOLDERS <folder>... [PRIVATE <target>...] [PUBLIC <target>...] [RPATH <path>...]): a shared library
# of the folders' sources that exports only its own symbols and finds its neighbours wherever the tree stands.
function(torchtrt_library name)
  cmake_parse_arguments(ARG "" "" "FOLDERS;PRIVATE;PUBLIC;RPATH" ${ARGN})
  torchtrt_sources(sources ${ARG_FOLDERS})
  if(NOT sources)
    message(STATUS "${name}: no sources yet, not built")
    return()
  endif()
  add_library(${name} SHARED ${sources})
  target_link_libraries(${name} PRIVATE torchtrt_options ${ARG_PRIVATE} PUBLIC ${ARG_PUBLIC})
  if(name MATCHES "_(builder|executor)$" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC makes inline variables and the like one for the process, even of libraries that are opened apart: modules of one
    # source for several versions of a vendor's library would see each other's constants.
    target_compile_options(${name} PRIVATE -fno-gnu-unique)
  endif()
  target_link_options(${name} PRIVATE LINKER:-z,defs)  # a symbol that nobody defines is found here, not by a user
  # In the build tree as in the install tree: all libraries lie in one folder.
  set(rpath "$ORIGIN" ${ARG_RPATH})
  set_target_properties(${name} PROPERTIES BUILD_RPATH "${rpath}" INSTALL_RPATH "${rpath}")
  torchtrt_export_own_symbols(${name})
endfunction()
