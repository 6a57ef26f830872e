// SPDX-License-Identifier: Apache-2.0
#include "converters/rearrange.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

namespace torchtrt::converters {
namespace {

using network::Layer;
using network::Shuffle;
using Permutation = std::vector<std::int64_t>;

bool is_one(const Expr& dim) { return dim == Expr(1); }

bool is_identity(const Permutation& permutation) {
  for (std::size_t i = 0; i < permutation.size(); ++i) {
    if (permutation[i] != static_cast<std::int64_t>(i)) return false;
  }
  return true;
}

template <typename T>
std::vector<T> permuted(const std::vector<T>& values, const Permutation& permutation) {
  std::vector<T> result;
  for (const std::int64_t axis : permutation) result.push_back(values[static_cast<std::size_t>(axis)]);
  return result;
}

struct Source {
  ValueId value;
  Permutation permutation;
};

// What x is the transpose of, if it is nothing but one.
std::optional<Source> transpose_source(const Network& net, ValueId x) {
  const Layer* layer = net.producer(x);
  const auto* shuffle = layer == nullptr ? nullptr : std::get_if<Shuffle>(&layer->op);
  if (shuffle == nullptr || shuffle->reshape || !shuffle->second_transpose.empty()) return std::nullopt;
  return Source{layer->inputs[0], shuffle->first_transpose};
}

// What x is the reshape of, if it is nothing but one.
std::optional<ValueId> reshape_source(const Network& net, ValueId x) {
  const Layer* layer = net.producer(x);
  const auto* shuffle = layer == nullptr ? nullptr : std::get_if<Shuffle>(&layer->op);
  if (shuffle == nullptr || !shuffle->reshape || !shuffle->first_transpose.empty() ||
      !shuffle->second_transpose.empty()) {
    return std::nullopt;
  }
  return layer->inputs[0];
}

// A transpose that takes dimensions `order` (of those that are not 1) one after the other, and leaves each dimension of 1
// where it is. `fixed[i]`: whether dimension i is 1.
Permutation around_ones(const std::vector<bool>& fixed, const std::vector<std::int64_t>& order) {
  Permutation permutation;
  auto next = order.begin();
  for (std::size_t i = 0; i < fixed.size(); ++i) {
    permutation.push_back(fixed[i] ? static_cast<std::int64_t>(i) : *next++);
  }
  return permutation;
}

// reshape(transpose(x)) as transpose(reshape(x)): possible where the reshape splits dimensions (and adds or drops ones),
// but merges none.
struct Swapped {
  Dims dims;
  Permutation permutation;
};
std::optional<Swapped> swap(const Dims& before, const Permutation& permutation, const Dims& to) {
  // parts[d]: the dimensions of `to` other than 1 that dimension d of `before` is split into.
  std::vector<std::vector<std::size_t>> parts(before.size());
  std::size_t next = 0;
  for (const std::int64_t axis : permutation) {
    const Expr& whole = before[static_cast<std::size_t>(axis)];
    if (is_one(whole)) continue;
    for (Expr product(1); product != whole; ++next) {
      if (next == to.size()) return std::nullopt;
      product = product * to[next];
      if (!is_one(to[next])) parts[static_cast<std::size_t>(axis)].push_back(next);
    }
  }
  if (!std::all_of(to.begin() + static_cast<std::ptrdiff_t>(next), to.end(), is_one)) return std::nullopt;

  Swapped result{to, Permutation(to.size())};
  std::size_t place = 0;
  const auto skip_ones = [&] {
    for (; place < to.size() && is_one(to[place]); ++place)
      result.permutation[place] = static_cast<std::int64_t>(place);
  };
  for (const std::vector<std::size_t>& part : parts) {
    for (const std::size_t index : part) {
      skip_ones();
      result.dims[place] = to[index];
      result.permutation[index] = static_cast<std::int64_t>(place++);
    }
  }
  skip_ones();
  return result;
}

}  // namespace

ValueId reshaped(Network& net, ValueId x, Dims dims) {
  for (std::optional<ValueId> source = x; source; source = reshape_source(net, x)) {
    x = *source;
    if (net.value(x).dims == dims) return x;
  }
  if (const std::optional<Source> source = transpose_source(net, x)) {
    if (auto swapped = swap(net.value(source->value).dims, source->permutation, dims)) {
      const ValueId split = reshaped(net, source->value, std::move(swapped->dims));
      return transposed(net, split, std::move(swapped->permutation));
    }
  }
  return net.add_reshape(x, std::move(dims));
}

ValueId transposed(Network& net, ValueId x, Permutation permutation) {
  if (const std::optional<Source> source = transpose_source(net, x)) {
    permutation = permuted(source->permutation, permutation);
    x = source->value;
  }
  if (is_identity(permutation)) return x;
  const Dims dims = net.value(x).dims;
  std::vector<bool> fixed;
  std::transform(dims.begin(), dims.end(), std::back_inserter(fixed), is_one);
  std::vector<std::int64_t> order;
  std::copy_if(permutation.begin(), permutation.end(), std::back_inserter(order),
               [&](std::int64_t axis) { return !fixed[static_cast<std::size_t>(axis)]; });
  const Permutation plain = around_ones(fixed, order);
  Dims result = permuted(dims, permutation);
  if (is_identity(plain)) return reshaped(net, x, std::move(result));
  const ValueId moved = net.add_transpose(x, plain);
  return plain == permutation ? moved : net.add_reshape(moved, std::move(result));
}

ValueId taken_at(Network& net, ValueId x, std::int64_t axis, const Expr& index) {
  const auto take = [&](ValueId from, std::size_t at) {
    Dims size = net.value(from).dims;
    Dims start(size.size(), Expr(0));
    start[at] = index;
    size[at] = Expr(1);
    std::vector<std::int64_t> stride(size.size(), 1);
    return net.add_slice(from, std::move(start), std::move(size), std::move(stride));
  };
  if (is_one(net.value(x).dims[static_cast<std::size_t>(axis)])) return x;
  if (const std::optional<Source> source = transpose_source(net, x)) {
    const std::int64_t original = source->permutation[static_cast<std::size_t>(axis)];
    std::vector<std::int64_t> rest;
    for (const std::int64_t other : source->permutation) {
      if (other != original && !is_one(net.value(source->value).dims[static_cast<std::size_t>(other)])) {
        rest.push_back(other);
      }
    }
    if (std::is_sorted(rest.begin(), rest.end())) {
      return transposed(net, take(source->value, static_cast<std::size_t>(original)), source->permutation);
    }
  }
  return take(x, static_cast<std::size_t>(axis));
}

}  // namespace torchtrt::converters
