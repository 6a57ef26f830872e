// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/executor/context.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>

#include <torchtrt/base/error.h>

#include "backends/openvino/nonfinite.h"

namespace torchtrt::openvino {
namespace {

// Binding a tensor costs more than copying this much (1.25 us, against some 30 GB/s).
constexpr std::size_t kCopyLimit = 32 * 1024;

std::size_t volume(const std::int64_t* shape, std::size_t rank) {
  std::size_t count = 1;
  for (std::size_t i = 0; i < rank; ++i) count *= static_cast<std::size_t>(shape[i]);
  return count;
}

ov::Shape to_ov(const std::vector<std::int64_t>& shape) { return {shape.begin(), shape.end()}; }

void copy(void* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);  // of an empty tensor either pointer may be null
}

// Runs `action`; OpenVINO's exceptions become ours. The sink is called outside: its exceptions are the caller's.
template <typename Action>
void guarded(const std::string& engine, const char* doing, const Action& action) {
  try {
    action();
  } catch (const ov::Exception& error) {
    fail(ErrorCode::kInternal, "engine \"", engine, "\": OpenVINO failed while ", doing, ": ", error.what());
  }
}

}  // namespace

void OpenVinoContext::run(const backend::RunRequest& run) {
  allocate_outputs(run);
  const auto run_form = [&](bool exact) {
    if (run.layer_times != nullptr) [[unlikely]]
      return run_profiled(run, exact);
    return run_on(exact ? exact_ : plain_, exact, run);
  };
  if (are_inputs_within_limits(run) && run_form(/*exact=*/false)) return;
  if (engine_.has_exact_form_elsewhere()) {
    throw backend::OutsideGuards(detail::concat("engine \"", engine_.name(),
                                                "\": an input holds NaN, an infinity, or a ",
                                                "number so large that something may overflow"));
  }
  run_form(/*exact=*/true);
}

void OpenVinoContext::allocate_outputs(const backend::RunRequest& run) {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const Port& port = engine_.outputs()[i];
    if (port.is_static) targets_[i] = run.outputs->allocate(i, port.shape);
  }
}

bool OpenVinoContext::run_on(Place& place, bool exact, const backend::RunRequest& run) {
  for (bool again = false;; again = true) {
    if (place.pool == nullptr || place.pool->is_spoiled()) [[unlikely]] {
      place.request.reset();
      place.pool = engine_.pool(exact);
    }
    if (try_on(place, /*alone=*/again, run)) break;
  }
  if (!place.pool->is_within_limits(*place.request)) return false;
  check_guards(*place.request);
  deliver(run, *place.pool, place.request);
  return true;
}

bool OpenVinoContext::try_on(Place& place, bool alone, const backend::RunRequest& run) {
  guarded(engine_.name(), "binding inputs", [&] {
    if (place.request == nullptr) place.request = place.pool->acquire();
    for (std::size_t i = 0; i < run.inputs.size(); ++i) bind_input(*place.request, i, run.inputs[i]);
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      if (engine_.outputs()[i].is_static) bind_output(*place.request, i);
    }
  });
  bool counts = false;
  guarded(engine_.name(), "running", [&] { counts = place.pool->infer(*place.request, alone); });
  return counts;
}

void OpenVinoContext::check_guards(const Request& request) const {
  for (const ov::Tensor& guard : request.guards) {
    if (*static_cast<const char*>(guard.data()) == 0) continue;
    throw backend::OutsideGuards(detail::concat(
        "engine \"", engine_.name(),
        "\": a value inside is outside of what the engine computes as PyTorch does (an index: the rows that "
        "exist)"));
  }
}

bool OpenVinoContext::run_profiled(const backend::RunRequest& run, bool exact) {
  std::vector<ov::ProfilingInfo> layers;
  std::shared_ptr<ProfiledForm> form;
  std::unique_lock<std::mutex> turn;
  Place place;
  for (bool counts = false; !counts;) {
    turn = {};
    form = engine_.profiled_form(exact);
    turn = std::unique_lock(form->mutex);
    place.request.reset();
    place.pool = form->pool;
    counts = try_on(place, /*alone=*/true, run);
  }
  guarded(engine_.name(), "measuring", [&] { layers = place.request->infer.get_profiling_info(); });
  const bool is_right = form->pool->is_within_limits(*place.request);
  if (is_right) deliver(run, *form->pool, place.request);
  if (place.request != nullptr) form->pool->release(std::move(place.request));  // otherwise its outputs are lent
  ++form->runs;
  for (const ov::ProfilingInfo& layer : layers) {
    const auto found = form->layers.find(layer.node_name);
    if (found == form->layers.end()) continue;  // fused into another, or only holds data
    const std::int64_t sum = layer.real_time.count() * form->runs;
    const std::int64_t before = std::exchange(found->second.reported, sum);
    const std::chrono::duration<double, std::milli> added = std::chrono::microseconds(sum - before);
    const std::chrono::duration<double, std::milli> mean = layer.real_time;
    run.layer_times->add(found->second.name, added.count(), mean.count());
  }
  return is_right;
}

bool OpenVinoContext::are_inputs_within_limits(const backend::RunRequest& run) const {
  const std::vector<float>& limits = engine_.input_limits();
  for (std::size_t i = 0; i < limits.size(); ++i) {
    if (std::isinf(limits[i])) continue;
    const DLTensor& tensor = run.inputs[i];
    const auto* data = static_cast<const std::byte*>(tensor.data) + tensor.byte_offset;
    const std::size_t count = volume(tensor.shape, static_cast<std::size_t>(tensor.ndim));
    if (!all_within(engine_.inputs()[i].type, data, count, limits[i])) return false;
  }
  return true;
}

void OpenVinoContext::bind_input(Request& request, std::size_t index, const DLTensor& tensor) {
  Request::Binding& bound = request.inputs[index];
  const auto rank = static_cast<std::size_t>(tensor.ndim);
  const ov::element::Type type = engine_.inputs()[index].type;
  auto* data = static_cast<std::byte*>(tensor.data) + tensor.byte_offset;
  const std::size_t bytes = volume(tensor.shape, rank) * type.size();
  const bool same_shape = bound.data != nullptr && bound.shape.size() == rank &&
                          std::equal(bound.shape.begin(), bound.shape.end(), tensor.shape);
  const bool small = bytes <= kCopyLimit;
  if (!same_shape || bound.is_own != small || (!small && bound.data != data)) {
    bound.shape.assign(tensor.shape, tensor.shape + rank);
    bound.tensor = small ? ov::Tensor(type, to_ov(bound.shape)) : ov::Tensor(type, to_ov(bound.shape), data);
    bound.data = small ? bound.tensor.data() : data;
    bound.is_own = small;
    request.infer.set_input_tensor(index, bound.tensor);
  }
  if (small) copy(bound.data, data, bytes);
}

void OpenVinoContext::bind_output(Request& request, std::size_t index) {
  const Port& port = engine_.outputs()[index];
  Request::Binding& bound = request.outputs[index];
  void* data = targets_[index];
  const bool small = volume(port.shape.data(), port.shape.size()) * port.type.size() <= kCopyLimit;
  if (small ? bound.data != nullptr : bound.data == data) return;
  bound.tensor = small ? ov::Tensor(port.type, to_ov(port.shape)) : ov::Tensor(port.type, to_ov(port.shape), data);
  bound.data = small ? bound.tensor.data() : data;
  bound.is_own = small;
  request.infer.set_output_tensor(index, bound.tensor);
}

// Whether the memory of an output is an input's or another output's as well (an output that is an input, or that
// appears twice): that must not be handed out as the output's own.
bool OpenVinoContext::is_shared(const Request& request, const void* data) const {
  const auto at_data = [data](const Request::Binding& bound) { return bound.data == data; };
  return std::any_of(request.inputs.begin(), request.inputs.end(), at_data) ||
         std::count(produced_.begin(), produced_.end(), data) > 1;
}

void OpenVinoContext::deliver(const backend::RunRequest& run, RequestPool& pool, std::unique_ptr<Request>& request) {
  produced_.assign(targets_.size(), nullptr);
  bool any_dynamic = false;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const Port& port = engine_.outputs()[i];
    if (port.is_static) {
      const Request::Binding& bound = request->outputs[i];
      if (bound.is_own) copy(targets_[i], bound.data, bound.tensor.get_byte_size());
    } else {
      guarded(engine_.name(), "reading outputs", [&] {
        request->outputs[i].tensor = request->infer.get_output_tensor(i);
        request->outputs[i].data = request->outputs[i].tensor.data();
      });
      produced_[i] = request->outputs[i].data;
      any_dynamic = true;
    }
  }
  if (!any_dynamic) return;

  // All copies first: a request that is lent may come back, and be taken by another thread, at any moment.
  std::vector<std::size_t> lent;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    if (engine_.outputs()[i].is_static) continue;
    const ov::Tensor& tensor = request->outputs[i].tensor;
    const ov::Shape actual = tensor.get_shape();
    shape_.assign(actual.begin(), actual.end());
    if (!run.output_shapes.empty()) {
      const std::vector<std::int64_t>& expected = run.output_shapes[i];
      TORCHTRT_CHECK(shape_ == expected, kInternal, "engine \"", engine_.name(), "\": OpenVINO gave output \"",
                     engine_.outputs()[i].name, "\" the shape ", ov::Shape(actual).to_string(),
                     " instead of the compiled one");
    }
    const std::size_t bytes = tensor.get_byte_size();
    if (bytes > kCopyLimit && !is_shared(*request, produced_[i])) {
      lent.push_back(i);
    } else {
      copy(run.outputs->allocate(i, shape_), produced_[i], bytes);
    }
  }
  if (lent.empty()) return;
  // Until its outputs are released the request is theirs; the next run of this context takes another one.
  const std::shared_ptr<Request> owner = pool.lend(std::move(request));
  for (const std::size_t i : lent) {
    const ov::Shape actual = owner->outputs[i].tensor.get_shape();
    shape_.assign(actual.begin(), actual.end());
    run.outputs->adopt(i, shape_, owner->outputs[i].data, owner);
  }
}

}  // namespace torchtrt::openvino
