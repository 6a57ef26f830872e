// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <openvino/runtime/core.hpp>
#include <openvino/runtime/properties.hpp>
#include <torchtrt/backend/executor.h>
#include <torchtrt/base/error.h>
#include <torchtrt/base/export.h>
#include <torchtrt/base/log.h>

namespace torchtrt::openvino {
namespace {

// A set_tensor call costs more than copying this much (measured: 1.25 us against some 30 GB/s), and a copy never leaves
// a pointer of the caller behind in the request.
constexpr std::size_t kCopyLimit = 32 * 1024;

ov::element::Type element_type(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat64: return ov::element::f64;
    case DataType::kFloat32: return ov::element::f32;
    case DataType::kFloat16: return ov::element::f16;
    case DataType::kBFloat16: return ov::element::bf16;
    case DataType::kInt64: return ov::element::i64;
    case DataType::kInt32: return ov::element::i32;
    case DataType::kInt16: return ov::element::i16;
    case DataType::kInt8: return ov::element::i8;
    case DataType::kUInt8: return ov::element::u8;
    case DataType::kBool: return ov::element::boolean;
    case DataType::kFloat8E4M3: return ov::element::f8e4m3;
  }
  fail(ErrorCode::kInternal, "no OpenVINO type for dtype ", static_cast<int>(dtype));
}

// The process's one core: made at first use, never destroyed (its threads may outlive main's statics).
ov::Core& core() {
  static ov::Core* instance = new ov::Core;
  return *instance;
}

// Runs `action`; OpenVINO's exceptions become ours.
template <typename Action>
auto guarded(const std::string& engine, const char* doing, Action&& action) {
  try {
    return action();
  } catch (const ov::Exception& error) {
    fail(ErrorCode::kInternal, "engine ", engine, ": OpenVINO failed while ", doing, ": ", error.what());
  }
}

// One infer request with what was bound to it last.
struct Request {
  explicit Request(ov::InferRequest made) : infer(std::move(made)) {}

  ov::InferRequest infer;
  std::vector<ov::Tensor> inputs;             // the tensors now bound, by index
  std::vector<ov::Tensor> outputs;
  std::vector<bool> input_is_ours, output_is_ours;  // bound to memory of this request, not to the caller's
};

struct Port {
  std::string name;
  ov::element::Type type;
  bool dynamic = false;
};

// Requests that are not in use. Shared with the outputs that a request lends, so that they find their way back.
class RequestPool {
 public:
  explicit RequestPool(ov::CompiledModel model) : model_(std::move(model)) {}

  std::unique_ptr<Request> acquire() {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<Request> request = std::move(idle_.back());
        idle_.pop_back();
        return request;
      }
    }
    return std::make_unique<Request>(model_.create_infer_request());
  }
  void release(std::unique_ptr<Request> request) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(request));
  }

 private:
  ov::CompiledModel model_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Request>> idle_;
};

class OpenVinoEngine;

class OpenVinoContext final : public backend::Context {
 public:
  explicit OpenVinoContext(const OpenVinoEngine& engine);
  void run(const backend::RunRequest& request) override;

 private:
  void bind_input(std::size_t index, const DLTensor& tensor);
  void* prepare_output(std::size_t index, const backend::RunRequest& request);

  const OpenVinoEngine& engine_;
  std::unique_ptr<Request> request_;
};

class OpenVinoEngine final : public backend::ExecutableEngine {
 public:
  explicit OpenVinoEngine(const backend::LoadRequest& load) : name_(load.engine_name), owner_(load.owner) {
    const auto payload = [&](const char* wanted) -> std::span<const std::byte> {
      for (const backend::Payload& candidate : load.payloads) {
        if (candidate.name == wanted) return candidate.bytes;
      }
      fail(ErrorCode::kDataLoss, "engine ", name_, " has no section \"", wanted, "\" for OpenVINO");
    };
    const std::span<const std::byte> xml = payload("model");
    const std::span<const std::byte> weights = payload("weights");
    // The weights stay where the package has them; OpenVINO only reads.
    ov::Tensor weights_tensor =
        weights.empty() ? ov::Tensor()
                        : ov::Tensor(ov::element::u8, {weights.size()}, const_cast<std::byte*>(weights.data()));
    const std::shared_ptr<ov::Model> model = guarded(name_, "reading the network", [&] {
      return core().read_model(std::string(reinterpret_cast<const char*>(xml.data()), xml.size()), weights_tensor);
    });
    check_ports(*model, load);
    compile(model, load);
    pool_ = std::make_shared<RequestPool>(compiled_);
  }

  std::unique_ptr<backend::Context> create_context() override { return std::make_unique<OpenVinoContext>(*this); }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::vector<Port>& inputs() const { return inputs_; }
  [[nodiscard]] const std::vector<Port>& outputs() const { return outputs_; }
  [[nodiscard]] const std::shared_ptr<RequestPool>& pool() const { return pool_; }
  [[nodiscard]] const ov::CompiledModel& compiled() const { return compiled_; }

 private:
  void check_ports(const ov::Model& model, const backend::LoadRequest& load) {
    const auto describe = [&](const auto& nodes, const std::vector<backend::Binding>& bindings, const char* what) {
      TORCHTRT_CHECK(nodes.size() == bindings.size(), kDataLoss, "engine ", name_, " has ", bindings.size(), " ", what,
                     " by its metadata and ", nodes.size(), " by its OpenVINO model");
      std::vector<Port> ports;
      for (std::size_t i = 0; i < bindings.size(); ++i) {
        TORCHTRT_CHECK(nodes[i].get_element_type() == element_type(bindings[i].dtype), kDataLoss, "engine ", name_, ": ",
                       what, " ", bindings[i].name, " is ", to_string(bindings[i].dtype), " by its metadata and ",
                       nodes[i].get_element_type().to_string(), " by its OpenVINO model");
        ports.push_back({bindings[i].name, nodes[i].get_element_type(), nodes[i].get_partial_shape().is_dynamic()});
      }
      return ports;
    };
    inputs_ = describe(model.inputs(), load.inputs, "inputs");
    outputs_ = describe(model.outputs(), load.outputs, "outputs");
  }

  void compile(const std::shared_ptr<ov::Model>& model, const backend::LoadRequest& load) {
    const auto precision = load.properties.find("inference_precision");
    // Never OpenVINO's own default, which is bfloat16 on machines that have it.
    const bool bfloat16 = precision != load.properties.end() && precision->second == "bf16";
    const int threads = load.settings.threads > 0 ? load.settings.threads : 0;
    // One stream with one thread swallows exceptions in this release; without streams the caller's thread does the work.
    const int streams = load.settings.streams == 1 && threads == 1 ? 0 : load.settings.streams;
    compiled_ = compile(model, bfloat16, streams, threads);
    if (compiled_.get_property(ov::num_streams) == ov::streams::Num(1) &&
        compiled_.get_property(ov::inference_num_threads) == 1) {
      compiled_ = compile(model, bfloat16, 0, 1);
    }
  }

  ov::CompiledModel compile(const std::shared_ptr<ov::Model>& model, bool bfloat16, int streams, int threads) {
    ov::AnyMap properties{
        ov::hint::inference_precision(bfloat16 ? ov::element::bf16 : ov::element::f32),
        ov::hint::enable_cpu_pinning(false),
        ov::num_streams(ov::streams::Num(streams)),
        {"CPU_DENORMALS_OPTIMIZATION", false},
    };
    if (threads > 0) properties.insert(ov::inference_num_threads(threads));
    return guarded(name_, "compiling the network", [&] { return core().compile_model(model, "CPU", properties); });
  }

  std::string name_;
  std::shared_ptr<const void> owner_;
  std::vector<Port> inputs_, outputs_;
  ov::CompiledModel compiled_;
  std::shared_ptr<RequestPool> pool_;
};

OpenVinoContext::OpenVinoContext(const OpenVinoEngine& engine) : engine_(engine) {}

// Inputs up to kCopyLimit are copied into tensors of the request, larger ones bound where they are. A pointer bound by an
// earlier call is never read: every call binds or copies every input.
void OpenVinoContext::bind_input(std::size_t index, const DLTensor& tensor) {
  Request& request = *request_;
  const ov::Shape shape(tensor.shape, tensor.shape + tensor.ndim);
  const ov::element::Type type = engine_.inputs()[index].type;
  auto* data = static_cast<std::byte*>(tensor.data) + tensor.byte_offset;
  const std::size_t bytes = ov::shape_size(shape) * type.size();
  ov::Tensor& bound = request.inputs[index];
  const bool same_shape = bound && bound.get_shape() == shape;
  if (bytes <= kCopyLimit) {
    if (!same_shape || !request.input_is_ours[index]) {
      bound = ov::Tensor(type, shape);
      request.infer.set_input_tensor(index, bound);
      request.input_is_ours[index] = true;
    }
    std::memcpy(bound.data(), data, bytes);
    return;
  }
  if (!same_shape || bound.data() != data) {
    bound = ov::Tensor(type, shape, data);
    request.infer.set_input_tensor(index, bound);
    request.input_is_ours[index] = false;
  }
}

// Static outputs above kCopyLimit are computed into the caller's memory; returns where the caller wants the output, or
// null where that is decided after the run.
void* OpenVinoContext::prepare_output(std::size_t index, const backend::RunRequest& run) {
  const Port& port = engine_.outputs()[index];
  if (run.output_shapes.empty() || port.dynamic) return nullptr;
  Request& request = *request_;
  const std::vector<std::int64_t>& dims = run.output_shapes[index];
  const ov::Shape shape(dims.begin(), dims.end());
  void* data = run.outputs->allocate(index, dims);
  if (ov::shape_size(shape) * port.type.size() <= kCopyLimit) return data;
  ov::Tensor& bound = request.outputs[index];
  if (!bound || bound.data() != data) {
    bound = ov::Tensor(port.type, shape, data);
    request.infer.set_output_tensor(index, bound);
  }
  return data;
}

void OpenVinoContext::run(const backend::RunRequest& run) {
  if (!request_) request_ = guarded(engine_.name(), "creating a request", [&] { return engine_.pool()->acquire(); });
  Request& request = *request_;
  request.inputs.resize(engine_.inputs().size());
  request.input_is_ours.resize(engine_.inputs().size());
  request.outputs.resize(engine_.outputs().size());
  std::vector<void*> targets(engine_.outputs().size());
  guarded(engine_.name(), "running", [&] {
    for (std::size_t i = 0; i < run.inputs.size(); ++i) bind_input(i, run.inputs[i]);
    for (std::size_t i = 0; i < targets.size(); ++i) targets[i] = prepare_output(i, run);
    request.infer.infer();
  });
  // What was not computed in place is copied if small, and lent if large: the request then belongs to the outputs until
  // the last of them is released.
  std::shared_ptr<Request> lent;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    ov::Tensor result = request.outputs[i] ? request.outputs[i] : request.infer.get_output_tensor(i);
    const std::size_t bytes = result.get_byte_size();
    if (targets[i] != nullptr) {
      if (targets[i] != result.data()) std::memcpy(targets[i], result.data(), bytes);
      continue;
    }
    const ov::Shape shape = result.get_shape();
    const std::vector<std::int64_t> dims(shape.begin(), shape.end());
    if (bytes <= kCopyLimit) {
      void* data = run.outputs->allocate(i, dims);
      if (bytes > 0) std::memcpy(data, result.data(), bytes);
      continue;
    }
    if (!lent) {
      const std::shared_ptr<RequestPool> pool = engine_.pool();
      lent = std::shared_ptr<Request>(request_.release(),
                                      [pool](Request* back) { pool->release(std::unique_ptr<Request>(back)); });
    }
    run.outputs->adopt(i, dims, result.data(), lent);
  }
}

class OpenVinoExecutor final : public backend::Executor {
 public:
  [[nodiscard]] std::string_view name() const override { return "openvino"; }
  std::string version() override {
    const std::string build = ov::get_openvino_version().buildNumber;
    return build.substr(0, build.find('-'));
  }
  std::unique_ptr<backend::ExecutableEngine> load(const backend::LoadRequest& request) override {
    TORCHTRT_CHECK(request.device.device_type == kDLCPU, kInvalidArgument, "engine ", request.engine_name,
                   ": OpenVINO engines run on the CPU");
    return std::make_unique<OpenVinoEngine>(request);
  }
};

}  // namespace
}  // namespace torchtrt::openvino

extern "C" TORCHTRT_API torchtrt::backend::Executor* torchtrt_executor(std::uint32_t interface_version) {
  static auto* executor = new torchtrt::openvino::OpenVinoExecutor;
  return interface_version == torchtrt::backend::kExecutorInterfaceVersion ? executor : nullptr;
}
