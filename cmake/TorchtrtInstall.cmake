# The install tree: relocatable, and all that a machine without Python needs besides libtorch.
#
#   lib/                    libtorchtrt_runtime.so, libtorchtrt_plugins.so, libtorchtrt.so, backend modules, the Python binding
#   lib/openvino/           OpenVINO's runtime libraries
#   lib/cmake/torchtrt/     find_package(torchtrt): torchtrt::runtime, torchtrt::torchtrt, torchtrt::torch
#   include/torchtrt/       the public headers
#
# A wheel has the same tree below torch_tensorrt/ (pyproject.toml), so find_package works from there as well.
include(CMakePackageConfigHelpers)

foreach(target
    torchtrt_runtime torchtrt torchtrt_plugins
    torchtrt_openvino_builder torchtrt_openvino_executor
    torchtrt_tensorrt_rtx_builder torchtrt_tensorrt_rtx_executor
    torchtrt_tensorrt11_builder torchtrt_tensorrt11_executor torchtrt_tensorrt10_builder torchtrt_tensorrt10_executor
    torchtrt_python)
  if(TARGET ${target})
    install(TARGETS ${target} LIBRARY DESTINATION lib)
  endif()
endforeach()
if(OpenVINO_FOUND)
  install(PROGRAMS ${TORCHTRT_OPENVINO_LIBRARIES} DESTINATION lib/openvino)
  # Who passes libraries on passes their licences on.
  file(GLOB licenses ${TORCHTRT_OPENVINO_DIR}/../openvino-*.dist-info/licenses)
  install(DIRECTORY ${licenses} DESTINATION lib/openvino)
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/torchtrt DESTINATION include FILES_MATCHING PATTERN "*.h")

install(FILES ${PROJECT_SOURCE_DIR}/cmake/torchtrtConfig.cmake DESTINATION lib/cmake/torchtrt)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/torchtrtConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/torchtrtConfigVersion.cmake DESTINATION lib/cmake/torchtrt)
