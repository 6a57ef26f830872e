# Finds NVIDIA's TensorRT and TensorRT-RTX headers (Apache-2.0): an SDK given by TensorRT_ROOT, else the crate trtx-sys, the
# one registry package that carries them. Nothing is linked: the libraries are opened at run time. Without headers the
# backends are off.
#
# Targets: torchtrt::tensorrt_rtx_headers, torchtrt::tensorrt11_headers, torchtrt::tensorrt10_headers (those that were found).
# Variable: TORCHTRT_TENSORRT_RTX_LIBRARY, the library of the Python environment's wheel, for the tests; or empty.

# torchtrt_crate_dir(<variable> <version>): the unpacked source folder of that version of the crate, or "".
function(torchtrt_crate_dir variable version)
  set(${variable} "" PARENT_SCOPE)
  find_program(CARGO cargo)
  if(NOT CARGO)
    return()
  endif()
  set(folder ${CMAKE_BINARY_DIR}/tensorrt_headers/${version})
  file(WRITE ${folder}/Cargo.toml.new
    "[package]\nname = \"headers\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[lib]\npath = \"empty.rs\"\n"
    "[dependencies]\ntrtx-sys = { version = \"=${version}\", default-features = false }\n")
  configure_file(${folder}/Cargo.toml.new ${folder}/Cargo.toml COPYONLY)
  file(TOUCH ${folder}/empty.rs)
  execute_process(COMMAND ${CARGO} metadata --quiet --format-version 1 --manifest-path ${folder}/Cargo.toml
                  OUTPUT_FILE ${folder}/metadata.json ERROR_QUIET RESULT_VARIABLE result TIMEOUT 300)
  if(NOT result EQUAL 0)
    return()
  endif()
  execute_process(
    COMMAND ${Python3_EXECUTABLE} -c
            "import json, os, sys; print(next(os.path.dirname(p['manifest_path']) for p in json.load(open(sys.argv[1]))['packages'] if p['name'] == 'trtx-sys'), end='')"
            ${folder}/metadata.json
    OUTPUT_VARIABLE directory RESULT_VARIABLE result)
  if(result EQUAL 0)
    set(${variable} "${directory}/TensorRT-Headers" PARENT_SCOPE)
  endif()
endfunction()

# torchtrt_tensorrt_headers(<target> <folder>): an interface target if the folder has the headers and there is none yet.
function(torchtrt_tensorrt_headers name folder)
  if(TARGET torchtrt::${name} OR NOT EXISTS ${folder}/NvInfer.h)
    return()
  endif()
  add_library(torchtrt_${name} INTERFACE)
  add_library(torchtrt::${name} ALIAS torchtrt_${name})
  target_include_directories(torchtrt_${name} SYSTEM INTERFACE
    ${folder} ${PROJECT_SOURCE_DIR}/src/backends/tensorrt/compat/cuda)
  message(STATUS "TensorRT headers: ${name} in ${folder}")
endfunction()

foreach(root IN LISTS TensorRT_ROOT)  # usually one; several give the modules of several libraries
  file(STRINGS ${root}/include/NvInferVersion.h lines REGEX "define (TRT_MAJOR_RTX|NV_TENSORRT_MAJOR|TRT_MAJOR_ENTERPRISE) ")
  if(lines MATCHES "TRT_MAJOR_RTX [0-9]")
    torchtrt_tensorrt_headers(tensorrt_rtx_headers ${root}/include)
  elseif(lines MATCHES "(NV_TENSORRT_MAJOR|TRT_MAJOR_ENTERPRISE) (1[01])")
    torchtrt_tensorrt_headers(tensorrt${CMAKE_MATCH_2}_headers ${root}/include)
  else()
    message(WARNING "TensorRT_ROOT=${root}: expected TensorRT 10 or 11 or TensorRT-RTX 1, found: ${lines}")
  endif()
endforeach()
torchtrt_crate_dir(headers 0.9.1)
if(headers)
  torchtrt_tensorrt_headers(tensorrt_rtx_headers ${headers}/TRT-RTX-1.7)
  torchtrt_tensorrt_headers(tensorrt11_headers ${headers}/TRT-Enterprise-11.4)
endif()
torchtrt_crate_dir(headers 0.4.0)
if(headers)
  torchtrt_tensorrt_headers(tensorrt10_headers ${headers}/TRT-Enterprise-10.16)
endif()
if(NOT TARGET torchtrt::tensorrt_rtx_headers)
  message(STATUS "TensorRT-RTX backend: off (no headers: install cargo, or give -DTensorRT_ROOT=<SDK folder>)")
endif()

execute_process(
  COMMAND ${Python3_EXECUTABLE} -c
          "import glob, os, sysconfig; print(*glob.glob(os.path.join(sysconfig.get_path('purelib'), 'tensorrt_rtx_libs', 'libtensorrt_rtx.so*'))[:1], end='')"
  OUTPUT_VARIABLE TORCHTRT_TENSORRT_RTX_LIBRARY)
