// SPDX-License-Identifier: Apache-2.0
#include "torch/engine_search.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <utility>

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <torchtrt/torch.h>

#include "torch/engine_holder.h"

namespace torchtrt {
namespace torch_adapter {
namespace {

// Where torch.export and AOTInductor put custom objects in an archive: a file each, pickled.
constexpr std::string_view kCustomObject = "custom_obj_";

void add_if_engine(std::vector<c10::IValue>& found, const c10::IValue& value) {
  if (value.isCustomClass() && value.type()->str().ends_with("tensorrt.Engine")) found.push_back(value);
}

}  // namespace

std::vector<c10::IValue> find_engines(const torch::jit::Module& module) {
  std::vector<c10::IValue> found;
  for (const c10::IValue& value : module.attributes(/*recurse=*/true)) add_if_engine(found, value);
  return found;
}

std::vector<c10::IValue> find_engines_of_package(const std::string& path) {
  TORCHTRT_CHECK(std::filesystem::is_regular_file(path), kNotFound, "there is no file \"", path, "\"");
  std::vector<c10::IValue> found;
  try {
    caffe2::serialize::PyTorchStreamReader reader(path);
    for (const std::string& record : reader.getAllRecords()) {
      const std::string_view name = std::string_view(record).substr(record.rfind('/') + 1);
      if (!name.starts_with(kCustomObject) || name.find('.') != std::string_view::npos) continue;
      const auto [bytes, size] = reader.getRecord(record);
      add_if_engine(found, torch::jit::pickle_load_obj(std::string_view(static_cast<const char*>(bytes.get()), size)));
    }
  } catch (const c10::Error& error) {
    fail(ErrorCode::kDataLoss, "\"", path,
         "\" is not a package of AOTInductor, or it is damaged: ", error.what_without_backtrace());
  }
  return found;
}

namespace {

std::vector<runtime::EngineHandle> to_handles(const std::vector<c10::IValue>& engines) {
  std::vector<runtime::EngineHandle> handles;
  for (const c10::IValue& engine : engines) {
    runtime::EngineHandle handle = engine.toCustomClass<EngineHolder>()->handle();
    if (std::find(handles.begin(), handles.end(), handle) == handles.end()) handles.push_back(std::move(handle));
  }
  return handles;
}

}  // namespace
}  // namespace torch_adapter

namespace runtime {

std::vector<EngineHandle> engines_of(const torch::jit::Module& module) {
  return torch_adapter::to_handles(torch_adapter::find_engines(module));
}

std::vector<EngineHandle> engines_of_package(const std::string& path) {
  return torch_adapter::to_handles(torch_adapter::find_engines_of_package(path));
}

}  // namespace runtime
}  // namespace torchtrt
