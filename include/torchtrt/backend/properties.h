// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Properties of a target (BuiltEngine::properties, LoadRequest::properties) that the runtime itself reads. All others are
/// between a backend's builder and its executor.
namespace torchtrt::backend {

/// The executor module of a target that has several: "tensorrt11" for libtorchtrt_tensorrt11_executor.so. Where it is
/// absent, the module is named for the backend.
inline constexpr const char* kModuleProperty = "module";

/// "false" for an engine that must not be recorded into CUDA graphs of the runtime's own: it takes memory from PyTorch
/// while it runs, which a replay would write after it was given to somebody else. Absent: it may be.
inline constexpr const char* kRecordableProperty = "recordable";

/// How many optimization profiles the target's engine has ("3"). Absent: one.
inline constexpr const char* kProfilesProperty = "profiles";

/// The target that is every engine's exact form: its ATen graph, executed by PyTorch's own operators
/// (src/format/README.md). The runtime turns to it where another target cannot answer.
inline constexpr const char* kExactBackend = "aten";
/// Its sections: the graph as JSON, and the constants' elements that no other target has.
inline constexpr const char* kExactProgramSection = "program";
inline constexpr const char* kExactConstantsSection = "constants";

}  // namespace torchtrt::backend
