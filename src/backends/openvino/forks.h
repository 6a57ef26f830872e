// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace torchtrt::openvino {

/// How many forks lie between the process that called this first and the calling one. A forked process has none of the
/// threads that OpenVINO made before: neither the streams of the parent's models nor the idle ones for new models. Any
/// thread may call it.
unsigned forks() noexcept;

}  // namespace torchtrt::openvino
