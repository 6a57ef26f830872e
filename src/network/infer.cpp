// SPDX-License-Identifier: Apache-2.0
#include "network/infer.h"

#include <algorithm>
#include <numeric>

#include <torchtrt/base/error.h>

namespace torchtrt::network {
namespace {

using Results = std::vector<ValueType>;

// The operands of one layer, with errors that name it.
class Inference {
 public:
  Inference(const Network& network, const Layer& layer) : network_(network), layer_(layer) {}

  Results operator()(const Constant& op) const {
    operands(0);
    require(op.weights != nullptr, "has no elements");
    if (is_static(op.dims)) {
      const auto expected = static_cast<std::size_t>(volume(op.dims).value()) * size_of(op.dtype);
      require(op.weights->bytes == expected, "has ", op.weights->bytes, " bytes, its shape ", to_string(op.dims), " and dtype ",
              to_string(op.dtype), " need ", expected);
    } else {
      require(false, "has a shape that is not static: ", to_string(op.dims));
    }
    return {{op.dtype, op.dims}};
  }
  Results operator()(const Activation&) const {
    operands(1);
    require_floating(0);
    return {{dtype(0), dims(0)}};
  }
  Results operator()(const Unary& op) const {
    operands(1);
    switch (op.operation) {
      case UnaryOperation::kNot: require(dtype(0) == DataType::kBool, "takes bool, not ", to_string(dtype(0))); break;
      case UnaryOperation::kAbs:
      case UnaryOperation::kNeg:
      case UnaryOperation::kSign: require(dtype(0) != DataType::kBool, "does not take bool"); break;
      case UnaryOperation::kIsInf:
      case UnaryOperation::kIsNan: require_floating(0); return {{DataType::kBool, dims(0)}};
      default: require_floating(0);
    }
    return {{dtype(0), dims(0)}};
  }
  Results operator()(const ElementWise& op) const {
    operands(2);
    require_same_dtype(0, 1);
    const bool logical = op.operation == ElementWiseOperation::kAnd || op.operation == ElementWiseOperation::kOr ||
                         op.operation == ElementWiseOperation::kXor;
    const bool comparison = op.operation == ElementWiseOperation::kEqual ||
                            op.operation == ElementWiseOperation::kGreater || op.operation == ElementWiseOperation::kLess;
    require(!logical || dtype(0) == DataType::kBool, "takes bool, not ", to_string(dtype(0)));
    require(logical || op.operation == ElementWiseOperation::kEqual || dtype(0) != DataType::kBool, "does not take bool");
    return {{logical || comparison ? DataType::kBool : dtype(0), broadcast(dims(0), dims(1))}};
  }
  Results operator()(const MatrixMultiply& op) const {
    operands(2);
    require_same_dtype(0, 1);
    require_floating(0);
    require(rank(0) >= 2 && rank(0) == rank(1), "takes two operands of the same rank >= 2, not ", to_string(dims(0)), " and ",
            to_string(dims(1)));
    Dims a = dims(0);
    Dims b = dims(1);
    const std::size_t r = a.size();
    if (op.op_a == MatrixOperation::kTranspose) std::swap(a[r - 1], a[r - 2]);
    if (op.op_b == MatrixOperation::kTranspose) std::swap(b[r - 1], b[r - 2]);
    require_equal(a[r - 1], b[r - 2], "inner dimensions");
    Dims result = broadcast(Dims(a.begin(), a.end() - 2), Dims(b.begin(), b.end() - 2));
    result.push_back(a[r - 2]);
    result.push_back(b[r - 1]);
    return {{dtype(0), result}};
  }
  Results operator()(const Convolution& op) const {
    const std::size_t spatial = check_convolution(op.stride, op.dilation, op.pre_padding, op.post_padding, op.groups);
    require_equal(dims(1)[1] * Expr(op.groups), dims(0)[1], "input channels / groups");
    Dims result{dims(0)[0], dims(1)[0]};
    for (std::size_t i = 0; i < spatial; ++i) {
      const Expr reach = (dims(1)[i + 2] - 1) * Expr(op.dilation[i]) + 1;
      const Expr room = dims(0)[i + 2] + Expr(op.pre_padding[i] + op.post_padding[i]) - reach;
      result.push_back(floor_div(room, Expr(op.stride[i])) + 1);
    }
    return {{dtype(0), result}};
  }
  Results operator()(const Deconvolution& op) const {
    const std::size_t spatial = check_convolution(op.stride, op.dilation, op.pre_padding, op.post_padding, op.groups);
    require(op.output_padding.size() == spatial, "needs ", spatial, " output paddings");
    require_equal(dims(1)[0], dims(0)[1], "input channels");
    Dims result{dims(0)[0], dims(1)[1] * Expr(op.groups)};
    for (std::size_t i = 0; i < spatial; ++i) {
      result.push_back((dims(0)[i + 2] - 1) * Expr(op.stride[i]) - Expr(op.pre_padding[i] + op.post_padding[i]) +
                       (dims(1)[i + 2] - 1) * Expr(op.dilation[i]) + Expr(op.output_padding[i]) + 1);
    }
    return {{dtype(0), result}};
  }
  Results operator()(const Pooling& op) const {
    operands(1);
    const std::size_t spatial = op.window.size();
    require(spatial >= 1 && spatial <= 3 && rank(0) == spatial + 2, "takes [n, c, ", spatial, " spatial dims], not ",
            to_string(dims(0)));
    require(op.stride.size() == spatial && op.dilation.size() == spatial && op.pre_padding.size() == spatial &&
                op.post_padding.size() == spatial,
            "needs ", spatial, " strides, dilations and paddings");
    require(op.type == PoolingType::kMax || is_floating(dtype(0)), "averages floating values only");
    Dims result{dims(0)[0], dims(0)[1]};
    for (std::size_t i = 0; i < spatial; ++i) {
      const Expr size = dims(0)[i + 2];
      const Expr reach((op.window[i] - 1) * op.dilation[i] + 1);
      const Expr room = size + Expr(op.pre_padding[i] + op.post_padding[i]) - reach;
      const Expr stride(op.stride[i]);
      if (!op.ceil_mode) {
        result.push_back(floor_div(room, stride) + 1);
        continue;
      }
      // As many windows as start before the end of the input or of the left padding (PyTorch's rule).
      const Expr windows = floor_div(room + stride - 1, stride) + 1;
      const Expr starting_inside = floor_div(size + Expr(op.pre_padding[i]) - 1, stride) + 1;
      result.push_back(min(windows, starting_inside));
    }
    return {{dtype(0), result}};
  }
  Results operator()(const Reduce& op) const {
    operands(1);
    require(dtype(0) != DataType::kBool, "does not take bool");
    require(op.operation != ReduceOperation::kAvg || is_floating(dtype(0)), "averages floating values only");
    require(std::is_sorted(op.axes.begin(), op.axes.end()) &&
                std::adjacent_find(op.axes.begin(), op.axes.end()) == op.axes.end(),
            "needs sorted, distinct axes");
    for (const std::int64_t axis : op.axes) require_axis(axis, rank(0));
    Dims result;
    for (std::size_t i = 0; i < rank(0); ++i) {
      if (!std::binary_search(op.axes.begin(), op.axes.end(), static_cast<std::int64_t>(i))) {
        result.push_back(dims(0)[i]);
      } else if (op.keep_dims) {
        result.emplace_back(1);
      }
    }
    return {{dtype(0), result}};
  }
  Results operator()(const Softmax& op) const {
    operands(1);
    require_floating(0);
    require_axis(op.axis, rank(0));
    return {{dtype(0), dims(0)}};
  }
  Results operator()(const TopK& op) const {
    operands(1);
    require_axis(op.axis, rank(0));
    Dims result = dims(0);
    Expr& along = result[static_cast<std::size_t>(op.axis)];
    require(!(op.k.is_constant() && along.is_constant()) || op.k.value() <= along.value(), "takes ", op.k, " of ", along);
    along = op.k;
    return {{dtype(0), result}, {DataType::kInt64, result}};
  }
  Results operator()(const Gather& op) const {
    operands(2);
    require_index(1);
    const Dims& data = dims(0);
    const Dims& indices = dims(1);
    switch (op.mode) {
      case GatherMode::kDefault: {
        require_axis(op.axis, data.size());
        Dims result(data.begin(), data.begin() + op.axis);
        result.insert(result.end(), indices.begin(), indices.end());
        result.insert(result.end(), data.begin() + op.axis + 1, data.end());
        return {{dtype(0), result}};
      }
      case GatherMode::kElement:
        require_axis(op.axis, data.size());
        require(data.size() == indices.size(), "needs indices of rank ", data.size(), ", not ", to_string(indices));
        return {{dtype(0), indices}};
      case GatherMode::kNd: break;
    }
    require(!indices.empty() && indices.back().is_constant() &&
                indices.back().value() <= static_cast<std::int64_t>(data.size()),
            "needs indices whose last dimension is static and at most ", data.size(), ", not ", to_string(indices));
    Dims result(indices.begin(), indices.end() - 1);
    result.insert(result.end(), data.begin() + indices.back().value(), data.end());
    return {{dtype(0), result}};
  }
  Results operator()(const Scatter& op) const {
    operands(3);
    require_index(1);
    require(dtype(2) == dtype(0), "needs updates of dtype ", to_string(dtype(0)), ", not ", to_string(dtype(2)));
    if (op.mode == ScatterMode::kElement) {
      require_axis(op.axis, rank(0));
      require(rank(1) == rank(0) && rank(2) == rank(0), "needs indices and updates of rank ", rank(0));
    }
    return {{dtype(0), dims(0)}};
  }
  Results operator()(const Slice& op) const {
    require(layer_.inputs.size() == 1 || (layer_.inputs.size() == 2 && op.mode == SliceMode::kFill), "takes one operand");
    require(op.start.size() == rank(0) && op.size.size() == rank(0) && op.stride.size() == rank(0), "needs ", rank(0),
            " starts, sizes and strides");
    if (layer_.inputs.size() == 2) require_same_dtype(0, 1);
    for (std::size_t i = 0; i < rank(0); ++i) {
      require(op.stride[i] != 0, "has stride 0 (broadcast is a layer of its own)");
      if (op.mode == SliceMode::kStrict && op.start[i].is_constant() && op.size[i].is_constant() &&
          dims(0)[i].is_constant() && op.size[i].value() > 0) {
        const std::int64_t first = op.start[i].value();
        const std::int64_t last = first + (op.size[i].value() - 1) * op.stride[i];
        require(std::min(first, last) >= 0 && std::max(first, last) < dims(0)[i].value(), "reads elements ", first, "..", last,
                " of dimension ", i, " of size ", dims(0)[i]);
      }
    }
    return {{dtype(0), op.size}};
  }
  Results operator()(const Shuffle& op) const {
    operands(1);
    Dims result = permute(dims(0), op.first_transpose);
    if (op.reshape) {
      const Expr before = volume(result);
      const Expr after = volume(*op.reshape);
      require(!(before.is_constant() && after.is_constant()) || before == after, "cannot reshape ", to_string(result), " to ",
              to_string(*op.reshape));
      result = *op.reshape;
    }
    return {{dtype(0), permute(result, op.second_transpose)}};
  }
  Results operator()(const Broadcast& op) const {
    operands(1);
    require(rank(0) <= op.dims.size(), "cannot broadcast ", to_string(dims(0)), " to ", to_string(op.dims));
    const std::size_t offset = op.dims.size() - rank(0);
    for (std::size_t i = 0; i < rank(0); ++i) {
      if (dims(0)[i] != Expr(1)) require_equal(dims(0)[i], op.dims[i + offset], "broadcast dimensions");
    }
    return {{dtype(0), op.dims}};
  }
  Results operator()(const Concatenation& op) const {
    require(!layer_.inputs.empty(), "needs an operand");
    require_axis(op.axis, rank(0));
    Dims result = dims(0);
    for (std::size_t i = 1; i < layer_.inputs.size(); ++i) {
      require_same_dtype(0, i);
      require(rank(i) == rank(0), "needs operands of one rank, not ", to_string(dims(0)), " and ", to_string(dims(i)));
      for (std::size_t d = 0; d < result.size(); ++d) {
        if (d == static_cast<std::size_t>(op.axis)) {
          result[d] = result[d] + dims(i)[d];
        } else {
          require_equal(result[d], dims(i)[d], "dimensions");
        }
      }
    }
    return {{dtype(0), result}};
  }
  Results operator()(const Select&) const {
    operands(3);
    require(dtype(0) == DataType::kBool, "needs a bool condition, not ", to_string(dtype(0)));
    require_same_dtype(1, 2);
    return {{dtype(1), broadcast(dims(0), broadcast(dims(1), dims(2)))}};
  }
  Results operator()(const Cast& op) const {
    operands(1);
    return {{op.to, dims(0)}};
  }
  Results operator()(const Identity&) const {
    operands(1);
    return {{dtype(0), dims(0)}};
  }
  Results operator()(const Resize& op) const {
    operands(1);
    require_floating(0);
    require(op.size.size() + 2 == rank(0) && !op.size.empty(), "needs one size per spatial dimension of ", to_string(dims(0)));
    require(op.scales.empty() || op.scales.size() == op.size.size(), "needs no scales, or one per spatial dimension");
    Dims result{dims(0)[0], dims(0)[1]};
    result.insert(result.end(), op.size.begin(), op.size.end());
    return {{dtype(0), result}};
  }
  Results operator()(const Normalization& op) const {
    require(!layer_.inputs.empty() && layer_.inputs.size() <= 3, "takes one to three operands");
    require_floating(0);
    for (std::size_t i = 1; i < layer_.inputs.size(); ++i) require_same_dtype(0, i);
    if (op.kind == NormalizationKind::kGroup) {
      require(rank(0) >= 2 && op.groups >= 1, "takes [n, c, ..] and at least one group");
      const Expr& channels = dims(0)[1];
      require(!channels.is_constant() || channels.value() % op.groups == 0, channels, " channels are no multiple of ",
              op.groups, " groups");
    } else {
      require(!op.axes.empty() && op.axes.size() <= rank(0), "needs the trailing axes");
      for (std::size_t i = 0; i < op.axes.size(); ++i) {
        require(op.axes[i] == static_cast<std::int64_t>(rank(0) - op.axes.size() + i), "normalizes trailing axes only");
      }
      require(op.kind != NormalizationKind::kRms || layer_.inputs.size() <= 2, "has no bias");
    }
    return {{dtype(0), dims(0)}};
  }
  Results operator()(const Fill& op) const {
    operands(0);
    require(op.dtype == DataType::kInt64 || op.dtype == DataType::kInt32 || op.dtype == DataType::kFloat32,
            "gives int64, int32 or float32, not ", to_string(op.dtype));
    return {{op.dtype, {op.length}}};
  }
  Results operator()(const ShapeOf& op) const {
    operands(0);
    require(!op.scalar || op.values.size() == 1, "gives one value where it is 0-d, not ", op.values.size());
    return {{DataType::kInt64, op.scalar ? Dims{} : Dims{Expr(static_cast<std::int64_t>(op.values.size()))}}};
  }
  Results operator()(const Attention&) const {
    require(layer_.inputs.size() == 3 || layer_.inputs.size() == 4, "takes q, k, v and at most a mask");
    require_floating(0);
    require_same_dtype(0, 1);
    require_same_dtype(0, 2);
    require(rank(0) == 4 && rank(1) == 4 && rank(2) == 4, "takes [b, h, l, e] operands, not ", to_string(dims(0)));
    require_equal(dims(0)[3], dims(1)[3], "head sizes");
    require_equal(dims(1)[2], dims(2)[2], "key and value lengths");
    if (layer_.inputs.size() == 4) {
      require(dtype(3) == DataType::kBool || dtype(3) == dtype(0), "needs a mask of bool or ", to_string(dtype(0)), ", not ",
              to_string(dtype(3)));
      require(rank(3) <= 4, "needs a mask of rank at most 4, not ", to_string(dims(3)));
    }
    return {{dtype(0), {dims(0)[0], dims(0)[1], dims(0)[2], dims(2)[3]}}};
  }
  Results operator()(const CumulativeSum& op) const {
    operands(1);
    require(dtype(0) != DataType::kBool, "does not take bool");
    require_axis(op.axis, rank(0));
    return {{dtype(0), dims(0)}};
  }
  Results operator()(const NonZero& op) const {
    operands(1);
    return {{DataType::kInt64, {Expr(static_cast<std::int64_t>(rank(0))), Expr::symbol(op.count_symbol)}}};
  }

 private:
  [[nodiscard]] const Value& operand(std::size_t i) const { return network_.value(layer_.inputs.at(i)); }
  [[nodiscard]] DataType dtype(std::size_t i) const { return operand(i).dtype; }
  [[nodiscard]] const Dims& dims(std::size_t i) const { return operand(i).dims; }
  [[nodiscard]] std::size_t rank(std::size_t i) const { return dims(i).size(); }

  template <typename... Parts>
  void require(bool condition, const Parts&... parts) const {
    TORCHTRT_CHECK(condition, kInvalidArgument, kind_name(layer_.op), " layer \"", layer_.name, "\" ",
                   detail::concat(parts...));
  }
  void operands(std::size_t count) const {
    require(layer_.inputs.size() == count, "takes ", count, " operands, not ", layer_.inputs.size());
  }
  void require_floating(std::size_t i) const {
    require(is_floating(dtype(i)), "takes a floating operand, not ", to_string(dtype(i)));
  }
  void require_index(std::size_t i) const {
    require(dtype(i) == DataType::kInt32 || dtype(i) == DataType::kInt64, "needs int32 or int64 indices, not ",
            to_string(dtype(i)));
  }
  void require_same_dtype(std::size_t a, std::size_t b) const {
    require(dtype(a) == dtype(b), "needs operands of one dtype, not ", to_string(dtype(a)), " and ", to_string(dtype(b)));
  }
  void require_axis(std::int64_t axis, std::size_t of_rank) const {
    require(axis >= 0 && axis < static_cast<std::int64_t>(of_rank), "has axis ", axis, ", rank is ", of_rank);
  }
  // Two dims that must be equal contradict each other only where both are known; the capture vouches for the rest.
  void require_equal(const Expr& a, const Expr& b, std::string_view what) const {
    require(!(a.is_constant() && b.is_constant()) || a == b, "needs equal ", what, ", not ", a, " and ", b);
  }
  [[nodiscard]] Dims broadcast(const Dims& a, const Dims& b) const {
    require(a.size() == b.size(), "needs operands of one rank, not ", to_string(a), " and ", to_string(b));
    Dims result;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (a[i] == Expr(1)) {
        result.push_back(b[i]);
      } else if (b[i] == Expr(1) || !b[i].is_constant()) {
        result.push_back(a[i]);
      } else {
        require_equal(a[i], b[i], "or broadcastable dimensions");
        result.push_back(b[i]);
      }
    }
    return result;
  }
  [[nodiscard]] Dims permute(const Dims& from, const std::vector<std::int64_t>& permutation) const {
    if (permutation.empty()) return from;
    std::vector<std::int64_t> sorted = permutation;
    std::sort(sorted.begin(), sorted.end());
    std::vector<std::int64_t> identity(from.size());
    std::iota(identity.begin(), identity.end(), 0);
    require(sorted == identity, "has a transpose that is no permutation of ", from.size(), " axes");
    Dims result;
    for (const std::int64_t axis : permutation) result.push_back(from[static_cast<std::size_t>(axis)]);
    return result;
  }
  // The rules that convolution and deconvolution share; returns the number of spatial dims.
  [[nodiscard]] std::size_t check_convolution(const std::vector<std::int64_t>& stride,
                                              const std::vector<std::int64_t>& dilation,
                                              const std::vector<std::int64_t>& pre,
                                              const std::vector<std::int64_t>& post, std::int64_t groups) const {
    require(layer_.inputs.size() == 2 || layer_.inputs.size() == 3, "takes x, weights and at most a bias");
    require_floating(0);
    for (std::size_t i = 1; i < layer_.inputs.size(); ++i) require_same_dtype(0, i);
    const std::size_t spatial = stride.size();
    require(spatial >= 1 && spatial <= 3 && rank(0) == spatial + 2 && rank(1) == spatial + 2, "takes [n, c, ", spatial,
            " spatial dims] and weights of that rank, not ", to_string(dims(0)), " and ", to_string(dims(1)));
    require(dilation.size() == spatial && pre.size() == spatial && post.size() == spatial && groups >= 1, "needs ", spatial,
            " dilations and paddings, and at least one group");
    return spatial;
  }

  const Network& network_;
  const Layer& layer_;
};

}  // namespace

std::vector<ValueType> infer(const Network& network, const Layer& layer) {
  const Inference inference(network, layer);
  return std::visit([&](const auto& op) { return inference(op); }, layer.op);
}

}  // namespace torchtrt::network
