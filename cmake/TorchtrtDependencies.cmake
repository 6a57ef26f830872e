# Finds what torchtrt builds on. Torch, OpenVINO, the JSON library and pybind11 come from the Python environment's wheels;
# a vendor that is missing switches its backend off with a line that says so, it never breaks the build.

find_package(Python3 REQUIRED COMPONENTS Interpreter OPTIONAL_COMPONENTS Development.Module)

# torchtrt_package_dir(<variable> <package>): the folder of an installed Python package, or "" if there is none.
function(torchtrt_package_dir variable package)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} -c
            "import importlib.util as u; s = u.find_spec('${package}'); print(next(iter(s.submodule_search_locations)) if s else '', end='')"
    OUTPUT_VARIABLE directory RESULT_VARIABLE result ERROR_QUIET)
  if(NOT result EQUAL 0)
    set(directory "")
  endif()
  set(${variable} "${directory}" PARENT_SCOPE)
endfunction()

# --- libtorch. Its own CMake package demands a CUDA toolkit from the CUDA wheel, so the libraries are imported by hand.
torchtrt_package_dir(TORCHTRT_TORCH_DIR torch)
if(NOT TORCHTRT_TORCH_DIR)
  message(FATAL_ERROR "torch is not installed for ${Python3_EXECUTABLE}: run `make setup`, or pass -DPython3_EXECUTABLE=<python with torch>")
endif()
add_library(torchtrt_torch INTERFACE)
add_library(torchtrt::torch ALIAS torchtrt_torch)
target_include_directories(torchtrt_torch SYSTEM INTERFACE
  ${TORCHTRT_TORCH_DIR}/include ${TORCHTRT_TORCH_DIR}/include/torch/csrc/api/include)
target_link_libraries(torchtrt_torch INTERFACE
  ${TORCHTRT_TORCH_DIR}/lib/libtorch_cpu.so ${TORCHTRT_TORCH_DIR}/lib/libc10.so)
# The CUDA wheel's libraries refer to CUDA libraries that only an NVIDIA machine has.
target_link_options(torchtrt_torch INTERFACE
  "$<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-Wl,--allow-shlib-undefined,--unresolved-symbols=ignore-in-shared-libs>")

# --- CUDA's driver header (optional), from the wheels that torch brings or a toolkit. Nothing of CUDA is linked.
file(GLOB cuda_folders ${TORCHTRT_TORCH_DIR}/../nvidia/cu*/include ${TORCHTRT_TORCH_DIR}/../nvidia/cuda_runtime/include)
find_path(TORCHTRT_CUDA_INCLUDE cuda.h HINTS ${cuda_folders} $ENV{CUDA_HOME}/include /usr/local/cuda/include)
if(TORCHTRT_CUDA_INCLUDE)
  message(STATUS "CUDA devices: ${TORCHTRT_CUDA_INCLUDE}/cuda.h")
else()
  message(STATUS "CUDA devices: off (cuda.h is in no wheel of torch's and in no toolkit; CUDA_HOME says where)")
endif()

# --- NVTX's headers (optional), from the same places: ranges in NVIDIA's tools. Nothing is linked.
option(TORCHTRT_NVTX "Mark calls of engines as NVTX ranges (runtime::set_nvtx)" ON)
if(TORCHTRT_NVTX)
  find_path(TORCHTRT_NVTX_INCLUDE nvtx3/nvToolsExt.h HINTS ${cuda_folders} ${TORCHTRT_TORCH_DIR}/../nvidia/nvtx/include
            $ENV{CUDA_HOME}/include /usr/local/cuda/include)
else()
  unset(TORCHTRT_NVTX_INCLUDE CACHE)
endif()
if(TORCHTRT_NVTX_INCLUDE)
  message(STATUS "NVTX: ${TORCHTRT_NVTX_INCLUDE}/nvtx3")
else()
  message(STATUS "NVTX: off (nvtx3/nvToolsExt.h is in no wheel of torch's and in no toolkit)")
endif()

# --- DLPack's C header alone (for code that must not see torch).
add_library(torchtrt_dlpack INTERFACE)
add_library(torchtrt::dlpack ALIAS torchtrt_dlpack)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/dlpack/ATen)
configure_file(${TORCHTRT_TORCH_DIR}/include/ATen/dlpack.h ${CMAKE_BINARY_DIR}/dlpack/ATen/dlpack.h COPYONLY)
target_include_directories(torchtrt_dlpack SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/dlpack)

# --- nlohmann/json (header only): the wheel nlohmann-json, or the distribution's nlohmann-json3-dev.
torchtrt_package_dir(json_dir nlohmann_json)
find_path(TORCHTRT_JSON_INCLUDE nlohmann/json.hpp HINTS ${json_dir}/include REQUIRED)
add_library(torchtrt_json INTERFACE)
add_library(torchtrt::json ALIAS torchtrt_json)
target_include_directories(torchtrt_json SYSTEM INTERFACE ${TORCHTRT_JSON_INCLUDE})

# --- OpenVINO (optional)
torchtrt_package_dir(TORCHTRT_OPENVINO_DIR openvino)
if(TORCHTRT_OPENVINO_DIR)
  find_package(OpenVINO QUIET COMPONENTS Runtime PATHS ${TORCHTRT_OPENVINO_DIR}/cmake NO_DEFAULT_PATH)
endif()
if(OpenVINO_FOUND)
  message(STATUS "OpenVINO backend: ${TORCHTRT_OPENVINO_DIR} (${OpenVINO_VERSION})")
  # The four libraries that running and building needs, beside our modules (as links where the file system can). A folder
  # of their own keeps them apart from the wheel's: TBB finds no tbbbind there, whose affinity system calls cost several
  # microseconds a run, and the plugin is looked up in the folder of libopenvino.so itself.
  set(TORCHTRT_OPENVINO_LIBRARIES "")
  foreach(pattern libopenvino.so.* libopenvino_intel_cpu_plugin.so libopenvino_ir_frontend.so.* libtbb.so.*)
    file(GLOB found ${TORCHTRT_OPENVINO_DIR}/libs/${pattern})
    list(LENGTH found count)
    if(NOT count EQUAL 1)
      message(FATAL_ERROR "expected one ${pattern} in ${TORCHTRT_OPENVINO_DIR}/libs, found ${count}: is this the wheel of OpenVINO for Linux?")
    endif()
    list(APPEND TORCHTRT_OPENVINO_LIBRARIES ${found})
    get_filename_component(name ${found} NAME)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/lib/openvino)
    file(CREATE_LINK ${found} ${CMAKE_BINARY_DIR}/lib/openvino/${name} COPY_ON_ERROR)
  endforeach()
else()
  message(STATUS "OpenVINO backend: off (the wheel `openvino` is not installed)")
endif()

# --- TensorRT and TensorRT-RTX (optional; headers only)
include(TensorRT)
