// SPDX-License-Identifier: Apache-2.0
#include "compiler/exact_form.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>

#include <nlohmann/json.hpp>

#include <torchtrt/backend/properties.h>
#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

#include "converters/operator_call.h"

namespace torchtrt::compiler {
namespace {

using Json = nlohmann::ordered_json;
using Bytes = std::span<const std::byte>;

// The dispatcher's name of what computes the node here.
std::string exact_operator(const std::string& target) {
  // A view of what eager has laid out otherwise may need a copy; the elements are the same.
  if (target == "aten.view.default" || target == "aten._unsafe_view.default") return "aten::reshape";
  std::optional<std::string> name = converters::operator_name(target);
  TORCHTRT_CHECK(name.has_value(), kUnsupported, target, " is no overload of an operator");
  return *std::move(name);
}

Json to_json(const Dims& dims) {
  Json result = Json::array();
  for (const Expr& dim : dims) result.push_back(dim.is_constant() ? Json(dim.value()) : Json(dim.str()));
  return result;
}
Json to_json(const graph::TensorMeta& meta) {
  return {{"dtype", to_string(meta.dtype)}, {"shape", to_json(meta.dims)}};
}

// Values by number: inputs, constants, then the nodes' results.
class Writer {
 public:
  explicit Writer(const graph::Graph& graph) : graph_(graph) {}

  Json write() {
    Json inputs = Json::array(), constants = Json::array(), nodes = Json::array(), outputs = Json::array();
    for (const graph::Input& input : graph_.inputs) {
      Json written = to_json(input.meta);
      written["name"] = input.name;
      if (!input.shape_symbol.empty()) {
        written["shape_symbol"] = input.shape_symbol;
        known_.insert(input.shape_symbol);
      }
      inputs.push_back(std::move(written));
      add(input.name, &input.meta);
    }
    for (const graph::Constant& constant : graph_.constants) {
      constants.push_back(to_json(constant.meta));
      add(constant.name, nullptr);
    }
    for (const graph::Node& node : graph_.nodes) nodes.push_back(write(node));
    for (const std::string& output : graph_.outputs) outputs.push_back(numbers_.at(output));
    return {{"inputs", std::move(inputs)},
            {"constants", std::move(constants)},
            {"sizes", sizes_},
            {"nodes", std::move(nodes)},
            {"outputs", std::move(outputs)}};
  }

 private:
  void add(const std::string& name, const graph::TensorMeta* meta) {
    numbers_.emplace(name, numbers_.size());
    for (std::size_t i = 0; meta != nullptr && i < meta->dims.size(); ++i) {
      if (meta->dims[i].is_symbol()) known_.insert(meta->dims[i].symbol_name());
    }
  }

  Json write(const graph::Node& node) {
    Json arguments = Json::array(), keywords = Json::object(), results = Json::array();
    for (const graph::Argument& argument : node.args) arguments.push_back(write(argument));
    for (const auto& [name, argument] : node.kwargs) keywords[name] = write(argument);
    for (const graph::Node::Output& output : node.outputs) {
      results.push_back(output.meta ? to_json(*output.meta) : Json(nullptr));
      add(output.name, output.meta ? &*output.meta : nullptr);
    }
    Json written{{"name", node.name}, {"operator", exact_operator(node.target)}, {"arguments", std::move(arguments)}};
    if (!keywords.empty()) written["keywords"] = std::move(keywords);
    written["results"] = std::move(results);
    return written;
  }

  Json write(const graph::Argument& argument) {
    return converters::write_argument<Json>(argument, [this](const auto& value) { return number_of(value); });
  }
  std::size_t number_of(const Expr& value) {
    std::set<std::string> used;
    value.collect_symbols(used);
    for (const std::string& symbol : used) {
      TORCHTRT_CHECK(known_.contains(symbol), kUnsupported, "nothing in the graph determines ", symbol);
    }
    const auto [found, inserted] = size_numbers_.try_emplace(value.str(), sizes_.size());
    if (inserted) sizes_.push_back(value.str());
    return found->second;
  }
  [[nodiscard]] std::size_t number_of(const graph::Ref& value) const { return numbers_.at(value.name); }

  const graph::Graph& graph_;
  std::unordered_map<std::string, std::size_t> numbers_;
  std::map<std::string, std::size_t> size_numbers_;
  Json sizes_ = Json::array();
  std::set<std::string> known_;  // symbols whose values a run knows by now
};

// Where the package has these elements, or may have them.
class Finder {
 public:
  Finder(const std::vector<StoredConstants>& stored, Bytes payload) : stored_(stored), payload_(payload) {
    for (std::size_t i = 0; i < stored.size(); ++i) {
      for (const StoredConstants::Place& place : stored[i].places) {
        const format::SectionSpec& section = stored[i].section;
        if (place.offset <= section.size && place.size <= section.size - place.offset) {
          by_size_[place.size].push_back({i, place.offset});
        }
      }
    }
  }
  struct Found {
    std::size_t stored = 0;
    std::uint64_t offset = 0;
  };
  [[nodiscard]] std::optional<Found> find(Bytes bytes) const {
    const auto places = by_size_.find(bytes.size());
    if (places == by_size_.end() || bytes.empty()) return std::nullopt;
    for (const Found& place : places->second) {
      const std::byte* there = payload_.data() + stored_[place.stored].section.offset + place.offset;
      if (std::memcmp(there, bytes.data(), bytes.size()) == 0) return place;
    }
    return std::nullopt;
  }

 private:
  const std::vector<StoredConstants>& stored_;
  Bytes payload_;
  std::map<std::uint64_t, std::vector<Found>> by_size_;
};

std::string section_name(const StoredConstants& stored) { return stored.target + "." + stored.section.name; }

}  // namespace

std::optional<ExactForm> ExactForm::of(const graph::Graph& graph, const std::string& torch_version) {
  try {
    ExactForm form;
    form.program_ = Writer(graph).write().dump();
    form.producer_ = "PyTorch " + torch_version;
    for (const graph::Constant& constant : graph.constants) {
      const auto* data = static_cast<const std::byte*>(constant.weights.data.get());
      form.constants_.push_back({constant.weights.data, {data, constant.weights.bytes}});
    }
    return form;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupported) throw;
    TORCHTRT_LOG(kInfo, "engine \"", graph.name, "\" is packed without its exact form: ", error.what());
    return std::nullopt;
  }
}

std::optional<ExactForm> ExactForm::of(const format::Metadata& metadata, Bytes payload) {
  const auto target = std::find_if(metadata.targets.begin(), metadata.targets.end(),
                                   [](const auto& one) { return one.backend == backend::kExactBackend; });
  if (target == metadata.targets.end()) return std::nullopt;
  std::map<std::string, Bytes> sections;
  for (const format::SectionSpec& section : target->sections) {
    format::verify_checksum(section, payload, metadata.name);
    sections[section.name] = format::section_bytes(section, payload);
  }
  try {
    const Bytes text = sections.at(backend::kExactProgramSection);
    Json program = Json::parse(reinterpret_cast<const char*>(text.data()),
                               reinterpret_cast<const char*>(text.data() + text.size()));
    ExactForm form;
    form.producer_ = target->producer;
    for (Json& constant : program.at("constants")) {
      std::uint64_t size = 0;
      const auto dtype = parse_dtype(constant.at("dtype").get<std::string>());
      if (dtype) size = size_of(*dtype);
      const Bytes section = sections.at(constant.at("section").get<std::string>());
      const Json& shape = constant.at("shape");
      if (std::find(shape.begin(), shape.end(), 0) != shape.end()) size = 0;
      for (const Json& dim : shape) {
        const auto extent = dim.get<std::uint64_t>();
        TORCHTRT_CHECK(extent == 0 || size <= section.size() / extent, kDataLoss, "a constant exceeds its section");
        size *= extent;
      }
      const auto offset = constant.at("offset").get<std::uint64_t>();
      TORCHTRT_CHECK(dtype && offset <= section.size() && size <= section.size() - offset, kDataLoss,
                     "a constant exceeds its section");
      form.constants_.push_back({nullptr, section.subspan(offset, size)});
      constant.erase("section");
      constant.erase("offset");
    }
    form.program_ = program.dump();
    return form;
  } catch (const std::exception& error) {
    fail(ErrorCode::kDataLoss, "engine \"", metadata.name, "\": its exact form is damaged: ", error.what());
  }
}

format::TargetSpec ExactForm::write(format::PayloadWriter& payload, const std::vector<StoredConstants>& stored) const {
  format::TargetSpec target{backend::kExactBackend, producer_, {}, {}};
  Json program = Json::parse(program_);
  std::vector<bool> used(stored.size(), false);
  std::vector<Bytes> own;
  std::uint64_t own_size = 0;
  std::map<std::pair<const void*, std::size_t>, std::uint64_t> own_places;  // storage that several share once
  {
    const Finder finder(stored, payload.bytes());
    for (std::size_t i = 0; i < constants_.size(); ++i) {
      const Bytes bytes = constants_[i].bytes;
      Json& constant = program["constants"][i];
      if (const auto found = finder.find(bytes)) {
        used[found->stored] = true;
        constant["section"] = section_name(stored[found->stored]);
        constant["offset"] = found->offset;
        continue;
      }
      const auto [place, inserted] = own_places.try_emplace({bytes.data(), bytes.size()}, own_size);
      if (inserted) {
        own.push_back(bytes);
        own_size +=
            (bytes.size() + format::kSectionAlignment - 1) / format::kSectionAlignment * format::kSectionAlignment;
      }
      constant["section"] = backend::kExactConstantsSection;
      constant["offset"] = place->second;
    }
  }
  const std::string text = program.dump();
  target.sections.push_back(payload.append(backend::kExactProgramSection, std::as_bytes(std::span(text))));
  if (!own.empty()) target.sections.push_back(payload.append_parts(backend::kExactConstantsSection, own));
  for (std::size_t i = 0; i < stored.size(); ++i) {
    if (!used[i]) continue;
    format::SectionSpec section = stored[i].section;
    section.name = section_name(stored[i]);
    target.sections.push_back(std::move(section));
  }
  return target;
}

}  // namespace torchtrt::compiler
