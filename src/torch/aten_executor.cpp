// SPDX-License-Identifier: Apache-2.0
#include "torch/aten_executor.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/DLConvertor.h>
#include <ATen/ops/from_blob.h>
#include <torch/version.h>
#include <nlohmann/json.hpp>

#include <torchtrt/backend/properties.h>
#include <torchtrt/base/error.h>

#include "torch/aten_program.h"
#include "torch/dtypes.h"

namespace torchtrt::torch_adapter {
namespace {

AtenProgram read_program(const backend::LoadRequest& request) {
  AtenProgram::Sections sections;
  for (const backend::Payload& payload : request.payloads) sections[payload.name] = payload.bytes;
  const auto text = sections.find(backend::kExactProgramSection);
  TORCHTRT_CHECK(text != sections.end(), kDataLoss, "engine \"", request.engine_name, "\" has no section \"",
                 backend::kExactProgramSection, "\" for PyTorch");
  try {
    return AtenProgram({reinterpret_cast<const char*>(text->second.data()), text->second.size()}, sections);
  } catch (const Error& error) {
    fail(error.code(), "engine \"", request.engine_name, "\" for PyTorch: ", error.what());
  }
}

class AtenEngine final : public backend::ExecutableEngine {
 public:
  explicit AtenEngine(const backend::LoadRequest& request)
      : owner_(request.owner), name_(request.engine_name), program_(read_program(request)) {
    TORCHTRT_CHECK(
        program_.inputs() == request.inputs.size() && program_.output_types().size() == request.outputs.size(),
        kDataLoss, "engine \"", name_, "\": its ATen program has ", program_.inputs(), " inputs and ",
        program_.output_types().size(), " outputs, its metadata ", request.inputs.size(), " and ",
        request.outputs.size());
    for (std::size_t i = 0; i < request.outputs.size(); ++i) {
      TORCHTRT_CHECK(program_.output_types()[i] == to_scalar_type(request.outputs[i].dtype), kDataLoss, "engine \"",
                     name_, "\": output \"", request.outputs[i].name, "\" is ", program_.output_types()[i],
                     " by its ATen program and ", to_string(request.outputs[i].dtype), " by its metadata");
    }
  }

  std::unique_ptr<backend::Context> create_context() override;

  std::string inspect() override {
    nlohmann::ordered_json layers = nlohmann::json::array();
    for (const AtenProgram::Node& node : program_.nodes()) {
      layers.push_back({{"name", node.name}, {"type", node.call.name()}});
    }
    return nlohmann::ordered_json{
        {"engine", name_}, {"backend", backend::kExactBackend}, {"version", TORCH_VERSION}, {"layers", layers}}
        .dump();
  }

  [[nodiscard]] const AtenProgram& program() const { return program_; }

 private:
  const std::shared_ptr<const void> owner_;  // of the constants' memory
  const std::string name_;
  const AtenProgram program_;
};

at::Tensor borrow(const DLTensor& tensor) {
  auto* data = static_cast<std::byte*>(tensor.data) + tensor.byte_offset;
  const auto rank = static_cast<std::size_t>(tensor.ndim);
  const at::TensorOptions options(at::toScalarType(tensor.dtype));
  if (tensor.strides == nullptr) return at::from_blob(data, {tensor.shape, rank}, options);
  return at::from_blob(data, {tensor.shape, rank}, {tensor.strides, rank}, options);
}

class AtenContext final : public backend::Context {
 public:
  explicit AtenContext(const AtenProgram& program) : program_(program) {}

  void run(const backend::RunRequest& request) override {
    std::vector<at::Tensor> inputs;
    for (const DLTensor& input : request.inputs) inputs.push_back(borrow(input));
    std::vector<at::Tensor> outputs = request.layer_times == nullptr
                                          ? program_.run(std::move(inputs))
                                          : run_profiled(std::move(inputs), *request.layer_times);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const auto tensor = std::make_shared<at::Tensor>(std::move(outputs[i]));
      const std::vector<std::int64_t> sizes = tensor->sizes().vec();
      request.outputs->adopt(i, sizes, tensor->mutable_data_ptr(), tensor);
    }
  }

 private:
  [[nodiscard]] std::vector<at::Tensor> run_profiled(std::vector<at::Tensor> inputs, backend::LayerTimes& times) const {
    using Clock = std::chrono::steady_clock;
    std::vector<Clock::time_point> moments;
    std::vector<at::Tensor> outputs = program_.run(std::move(inputs), [&] { moments.push_back(Clock::now()); });
    for (std::size_t i = 0; i + 1 < moments.size(); ++i) {
      const std::chrono::duration<double, std::milli> took = moments[i + 1] - moments[i];
      times.add(program_.nodes()[i].name, took.count(), took.count());
    }
    return outputs;
  }

  const AtenProgram& program_;
};

std::unique_ptr<backend::Context> AtenEngine::create_context() { return std::make_unique<AtenContext>(program_); }

class AtenExecutor final : public backend::Executor {
 public:
  [[nodiscard]] std::string_view name() const override { return backend::kExactBackend; }
  std::string version() override { return "PyTorch " TORCH_VERSION; }
  std::unique_ptr<backend::ExecutableEngine> load(const backend::LoadRequest& request) override {
    return std::make_unique<AtenEngine>(request);
  }
};

}  // namespace

backend::Executor& aten_executor() {
  static auto* executor = new AtenExecutor;
  return *executor;
}

}  // namespace torchtrt::torch_adapter
