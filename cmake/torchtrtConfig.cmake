# find_package(torchtrt) offers
#
#   torchtrt::runtime    libtorchtrt_runtime.so: what a program needs to run a saved model. The target keeps the library
#                        in the program although the program names none of its symbols (no --no-as-needed to remember).
#   torchtrt::plugins    libtorchtrt_plugins.so, kept in the program likewise: for models compiled with use_plugins=True or
#                        with plugins of your own. Brings the runtime with it.
#   torchtrt::torchtrt   libtorchtrt.so: the compiler; brings the runtime with it.
#   torchtrt::torch      libtorch's headers and CPU libraries. Torch's own package file demands a CUDA toolkit when it
#                        comes from a CUDA wheel; this one does not.
#
# libtorch is looked for in this order:
#   TORCHTRT_TORCH_DIR   a folder with include/ and lib/: an unpacked libtorch, or <site-packages>/torch
#   CMAKE_PREFIX_PATH    any prefix with include/torch/csrc/inductor/aoti_package/model_package_loader.h
#   Python3_EXECUTABLE   (or python3 on PATH): the installed package torch
#
# Everything is found relative to this file: the tree can be moved.

get_filename_component(_torchtrt_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

# --- libtorch
set(_torchtrt_torch "")
if(TORCHTRT_TORCH_DIR)
  set(_torchtrt_torch "${TORCHTRT_TORCH_DIR}")
else()
  find_path(TORCHTRT_TORCH_INCLUDE torch/csrc/inductor/aoti_package/model_package_loader.h)
  mark_as_advanced(TORCHTRT_TORCH_INCLUDE)
  if(TORCHTRT_TORCH_INCLUDE)
    get_filename_component(_torchtrt_torch "${TORCHTRT_TORCH_INCLUDE}" DIRECTORY)
  else()
    set(_torchtrt_python "${Python3_EXECUTABLE}")
    if(NOT _torchtrt_python)
      find_program(TORCHTRT_PYTHON3 python3)
      mark_as_advanced(TORCHTRT_PYTHON3)
      set(_torchtrt_python "${TORCHTRT_PYTHON3}")
    endif()
    if(_torchtrt_python)
      execute_process(
        COMMAND "${_torchtrt_python}" -c
                "import importlib.util as u; print(next(iter(u.find_spec('torch').submodule_search_locations)), end='')"
        OUTPUT_VARIABLE _torchtrt_torch ERROR_QUIET)
    endif()
  endif()
endif()
if(NOT EXISTS "${_torchtrt_torch}/lib/libtorch_cpu.so")
  set(torchtrt_FOUND FALSE)
  set(torchtrt_NOT_FOUND_MESSAGE
      "libtorch was not found: pass -DTORCHTRT_TORCH_DIR=<folder with include/ and lib/libtorch_cpu.so> (an unpacked \
libtorch, or <site-packages>/torch), or -DPython3_EXECUTABLE=<a python with torch installed>")
  return()
endif()

if(NOT TARGET torchtrt::torch)
  add_library(torchtrt::torch INTERFACE IMPORTED)
  target_include_directories(torchtrt::torch SYSTEM INTERFACE
    "${_torchtrt_torch}/include" "${_torchtrt_torch}/include/torch/csrc/api/include")
  target_link_libraries(torchtrt::torch INTERFACE
    "${_torchtrt_torch}/lib/libtorch_cpu.so" "${_torchtrt_torch}/lib/libc10.so")
  target_compile_features(torchtrt::torch INTERFACE cxx_std_20)
  # A CUDA build of libtorch refers to CUDA libraries that only its own RPATH knows. And libtorch.so, which is empty, has
  # to be in the program: the library inside an AOTInductor package needs it and has no search path of its own.
  target_link_options(torchtrt::torch INTERFACE
    "LINKER:--allow-shlib-undefined,--unresolved-symbols=ignore-in-shared-libs"
    "LINKER:--push-state,--no-as-needed,${_torchtrt_torch}/lib/libtorch.so,--pop-state")
endif()

# --- our libraries
if(NOT TARGET torchtrt::runtime)
  add_library(torchtrt::runtime SHARED IMPORTED)
  set_target_properties(torchtrt::runtime PROPERTIES
    IMPORTED_LOCATION "${_torchtrt_prefix}/lib/libtorchtrt_runtime.so"
    IMPORTED_SONAME libtorchtrt_runtime.so)
  target_include_directories(torchtrt::runtime INTERFACE "${_torchtrt_prefix}/include")
  target_link_libraries(torchtrt::runtime INTERFACE torchtrt::torch)
  # A program that only calls torch::jit::load has no symbol of the runtime, and --as-needed (the default of several
  # distributions) would drop the library: it registers its class and operators when it is loaded, so it must stay.
  target_link_options(torchtrt::runtime INTERFACE
    "LINKER:--push-state,--no-as-needed,${_torchtrt_prefix}/lib/libtorchtrt_runtime.so,--pop-state")
endif()
if(NOT TARGET torchtrt::plugins AND EXISTS "${_torchtrt_prefix}/lib/libtorchtrt_plugins.so")
  add_library(torchtrt::plugins INTERFACE IMPORTED)
  target_link_libraries(torchtrt::plugins INTERFACE torchtrt::runtime)
  target_link_options(torchtrt::plugins INTERFACE
    "LINKER:--push-state,--no-as-needed,${_torchtrt_prefix}/lib/libtorchtrt_plugins.so,--pop-state"
    "LINKER:-rpath,${_torchtrt_prefix}/lib")
endif()
if(NOT TARGET torchtrt::torchtrt AND EXISTS "${_torchtrt_prefix}/lib/libtorchtrt.so")
  add_library(torchtrt::torchtrt SHARED IMPORTED)
  set_target_properties(torchtrt::torchtrt PROPERTIES
    IMPORTED_LOCATION "${_torchtrt_prefix}/lib/libtorchtrt.so"
    IMPORTED_SONAME libtorchtrt.so)
  target_link_libraries(torchtrt::torchtrt INTERFACE torchtrt::runtime)
endif()

set(torchtrt_FOUND TRUE)
unset(_torchtrt_prefix)
unset(_torchtrt_torch)
unset(_torchtrt_python)
