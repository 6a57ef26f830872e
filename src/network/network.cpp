// SPDX-License-Identifier: Apache-2.0
#include <torchtrt/network/network.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <unordered_map>
#include <utility>

#include <torchtrt/base/error.h>

#include "base/half.h"
#include "network/infer.h"

namespace torchtrt::network {

struct Network::State {
  std::string name;
  std::map<std::string, SymbolRange> symbols;
  std::map<std::string, Interval> symbol_bounds;  // the same, as Expr::bounds takes them
  std::vector<Value> values;
  std::vector<std::ptrdiff_t> producers;  // by value: index of its layer, -1 for inputs
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::vector<ValueId> guards;
  std::vector<Layer> layers;
  std::set<std::string> names;  // of values and layers
  std::set<std::string> output_names;
  std::string origin, source;

  std::string unique(const std::string& wanted) {
    std::string candidate = wanted;
    for (int suffix = 1; !names.insert(candidate).second; ++suffix) {
      candidate = wanted + "_" + std::to_string(suffix);
    }
    return candidate;
  }
  ValueId add_value(Value value, std::ptrdiff_t producer) {
    values.push_back(std::move(value));
    producers.push_back(producer);
    return ValueId{static_cast<std::uint32_t>(values.size() - 1)};
  }
};

Network::Network(std::string name) : state_(std::make_unique<State>()) { state_->name = std::move(name); }
Network::Network(Network&&) noexcept = default;
Network& Network::operator=(Network&&) noexcept = default;
Network::~Network() = default;

const std::string& Network::name() const { return state_->name; }
const std::map<std::string, SymbolRange>& Network::symbols() const { return state_->symbols; }
const std::vector<Input>& Network::inputs() const { return state_->inputs; }
const std::vector<Network::Output>& Network::outputs() const { return state_->outputs; }
const std::vector<Layer>& Network::layers() const { return state_->layers; }
const std::vector<ValueId>& Network::guards() const { return state_->guards; }
std::size_t Network::value_count() const { return state_->values.size(); }

void Network::add_symbol(const std::string& name, SymbolRange range) {
  Expr::symbol(name);  // checks the name
  TORCHTRT_CHECK(range.min >= 0 && range.min <= range.opt && range.opt <= range.max, kInvalidArgument, "symbol ", name,
                 " needs 0 <= min <= opt <= max, not [", range.min, ", ", range.opt, ", ", range.max, "]");
  state_->symbol_bounds.emplace(name, Interval{range.min, range.max});
  const auto [position, added] = state_->symbols.emplace(name, range);
  TORCHTRT_CHECK(added || position->second == range, kInvalidArgument, "symbol ", name,
                 " is declared twice with different ranges");
}

Interval Network::bounds(const Expr& expr) const { return expr.bounds(state_->symbol_bounds); }

ValueId Network::add_input(const std::string& name, DataType dtype, Dims dims) {
  TORCHTRT_CHECK(dims.size() <= kMaxRank, kInvalidArgument, "network input \"", name, "\" has ", dims.size(),
                 " dimensions; at most ", kMaxRank, " are allowed, as in PyTorch");
  TORCHTRT_CHECK(state_->names.insert(name).second && !name.empty(), kInvalidArgument, "network input \"", name,
                 "\" needs a name of its own");
  const ValueId id = state_->add_value({name, dtype, std::move(dims), range_of(dtype)}, -1);
  state_->inputs.push_back({id, false, ""});
  return id;
}

ValueId Network::add_shape_input(const std::string& name, const std::string& symbol) {
  TORCHTRT_CHECK(state_->symbols.count(symbol) == 1, kInvalidArgument, "shape input \"", name, "\" carries symbol ",
                 symbol, ", which is not declared");
  const ValueId id = add_input(name, DataType::kInt64, {});
  state_->inputs.back() = {id, true, symbol};
  state_->values[id.index].range = bounds(Expr::symbol(symbol));
  return id;
}

void Network::mark_output(ValueId value_id, const std::string& name) {
  (void)value(value_id);  // checks the handle
  TORCHTRT_CHECK(state_->output_names.insert(name).second, kInvalidArgument, "two outputs are named \"", name, "\"");
  state_->outputs.push_back({name, value_id});
}

void Network::add_guard(ValueId broken) {
  const Value& guard = value(broken);
  TORCHTRT_CHECK(guard.dtype == DataType::kBool && guard.dims.empty(), kInvalidArgument, "guard \"", guard.name,
                 "\" is ", to_string(guard.dtype), to_string(guard.dims), ", expected a 0-d bool");
  state_->guards.push_back(broken);
}

const Value& Network::value(ValueId id) const {
  TORCHTRT_CHECK(id.index < state_->values.size(), kInternal, "no value with index ", id.index, " in network ",
                 state_->name);
  return state_->values[id.index];
}

const Layer* Network::producer(ValueId id) const {
  (void)value(id);  // checks the handle
  const std::ptrdiff_t index = state_->producers[id.index];
  return index < 0 ? nullptr : &state_->layers[static_cast<std::size_t>(index)];
}

const Weights* Network::constant(ValueId id) const {
  const Layer* layer = producer(id);
  const auto* op = layer == nullptr ? nullptr : std::get_if<Constant>(&layer->op);
  return op == nullptr ? nullptr : op->weights.get();
}

void Network::refine_dims(ValueId id, const Dims& dims) {
  const Value& known = value(id);
  bool compatible = known.dims.size() == dims.size();
  for (std::size_t i = 0; compatible && i < dims.size(); ++i) {
    compatible = !(known.dims[i].is_constant() && dims[i].is_constant()) || known.dims[i] == dims[i];
  }
  TORCHTRT_CHECK(compatible, kInternal, "value \"", known.name, "\" has shape ", to_string(known.dims),
                 " in the network, but was captured with ", to_string(dims));
  state_->values[id.index].dims = dims;
}

void Network::refine_range(ValueId id, Interval range) {
  const Value& refined = value(id);
  const Interval both{std::max(refined.range.min, range.min), std::min(refined.range.max, range.max)};
  TORCHTRT_CHECK(both.min <= both.max, kInvalidArgument, "no element of \"", refined.name, "\" can be in [", range.min,
                 ", ", range.max, "] and in [", refined.range.min, ", ", refined.range.max, "]");
  state_->values[id.index].range = both;
}

void Network::rename(ValueId id, const std::string& name) {
  (void)value(id);  // checks the handle
  TORCHTRT_CHECK(!name.empty() && state_->names.insert(name).second, kInvalidArgument, "the name \"", name,
                 "\" is taken or empty");
  state_->names.erase(state_->values[id.index].name);
  state_->values[id.index].name = name;
}

bool Network::has_data_dependent_outputs() const {
  std::set<std::string> bound;
  for (const Input& input : state_->inputs) {
    if (input.is_shape_tensor) bound.insert(input.symbol);
    for (const Expr& dim : value(input.value).dims) {
      if (dim.is_symbol()) bound.insert(dim.symbol_name());
    }
  }
  std::set<std::string> used;
  for (const Output& output : state_->outputs) {
    for (const Expr& dim : value(output.value).dims) dim.collect_symbols(used);
  }
  return !std::includes(bound.begin(), bound.end(), used.begin(), used.end());
}

void Network::set_origin(const std::string& node_name, const std::string& source) {
  state_->origin = node_name;
  state_->source = source;
}

std::vector<ValueId> Network::add_layer(Op op, std::vector<ValueId> inputs, const std::string& name) {
  Layer layer{std::move(op), std::move(inputs), {}, {}, state_->source};
  layer.name = !name.empty() ? name : !state_->origin.empty() ? state_->origin : std::string(kind_name(layer.op));
  const std::vector<ValueType> types = infer(*this, layer);  // before anything changes: a refused layer leaves no trace
  layer.name = state_->unique(layer.name);
  const auto index = static_cast<std::ptrdiff_t>(state_->layers.size());
  for (std::size_t i = 0; i < types.size(); ++i) {
    const std::string value_name =
        types.size() == 1 ? layer.name : state_->unique(layer.name + "." + std::to_string(i));
    Value result{value_name, types[i].dtype, types[i].dims};
    if (is_integral(result.dtype)) result.range = infer_range(*this, layer, i, result.dtype);
    layer.outputs.push_back(state_->add_value(std::move(result), index));
  }
  std::vector<ValueId> outputs = layer.outputs;
  state_->layers.push_back(std::move(layer));
  return outputs;
}

Network::Checkpoint Network::checkpoint() const {
  return {state_->layers.size(), state_->values.size(), state_->inputs.size(), state_->guards.size()};
}

void Network::rollback(const Checkpoint& to) {
  for (std::size_t i = to.layers; i < state_->layers.size(); ++i) state_->names.erase(state_->layers[i].name);
  for (std::size_t i = to.values; i < state_->values.size(); ++i) state_->names.erase(state_->values[i].name);
  state_->layers.resize(to.layers);
  state_->values.resize(to.values);
  state_->producers.resize(to.values);
  state_->inputs.resize(to.inputs);
  state_->guards.resize(to.guards);
}

void Network::keep_layers(const std::vector<bool>& live) {
  std::vector<Layer> kept;
  for (std::size_t i = 0; i < state_->layers.size(); ++i) {
    if (!live[i]) continue;
    for (const ValueId output : state_->layers[i].outputs) {
      state_->producers[output.index] = static_cast<std::ptrdiff_t>(kept.size());
    }
    kept.push_back(std::move(state_->layers[i]));
  }
  state_->layers = std::move(kept);

  // Nothing is demanded of elements that nothing reads, as where only an input's shape counts.
  std::vector<bool> read(state_->values.size());
  for (const Layer& layer : state_->layers) {
    for (const ValueId operand : layer.inputs) read[operand.index] = true;
  }
  for (const Output& output : state_->outputs) read[output.value.index] = true;
  for (const ValueId guard : state_->guards) read[guard.index] = true;
  for (const Input& input : state_->inputs) {
    Value& value = state_->values[input.value.index];
    if (!read[input.value.index] && !input.is_shape_tensor) value.range = range_of(value.dtype);
  }
}

void remove_dead_layers(Network& network) {
  std::vector<bool> needed(network.value_count());
  for (const Network::Output& output : network.outputs()) needed[output.value.index] = true;
  for (const ValueId guard : network.guards()) needed[guard.index] = true;
  const std::vector<Layer>& layers = network.layers();
  std::vector<bool> live(layers.size());
  for (std::size_t i = layers.size(); i-- > 0;) {
    for (const ValueId output : layers[i].outputs) live[i] = live[i] || needed[output.index];
    if (!live[i]) continue;
    for (const ValueId operand : layers[i].inputs) needed[operand.index] = true;
  }
  network.keep_layers(live);
}

// --- the named helpers: each is one add_layer
// --------------------------------------------------------------------------

ValueId Network::add_constant(Dims dims, DataType dtype, Weights weights, const std::string& name) {
  return add_layer(Constant{std::move(dims), dtype, std::make_shared<const Weights>(std::move(weights))}, {}, name)[0];
}

namespace {

template <typename T>
Weights one_element(T value) {
  auto storage = std::make_shared<T>(value);
  return {std::shared_ptr<const void>(storage, storage.get()), sizeof(T)};
}

}  // namespace

ValueId Network::add_scalar(DataType dtype, double number, std::size_t rank) {
  Weights weights;
  switch (dtype) {
    case DataType::kFloat64: weights = one_element(number); break;
    case DataType::kFloat32: weights = one_element(static_cast<float>(number)); break;
    case DataType::kFloat16: weights = one_element(to_float16(static_cast<float>(number))); break;
    case DataType::kBFloat16: weights = one_element(to_bfloat16(static_cast<float>(number))); break;
    case DataType::kFloat8E4M3: fail(ErrorCode::kUnsupported, "no float8 scalar constants");
    default:
      TORCHTRT_CHECK(std::nearbyint(number) == number && std::fabs(number) < 9.2e18, kInvalidArgument, "the number ",
                     number, " is not a value of dtype ", to_string(dtype));
      return add_int_scalar(dtype, static_cast<std::int64_t>(number), rank);
  }
  return add_constant(Dims(rank, Expr(1)), dtype, std::move(weights));
}

ValueId Network::add_int_scalar(DataType dtype, std::int64_t number, std::size_t rank) {
  const auto fits = [&](std::int64_t low, std::int64_t high) {
    TORCHTRT_CHECK(number >= low && number <= high, kInvalidArgument, "the number ", number,
                   " is not a value of dtype ", to_string(dtype));
  };
  Weights weights;
  switch (dtype) {
    case DataType::kInt64: weights = one_element(number); break;
    case DataType::kInt32:
      fits(INT32_MIN, INT32_MAX);
      weights = one_element(static_cast<std::int32_t>(number));
      break;
    case DataType::kInt16:
      fits(INT16_MIN, INT16_MAX);
      weights = one_element(static_cast<std::int16_t>(number));
      break;
    case DataType::kInt8:
      fits(INT8_MIN, INT8_MAX);
      weights = one_element(static_cast<std::int8_t>(number));
      break;
    case DataType::kUInt8:
      fits(0, UINT8_MAX);
      weights = one_element(static_cast<std::uint8_t>(number));
      break;
    case DataType::kBool: weights = one_element(static_cast<std::uint8_t>(number != 0)); break;
    default: return add_scalar(dtype, static_cast<double>(number), rank);
  }
  return add_constant(Dims(rank, Expr(1)), dtype, std::move(weights));
}

ValueId Network::add_activation(ValueId input, ActivationType type, double alpha, double beta) {
  return add_layer(Activation{type, alpha, beta}, {input})[0];
}
ValueId Network::add_unary(ValueId input, UnaryOperation operation) { return add_layer(Unary{operation}, {input})[0]; }
ValueId Network::add_elementwise(ValueId a, ValueId b, ElementWiseOperation operation) {
  return add_layer(ElementWise{operation}, {a, b})[0];
}
ValueId Network::add_matrix_multiply(ValueId a, MatrixOperation op_a, ValueId b, MatrixOperation op_b) {
  return add_layer(MatrixMultiply{op_a, op_b}, {a, b})[0];
}
ValueId Network::add_reduce(ValueId input, ReduceOperation operation, std::vector<std::int64_t> axes, bool keep_dims) {
  std::sort(axes.begin(), axes.end());
  return add_layer(Reduce{operation, std::move(axes), keep_dims}, {input})[0];
}
ValueId Network::add_softmax(ValueId input, std::int64_t axis) { return add_layer(Softmax{axis}, {input})[0]; }
ValueId Network::add_gather(ValueId data, ValueId indices, std::int64_t axis) {
  return add_layer(Gather{GatherMode::kDefault, axis}, {data, indices})[0];
}
ValueId Network::add_slice(ValueId input, Dims start, Dims size, std::vector<std::int64_t> stride) {
  return add_layer(Slice{std::move(start), std::move(size), std::move(stride), SliceMode::kStrict}, {input})[0];
}
ValueId Network::add_reshape(ValueId input, Dims dims) {
  return add_layer(Shuffle{{}, std::move(dims), {}}, {input})[0];
}
ValueId Network::add_transpose(ValueId input, std::vector<std::int64_t> permutation) {
  return add_layer(Shuffle{std::move(permutation), std::nullopt, {}}, {input})[0];
}
ValueId Network::add_broadcast(ValueId input, Dims dims) { return add_layer(Broadcast{std::move(dims)}, {input})[0]; }
ValueId Network::add_concatenation(std::vector<ValueId> inputs, std::int64_t axis) {
  return add_layer(Concatenation{axis}, std::move(inputs))[0];
}
ValueId Network::add_select(ValueId condition, ValueId then_value, ValueId else_value) {
  return add_layer(Select{}, {condition, then_value, else_value})[0];
}
ValueId Network::add_cast(ValueId input, DataType to) { return add_layer(Cast{to}, {input})[0]; }
ValueId Network::add_identity(ValueId input) { return add_layer(Identity{}, {input})[0]; }

}  // namespace torchtrt::network
