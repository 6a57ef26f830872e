// SPDX-License-Identifier: Apache-2.0
// Metadata as JSON text. Field names, not positions; unknown fields are ignored. The first field is the checksum of the
// rest, because TorchScript's archive reader does not check the ones of its container.
#include <algorithm>
#include <array>
#include <cstdio>
#include <initializer_list>
#include <map>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include <torchtrt/base/error.h>

#include "base/expr_budget.h"
#include "format/package.h"

namespace torchtrt::format {
namespace {

using OrderedJson = nlohmann::ordered_json;  // what is written keeps its order
using Json = nlohmann::json;                 // what is read is searched, which an ordered object does in linear time

constexpr std::string_view kChecksumPrefix = R"({"crc32c":")";
constexpr std::size_t kChecksumDigits = 8;
constexpr std::string_view kChecksumSuffix = R"(",)";
// Limits that no engine comes near, so that a damaged file fails early and cheaply.
constexpr std::size_t kMaxText = std::size_t{64} << 20;
constexpr int kMaxDepth = 16;
constexpr std::size_t kMaxRank = 64;

std::uint32_t checksum_of(std::string_view text) {
  return crc32c(std::as_bytes(std::span(text.substr(kChecksumPrefix.size() + kChecksumDigits))));
}

std::string hex(std::uint32_t value) {
  std::array<char, kChecksumDigits + 1> digits{};
  std::snprintf(digits.data(), digits.size(), "%08x", value);
  return digits.data();
}

// --- writing
// -------------------------------------------------------------------------------------------------------------

OrderedJson to_json(const Dims& dims) {
  OrderedJson result = OrderedJson::array();
  for (const Expr& dim : dims) {
    result.push_back(dim.is_constant() ? OrderedJson(dim.value()) : OrderedJson(dim.str()));
  }
  return result;
}

OrderedJson to_json(const InputSpec& input) {
  OrderedJson result{{"name", input.name}, {"dtype", to_string(input.dtype)}, {"shape", to_json(input.dims)}};
  if (!input.shape_symbol.empty()) {
    result["shape_symbol"] = input.shape_symbol;
  }
  if (input.value_range) {
    result["value_range"] = {{"min", input.value_range->min}, {"max", input.value_range->max}};
  }
  return result;
}

OrderedJson to_json(const std::vector<SectionSpec>& sections) {
  OrderedJson result = OrderedJson::array();
  for (const SectionSpec& section : sections) {
    result.push_back(
        {{"name", section.name}, {"offset", section.offset}, {"size", section.size}, {"crc32c", section.crc32c}});
  }
  return result;
}

OrderedJson to_json(const TargetSpec& target) {
  return {{"backend", target.backend},
          {"producer", target.producer},
          {"properties", target.properties},
          {"sections", to_json(target.sections)}};
}

// --- reading
// -------------------------------------------------------------------------------------------------------------

/// A JSON object together with where it is in the text, for messages like `outputs[1].dtype`.
class Node {
 public:
  Node(const Json& json, std::string path) : json_(json), path_(std::move(path)) {
    check(json_.is_object(), "an object");
  }

  [[nodiscard]] bool has(const char* field) const { return json_.contains(field); }
  [[nodiscard]] std::string text(const char* field) const {
    const Json& value = at(field);
    check(value.is_string(), "a string", field);
    return value.get<std::string>();
  }
  [[nodiscard]] std::string text_or(const char* field, std::string fallback) const {
    return has(field) ? text(field) : std::move(fallback);
  }
  [[nodiscard]] bool flag_or(const char* field, bool fallback) const {
    if (!has(field)) {
      return fallback;
    }
    check(at(field).is_boolean(), "true or false", field);
    return at(field).get<bool>();
  }
  [[nodiscard]] std::int64_t integer(const char* field) const { return integer_of(at(field), field); }
  [[nodiscard]] std::uint64_t unsigned_integer(const char* field, std::uint64_t max) const {
    check(at(field).is_number_unsigned() && at(field).get<std::uint64_t>() <= max,
          "a non-negative integer that fits the payload", field);
    return at(field).get<std::uint64_t>();
  }
  [[nodiscard]] std::int64_t integer_of(const Json& value, const char* field) const {
    check(value.is_number_integer() &&
              (!value.is_number_unsigned() || value.get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX)),
          "an integer of 64 bits", field);
    return value.get<std::int64_t>();
  }
  [[nodiscard]] Node child(const char* field) const { return Node(at(field), path_of(field)); }
  /// Calls `visit(Node)` for every element of the array `field`.
  template <typename Visit>
  void for_each(const char* field, Visit visit) const {
    const Json& values = at(field);
    check(values.is_array(), "an array", field);
    for (std::size_t i = 0; i < values.size(); ++i) {
      visit(Node(values[i], path_of(field) + "[" + std::to_string(i) + "]"));
    }
  }
  /// Calls `visit(name, Node)` for every member of the object.
  template <typename Visit>
  void for_each_member(Visit visit) const {
    for (const auto& [name, value] : json_.items()) {
      visit(name, Node(value, path_of(name.c_str())));
    }
  }
  [[nodiscard]] std::map<std::string, std::string> text_map(const char* field) const {
    std::map<std::string, std::string> result;
    if (!has(field)) {
      return result;
    }
    check(at(field).is_object(), "an object of strings", field);
    for (const auto& [name, value] : at(field).items()) {
      check(value.is_string(), "an object of strings", field);
      result.emplace(name, value.get<std::string>());
    }
    return result;
  }
  [[nodiscard]] DataType dtype() const {
    const std::string name = text("dtype");
    const std::optional<DataType> dtype = parse_dtype(name);
    check(dtype.has_value(), "the name of a dtype", "dtype");
    return *dtype;
  }
  [[nodiscard]] Dims dims() const {
    const Json& values = at("shape");
    check(values.is_array() && values.size() <= kMaxRank, "an array of dimensions", "shape");
    Dims dims;
    for (const Json& value : values) {
      if (value.is_string()) {
        dims.push_back(Expr::parse(value.get_ref<const std::string&>()));
      } else {
        const std::int64_t dim = integer_of(value, "shape");
        check(dim >= 0, "dimensions that are not negative", "shape");
        dims.emplace_back(dim);
      }
    }
    return dims;
  }
  void check(bool condition, const char* expected, const char* field = "") const {
    TORCHTRT_CHECK(condition, kDataLoss, "engine metadata: expected ", expected, " at ", path_of(field));
  }

 private:
  [[nodiscard]] const Json& at(const char* field) const {
    const auto found = json_.find(field);
    TORCHTRT_CHECK(found != json_.end(), kDataLoss, "engine metadata: ", path_of(field), " is missing");
    return *found;
  }
  [[nodiscard]] std::string path_of(const char* field) const {
    return *field == '\0' ? (path_.empty() ? "the top" : path_) : (path_.empty() ? field : path_ + "." + field);
  }

  const Json& json_;
  std::string path_;
};

InputSpec read_input(const Node& node) {
  InputSpec input;
  input.name = node.text("name");
  input.dtype = node.dtype();
  input.dims = node.dims();
  input.shape_symbol = node.text_or("shape_symbol", "");
  if (node.has("value_range")) {
    const Node range = node.child("value_range");
    input.value_range = Interval{range.integer("min"), range.integer("max")};
  }
  return input;
}

GuardSpec read_guard(const Node& node) {
  GuardSpec guard{{}, node.text("text")};
  node.for_each("any", [&](const Node& item) {
    const std::string is = item.text("is");
    item.check(is == "zero" || is == "nonzero" || is == "not negative", "zero, nonzero or \"not negative\"", "is");
    const GuardSpec::Sign sign = is == "zero"      ? GuardSpec::Sign::kZero
                                 : is == "nonzero" ? GuardSpec::Sign::kNonzero
                                                   : GuardSpec::Sign::kNotNegative;
    guard.any.push_back({Expr::parse(item.text("value")), sign});
  });
  return guard;
}

SymbolSpec read_symbol(const Node& node) { return {node.integer("min"), node.integer("opt"), node.integer("max")}; }

/// Which bytes of the payload sections have claimed. Sections do not overlap, but a target may name a section that one
/// target before it has (the exact form reads a vendor's weights): so checking all of them reads a file at most twice.
struct Claims {
  std::uint64_t payload_size = 0, unused = 0;
  std::map<std::pair<std::uint64_t, std::uint64_t>, int> owners = {};  ///< By offset and size.
};

std::vector<SectionSpec> read_sections(const Node& node, Claims& claims) {
  std::vector<SectionSpec> sections;
  node.for_each("sections", [&](const Node& item) {
    SectionSpec section;
    section.name = item.text("name");
    section.size = item.unsigned_integer("size", claims.payload_size);
    section.offset = item.unsigned_integer("offset", claims.payload_size - section.size);
    section.crc32c = static_cast<std::uint32_t>(item.unsigned_integer("crc32c", UINT32_MAX));
    item.check(section.offset % 64 == 0, "a multiple of 64", "offset");
    const int owners = ++claims.owners[{section.offset, section.size}];
    if (owners == 1) {
      item.check(section.size <= claims.unused, "a size that leaves sections apart", "size");
      claims.unused -= section.size;
    }
    item.check(owners <= 2 || section.size == 0, "a section of at most two targets", "offset");
    sections.push_back(std::move(section));
  });
  return sections;
}

TargetSpec read_target(const Node& node, Claims& claims) {
  return {node.text("backend"), node.text_or("producer", ""), node.text_map("properties"), read_sections(node, claims)};
}

// --- what must hold whoever wrote it
// ---------------------------------------------------------------------------------------

template <typename... Parts>
void require(bool condition, ErrorCode code, const Parts&... parts) {
  if (!condition) {
    fail(code, "engine metadata: ", parts...);
  }
}

void validate_inputs(const Metadata& metadata, ErrorCode code) {
  std::set<std::string> bound;
  for (const InputSpec& input : metadata.inputs) {
    for (const Expr& dim : input.dims) {
      if (dim.is_symbol()) {
        bound.insert(dim.symbol_name());
      }
    }
    if (!input.shape_symbol.empty()) {
      require(input.dims.empty() && input.dtype == DataType::kInt64, code, "shape input \"", input.name,
              "\" must be a 0-d int64 tensor");
      bound.insert(input.shape_symbol);
    }
    require(!input.value_range || is_integral(input.dtype), code, "input \"", input.name, "\" of dtype ",
            to_string(input.dtype), " has a range of integers");
    // An empty range is a contradiction, unless the lower side is open.
    require(!input.value_range || input.value_range->min == Interval::kUnbounded ||
                input.value_range->min <= input.value_range->max,
            code, "input \"", input.name, "\" has an empty value_range");
  }
  for (const std::string& name : bound) {
    require(metadata.symbols.contains(name), code, "symbol ", name, " has no range in `symbols`");
  }
  for (const InputSpec& input : metadata.inputs) {
    std::set<std::string> used;
    for (const Expr& dim : input.dims) {
      dim.collect_symbols(used);
    }
    for (const std::string& name : used) {
      if (!bound.contains(name)) {  // The text of the shape is only made where it is needed.
        require(false, code, "no input determines symbol ", name, ", which the shape ", to_string(input.dims),
                " of input \"", input.name, "\" uses");
      }
    }
  }
  for (const auto& [name, range] : metadata.symbols) {
    require(0 <= range.min && range.min <= range.max, code, "symbol ", name, " needs 0 <= min <= max, but has ",
            range.min, " and ", range.max);
  }
  require(metadata.device == "cpu" || metadata.device == "cuda", code, "device \"", metadata.device,
          "\" is neither \"cpu\" nor \"cuda\"");
}

void validate(const Metadata& metadata, ErrorCode code) {
  validate_inputs(metadata, code);
  require(!metadata.targets.empty(), code, "no targets: there is nothing to run");
}

/// Name, device, inputs and their symbols.
Metadata read_parsed_inputs(const Json& json) {
  const Node root(json, "");
  Metadata metadata;
  metadata.name = root.text("name");
  metadata.device = root.text("device");
  root.for_each("inputs", [&](const Node& node) { metadata.inputs.push_back(read_input(node)); });
  root.child("symbols").for_each_member(
      [&](const std::string& name, const Node& node) { metadata.symbols.emplace(name, read_symbol(node)); });
  return metadata;
}

Metadata read_parsed(const Json& json, std::uint64_t payload_size) {
  const Node root(json, "");
  const std::int64_t minimum_reader = root.integer("minimum_reader");
  TORCHTRT_CHECK(minimum_reader <= kFormatVersion, kVersionMismatch, "engine of format ",
                 root.integer("format_version"), ", which needs a reader of format ", minimum_reader,
                 "; this library reads up to format ", kFormatVersion, ": update torch_tensorrt's runtime");
  Metadata metadata = read_parsed_inputs(json);
  metadata.requires_output_allocator = root.flag_or("requires_output_allocator", false);
  root.for_each("outputs",
                [&](const Node& node) { metadata.outputs.push_back({node.text("name"), node.dtype(), node.dims()}); });
  Claims claims{payload_size, payload_size};
  root.for_each("targets", [&](const Node& node) { metadata.targets.push_back(read_target(node, claims)); });
  metadata.producer = root.text_map("producer");
  if (root.has("network")) {
    const Node network = root.child("network");
    metadata.network = NetworkSpec{network.text_map("settings"), read_sections(network, claims)};
  }
  validate(metadata, ErrorCode::kDataLoss);
  return metadata;
}

/// Parses with a limit on the depth, so that no later walk over the tree can exhaust the stack.
Json parse_limited(std::string_view text) {
  const auto limit_depth = [](int depth, Json::parse_event_t, Json&) {
    TORCHTRT_CHECK(depth <= kMaxDepth, kDataLoss, "engine metadata: nested deeper than ", kMaxDepth, " levels");
    return true;
  };
  return Json::parse(text.begin(), text.end(), limit_depth);
}

/// Calls `read` and says of what it throws that the text is damaged.
template <typename Read>
Metadata translate_damage(Read read) {
  try {
    return read();
  } catch (const nlohmann::json::exception& error) {
    fail(ErrorCode::kDataLoss, "engine metadata is not JSON: ", error.what());
  } catch (const Error& error) {
    // Expressions report themselves as invalid arguments; in a file they are damage.
    if (error.code() == ErrorCode::kInvalidArgument || error.code() == ErrorCode::kOutOfRange) {
      fail(ErrorCode::kDataLoss, "engine metadata: ", error.what());
    }
    throw;
  }
}

}  // namespace

std::string write_metadata(const Metadata& metadata) {
  validate(metadata, ErrorCode::kInvalidArgument);
  OrderedJson inputs = OrderedJson::array(), outputs = OrderedJson::array(), targets = OrderedJson::array(),
              symbols = OrderedJson::object();
  for (const InputSpec& input : metadata.inputs) {
    inputs.push_back(to_json(input));
  }
  for (const OutputSpec& output : metadata.outputs) {
    outputs.push_back({{"name", output.name}, {"dtype", to_string(output.dtype)}, {"shape", to_json(output.dims)}});
  }
  for (const auto& [name, range] : metadata.symbols) {
    symbols[name] = {{"min", range.min}, {"opt", range.opt}, {"max", range.max}};
  }
  for (const TargetSpec& target : metadata.targets) {
    targets.push_back(to_json(target));
  }
  OrderedJson json{{"crc32c", std::string(kChecksumDigits, '0')},
                   {"format_version", kFormatVersion},
                   {"minimum_reader", kMinimumReader},
                   {"name", metadata.name},
                   {"device", metadata.device},
                   {"inputs", std::move(inputs)},
                   {"outputs", std::move(outputs)},
                   {"symbols", std::move(symbols)},
                   {"targets", std::move(targets)},
                   {"requires_output_allocator", metadata.requires_output_allocator},
                   {"producer", metadata.producer}};
  if (metadata.network) {
    json["network"] = {{"settings", metadata.network->settings}, {"sections", to_json(metadata.network->sections)}};
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const nlohmann::json::exception& error) {
    fail(ErrorCode::kInvalidArgument, "engine metadata: a name is not valid UTF-8 (", error.what(), ")");
  }
  TORCHTRT_CHECK(text.size() <= kMaxText, kInvalidArgument, "engine metadata of ", text.size(), " bytes, at most ",
                 kMaxText, " can be stored");
  text.replace(kChecksumPrefix.size(), kChecksumDigits, hex(checksum_of(text)));
  return text;
}

Metadata read_metadata(std::string_view text, std::uint64_t payload_size) {
  TORCHTRT_CHECK(text.size() <= kMaxText, kDataLoss, "engine metadata of ", text.size(), " bytes is not plausible");
  TORCHTRT_CHECK(
      text.starts_with(kChecksumPrefix) &&
          text.substr(std::min(text.size(), kChecksumPrefix.size() + kChecksumDigits)).starts_with(kChecksumSuffix),
      kDataLoss, "not the metadata of an engine: it does not begin with a checksum");
  const std::string_view found = text.substr(kChecksumPrefix.size(), kChecksumDigits);
  const std::string computed = hex(checksum_of(text));
  TORCHTRT_CHECK(found == computed, kDataLoss, "engine metadata damaged: its checksum is ", computed, ", not ", found);
  return translate_damage([&] {
    const ExprBudget budget(text.size());
    return read_parsed(parse_limited(text), payload_size);
  });
}

Metadata read_inputs(std::string_view text) {
  TORCHTRT_CHECK(text.size() <= kMaxText, kDataLoss, "engine metadata of ", text.size(), " bytes is not plausible");
  return translate_damage([&] {
    const ExprBudget budget(text.size());
    const Json parsed = parse_limited(text);
    Metadata metadata = read_parsed_inputs(parsed);
    validate_inputs(metadata, ErrorCode::kDataLoss);
    if (const Node root(parsed, ""); root.has("guards")) {
      root.for_each("guards", [&](const Node& node) { metadata.guards.push_back(read_guard(node)); });
    }
    return metadata;
  });
}

}  // namespace torchtrt::format
