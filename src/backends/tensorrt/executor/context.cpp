// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/executor/context.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/compat/version.h"

namespace torchtrt::tensorrt {
namespace {

const std::byte* data_of(const DLTensor& tensor) {
  return static_cast<const std::byte*>(tensor.data) + tensor.byte_offset;
}

std::size_t volume(Shape shape) {
  std::size_t count = 1;
  for (const std::int64_t dim : shape) count *= static_cast<std::size_t>(dim);
  return count;
}

Shape shape_of(const DLTensor& tensor) { return {tensor.shape, static_cast<std::size_t>(tensor.ndim)}; }

// An element of a shape input.
std::int64_t element(const DLTensor& tensor, std::size_t item_size, std::size_t index) {
  const std::byte* from = data_of(tensor) + index * item_size;
  if (item_size == sizeof(std::int32_t)) {
    std::int32_t value = 0;
    std::memcpy(&value, from, sizeof(value));
    return value;
  }
  std::int64_t value = 0;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

// Whether what may vary of this input is `known`.
bool is_same(const InputLayout& layout, const DLTensor& tensor, const std::vector<std::int64_t>& known) {
  if (layout.is_shape_input) {
    if (known.size() != volume(shape_of(tensor))) return false;
    for (std::size_t i = 0; i < known.size(); ++i) {
      if (element(tensor, layout.item_size, i) != known[i]) return false;
    }
    return true;
  }
  return !layout.is_dynamic || std::equal(known.begin(), known.end(), tensor.shape, tensor.shape + tensor.ndim);
}

}  // namespace

TensorRtContext::TensorRtContext(const Layout& layout, std::unique_ptr<NativeContext> native)
    : layout_(layout),
      native_(std::move(native)),
      inputs_(layout.inputs.size()),
      outputs_(layout.outputs.size()),
      values_(layout.inputs.size()) {
  varies_ = std::any_of(layout.inputs.begin(), layout.inputs.end(),
                        [](const InputLayout& input) { return input.is_dynamic || input.is_shape_input; });
}

void TensorRtContext::run(const backend::RunRequest& request) {
  services_ = request.device;
  if (!has_same_shapes(request)) bind_shapes(request);
  for (std::size_t i = 0; i < inputs_.size(); ++i) bind_input(i, request.inputs[i], request);
  for (std::size_t i = 0; i < outputs_.size(); ++i) bind_output(i, request);
  if (scratch_needed_ > 0) scratch(request);
  if (request.layer_times != nullptr) native_->set_profiler(request.layer_times);
  const bool enqueued = native_->enqueue(request.stream);
  if (request.layer_times != nullptr) native_->set_profiler(nullptr);
  if (failure_ != nullptr) std::rethrow_exception(std::exchange(failure_, nullptr));
  check(enqueued, "enqueue the engine", "");
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].is_deferred) deliver(i, request);
  }
  scratch_ = nullptr;
  copies_.clear();
  services_ = nullptr;
}

bool TensorRtContext::has_same_shapes(const backend::RunRequest& request) const {
  if (!has_shapes_) return false;
  if (!varies_) return true;
  if (request.profile != wanted_profile_) return false;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    if (!is_same(layout_.inputs[i], request.inputs[i], values_[i])) return false;
  }
  return true;
}

void TensorRtContext::bind_shapes(const backend::RunRequest& request) {
  has_shapes_ = false;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const InputLayout& input = layout_.inputs[i];
    const DLTensor& tensor = request.inputs[i];
    values_[i].clear();
    if (input.is_shape_input) {
      for (std::size_t at = 0; at < volume(shape_of(tensor)); ++at) {
        values_[i].push_back(element(tensor, input.item_size, at));
      }
    } else if (input.is_dynamic) {
      values_[i].assign(tensor.shape, tensor.shape + tensor.ndim);
    }
  }
  if (varies_) {
    const std::size_t profile = profile_for(request.profile);
    wanted_profile_ = request.profile;
    if (profile != profile_) {
      check(native_->set_profile(profile, request.stream), "choose an optimization profile", "");
      profile_ = profile;
      // What survives the switch is not documented.
      for (Input& input : inputs_) input.address = nullptr;
      for (Output& output : outputs_) output.address = nullptr;
      scratch_address_ = nullptr;
    }
  }
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const InputLayout& input = layout_.inputs[i];
    if (input.is_dynamic && !input.is_shape_input) {
      check(native_->set_input_shape(i, shape_of(request.inputs[i])), "set the shape of input", input.name);
    }
    if (input.is_shape_input) bind_host_input(i, request.inputs[i]);
  }
  check_output_shapes(request);
  compute_host_outputs();
  size_scratch();
  has_shapes_ = true;
}

// A profile's size is for its largest shapes, which may be those of a dimension without a maximum.
void TensorRtContext::size_scratch() {
  scratch_needed_ = layout_.profiles[profile_].scratch_bytes;
  if (!varies_ || !layout_.has_scratch_by_shape || scratch_needed_ == 0) return;
  if (const std::optional<std::size_t> bytes = native_->scratch_size()) {
    scratch_needed_ = std::min(scratch_needed_, *bytes);
  }
  scratch_address_ = nullptr;
}

std::size_t TensorRtContext::profile_for(int wanted) const {
  if (wanted >= 0) {
    check_profile(layout_, static_cast<std::size_t>(wanted), values_);
    return static_cast<std::size_t>(wanted);
  }
  const std::optional<std::size_t> profile = choose_profile(layout_, values_);
  if (!profile) fail_without_profile(layout_, values_);
  return *profile;
}

// TensorRT wants the elements aligned and at hand whenever it infers shapes: the context has its own copy.
void TensorRtContext::bind_host_input(std::size_t index, const DLTensor& tensor) {
  const InputLayout& layout = layout_.inputs[index];
  TORCHTRT_CHECK(tensor.device.device_type == kDLCPU, kInvalidArgument, "engine \"", layout_.engine, "\", input \"",
                 layout.name, "\": its values decide shapes, so it has to be on the CPU");
  Input& input = inputs_[index];
  const std::size_t bytes = volume(shape_of(tensor)) * layout.item_size;
  input.host.resize(std::max<std::size_t>(1, (bytes + kAlignment - 1) / kAlignment));
  if (bytes > 0) std::memcpy(input.host.data(), data_of(tensor), bytes);
  input.address = input.host.data();
  check(native_->set_input(index, input.address), "bind input", layout.name);
}

void TensorRtContext::check_output_shapes(const backend::RunRequest& request) {
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    Output& output = outputs_[i];
    check(native_->output_shape(i, output.expected), "infer the shape of output", layout_.outputs[i].name);
    const bool known_here = !request.output_shapes.empty();
    const bool known_there = std::find(output.expected.begin(), output.expected.end(), -1) == output.expected.end();
    TORCHTRT_CHECK(!known_here || !known_there || output.expected == request.output_shapes[i], kInternal, "engine \"",
                   layout_.engine, "\", output \"", layout_.outputs[i].name, "\": the package says shape ",
                   text_of(request.output_shapes[i]), ", ", compat::kProductName, " infers ", text_of(output.expected));
    TORCHTRT_CHECK(known_there || !layout_.outputs[i].is_on_host, kUnsupported, "engine \"", layout_.engine,
                   "\", output \"", layout_.outputs[i].name,
                   "\" is computed on the host, and how many elements it has depends on data");
    const bool deferred = !known_there;
    if (deferred && !output.is_deferred) {
      check(native_->defer_output(i, *this), "bind output", layout_.outputs[i].name);
    }
    output.is_deferred = output.is_deferred || deferred;  // TensorRT goes on asking
  }
}

// They depend on nothing but what was just bound. TensorRT gets the context's memory, not a caller's.
void TensorRtContext::compute_host_outputs() {
  bool any = false;
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const OutputLayout& layout = layout_.outputs[i];
    if (!layout.is_on_host) continue;
    Output& output = outputs_[i];
    const std::size_t bytes = volume(output.expected) * layout.item_size;
    output.host.resize(std::max<std::size_t>(1, (bytes + kAlignment - 1) / kAlignment));
    check(native_->set_output(i, output.host.data()), "bind output", layout.name);
    any = true;
  }
  if (any) check(native_->infer_shapes(), "compute sizes on the host", "");
}

void TensorRtContext::bind_input(std::size_t index, const DLTensor& tensor, const backend::RunRequest& request) {
  const InputLayout& layout = layout_.inputs[index];
  if (layout.is_shape_input || !layout.is_used) return;
  const void* data = data_of(tensor);
  const std::size_t bytes = volume(shape_of(tensor)) * layout.item_size;
  if (bytes == 0) {
    data = scratch(request);  // nobody reads it, but TensorRT refuses null
  } else if (tensor.device.device_type == kDLCPU || reinterpret_cast<std::uintptr_t>(data) % kAlignment != 0) {
    // The value of a symbol that the engine computes with on the device, or a view into a larger tensor.
    const std::shared_ptr<void> copy = copies_.emplace_back(services_->allocate(bytes));
    if (tensor.device.device_type == kDLCPU) {
      services_->write(copy.get(), data, bytes);
    } else {
      services_->copy(copy.get(), data, bytes);
    }
    data = copy.get();
  }
  if (inputs_[index].address == data) return;
  check(native_->set_input(index, data), "bind input", layout.name);
  inputs_[index].address = data;
}

void TensorRtContext::bind_output(std::size_t index, const backend::RunRequest& request) {
  Output& output = outputs_[index];
  output.memory.reset();
  output.has_shape = false;
  if (output.is_deferred) return;
  void* data = request.outputs->allocate(index, output.expected);
  if (const OutputLayout& layout = layout_.outputs[index]; layout.is_on_host) {
    const std::size_t bytes = volume(output.expected) * layout.item_size;
    if (bytes > 0) services_->write(data, output.host.data(), bytes);
    return;
  }
  if (volume(output.expected) == 0) data = scratch(request);
  if (output.address == data) return;
  check(native_->set_output(index, data), "bind output", layout_.outputs[index].name);
  output.address = data;
}

// At least something, so that it can stand for empty tensors.
void* TensorRtContext::scratch(const backend::RunRequest& request) {
  if (scratch_ != nullptr) return scratch_;
  const std::size_t bytes = scratch_needed_;
  scratch_ = request.device->scratch(std::max(bytes, kAlignment));
  if (bytes > 0 && (scratch_ != scratch_address_ || bytes != scratch_bytes_)) {
    native_->set_scratch(scratch_, bytes);
    scratch_address_ = scratch_;
    scratch_bytes_ = bytes;
  }
  return scratch_;
}

void TensorRtContext::deliver(std::size_t index, const backend::RunRequest& request) {
  Output& output = outputs_[index];
  const OutputLayout& layout = layout_.outputs[index];
  TORCHTRT_CHECK(output.has_shape, kInternal, "engine \"", layout_.engine, "\", output \"", layout.name,
                 "\": ", compat::kProductName, " ran without saying its shape");
  TORCHTRT_CHECK(request.output_shapes.empty() || output.shape == request.output_shapes[index], kInternal, "engine \"",
                 layout_.engine, "\", output \"", layout.name, "\": the package says shape ",
                 text_of(request.output_shapes[index]), ", ", compat::kProductName, " gave ", text_of(output.shape));
  const std::size_t bytes = volume(output.shape) * layout.item_size;
  void* const to = request.outputs->allocate(index, output.shape);
  if (bytes > 0) {
    TORCHTRT_CHECK(output.memory != nullptr, kInternal, "engine \"", layout_.engine, "\", output \"", layout.name,
                   "\": ", compat::kProductName, " asked for no memory");
    services_->copy(to, output.memory.get(), bytes);
  }
  output.memory.reset();
}

void TensorRtContext::check(bool accepted, const char* doing, const std::string& what) {
  TORCHTRT_CHECK(accepted, kInternal, "engine \"", layout_.engine, "\": ", compat::kProductName, " fails to ", doing,
                 what.empty() ? "" : " \"" + what + "\"", ": ", native_->take_errors());
}

void* TensorRtContext::reserve(std::size_t output, std::size_t bytes) noexcept {
  try {
    outputs_[output].memory = services_->allocate(bytes);
    return outputs_[output].memory.get();
  } catch (...) {
    failure_ = std::current_exception();  // TensorRT must not see it
    return nullptr;
  }
}

void TensorRtContext::set_shape(std::size_t output, Shape shape) noexcept {
  try {
    outputs_[output].shape.assign(shape.begin(), shape.end());
    outputs_[output].has_shape = true;
  } catch (...) {
    failure_ = std::current_exception();
  }
}

}  // namespace torchtrt::tensorrt
