// SPDX-License-Identifier: Apache-2.0
// The module's entry.
#include <torchtrt/backend/executor.h>
#include <torchtrt/base/export.h>

#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/executor/engine.h"
#include "backends/tensorrt/library.h"

namespace torchtrt::tensorrt {
namespace {

class TensorRtExecutor final : public backend::Executor {
 public:
  [[nodiscard]] std::string_view name() const override { return compat::kBackendName; }
  std::string version() override { return std::string(compat::kProductName) + " " + Library::get().version(); }
  std::unique_ptr<backend::ExecutableEngine> load(const backend::LoadRequest& request) override {
    return std::make_unique<TensorRtEngine>(request);
  }
};

}  // namespace
}  // namespace torchtrt::tensorrt

extern "C" TORCHTRT_API torchtrt::backend::Executor* torchtrt_executor(std::uint32_t interface_version) {
  static auto* executor = new torchtrt::tensorrt::TensorRtExecutor;
  return interface_version == torchtrt::backend::kExecutorInterfaceVersion ? executor : nullptr;
}
