// SPDX-License-Identifier: Apache-2.0
// The module's entry.
#include <torchtrt/backend/executor.h>
#include <torchtrt/base/error.h>
#include <torchtrt/base/export.h>

#include "backends/openvino/element_type.h"
#include "backends/openvino/executor/engine.h"

namespace torchtrt::openvino {
namespace {

class OpenVinoExecutor final : public backend::Executor {
 public:
  [[nodiscard]] std::string_view name() const override { return "openvino"; }
  std::string version() override { return openvino_version(); }
  std::unique_ptr<backend::ExecutableEngine> load(const backend::LoadRequest& request) override {
    TORCHTRT_CHECK(request.device.device_type == kDLCPU, kInvalidArgument, "engine \"", request.engine_name,
                   "\": OpenVINO engines run on the CPU");
    return std::make_unique<OpenVinoEngine>(request);
  }
};

}  // namespace
}  // namespace torchtrt::openvino

extern "C" TORCHTRT_API torchtrt::backend::Executor* torchtrt_executor(std::uint32_t interface_version) {
  static auto* executor = new torchtrt::openvino::OpenVinoExecutor;
  return interface_version == torchtrt::backend::kExecutorInterfaceVersion ? executor : nullptr;
}
