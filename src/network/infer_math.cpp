// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "network/operands.h"

namespace torchtrt::network {

ValueTypes infer_types(const Operands& in, const MatrixMultiply& op) {
  in.require_count(2);
  in.require_same_dtype(0, 1);
  in.require_floating(0);
  Dims a = in.dims(0);
  Dims b = in.dims(1);
  if (a.size() < 2 || a.size() != b.size()) {
    in.require(false, "takes two operands of the same rank >= 2, not ", to_string(a), " and ", to_string(b));
  }
  const std::size_t rank = a.size();
  if (op.op_a == MatrixOperation::kTranspose) std::swap(a[rank - 1], a[rank - 2]);
  if (op.op_b == MatrixOperation::kTranspose) std::swap(b[rank - 1], b[rank - 2]);
  in.require_equal(a[rank - 1], b[rank - 2], "inner dimensions");
  Dims result = in.broadcast(Dims(a.begin(), a.end() - 2), Dims(b.begin(), b.end() - 2));
  result.push_back(a[rank - 2]);
  result.push_back(b[rank - 1]);
  return {{in.dtype(0), result}};
}

ValueTypes infer_types(const Operands& in, const Reduce& op) {
  in.require_count(1);
  in.require_number(0);
  in.require(op.operation != ReduceOperation::kAvg || is_floating(in.dtype(0)), "averages floating values, not ",
             to_string(in.dtype(0)));
  in.require(std::is_sorted(op.axes.begin(), op.axes.end()) &&
                 std::adjacent_find(op.axes.begin(), op.axes.end()) == op.axes.end(),
             "needs sorted, distinct axes");
  for (const std::int64_t axis : op.axes) in.require_axis(axis, in.rank(0));
  Dims result;
  for (std::size_t i = 0; i < in.rank(0); ++i) {
    if (!std::binary_search(op.axes.begin(), op.axes.end(), static_cast<std::int64_t>(i))) {
      result.push_back(in.dims(0)[i]);
    } else if (op.keep_dims) {
      result.emplace_back(1);
    }
  }
  return {{in.dtype(0), result}};
}

ValueTypes infer_types(const Operands& in, const Softmax& op) {
  in.require_count(1);
  in.require_floating(0);
  in.require_axis(op.axis, in.rank(0));
  return {{in.dtype(0), in.dims(0)}};
}

ValueTypes infer_types(const Operands& in, const TopK& op) {
  in.require_count(1);
  in.require_number(0);
  in.require_axis(op.axis, in.rank(0));
  Dims result = in.dims(0);
  Expr& along = result[static_cast<std::size_t>(op.axis)];
  in.require(!(op.k.is_constant() && along.is_constant()) || op.k.value() <= along.value(), "takes ", op.k,
             " elements of ", along);
  along = op.k;
  return {{in.dtype(0), result}, {DataType::kInt64, result}};
}

ValueTypes infer_types(const Operands& in, const CumulativeSum& op) {
  in.require_count(1);
  in.require_number(0);
  in.require_axis(op.axis, in.rank(0));
  return {{in.dtype(0), in.dims(0)}};
}

ValueTypes infer_types(const Operands& in, const Normalization& op) {
  in.require_count(1, op.kind == NormalizationKind::kRms ? 2 : 3);
  in.require_floating(0);
  const Dims& x = in.dims(0);
  Dims parameters;  // the shape of scale and bias
  if (op.kind == NormalizationKind::kGroup) {
    in.require(x.size() >= 2, "takes [n, c, ..], not ", to_string(x));
    in.require(op.groups >= 1 && (!x[1].is_constant() || x[1].value() % op.groups == 0), "cannot part ", x[1],
               " channels into ", op.groups, " groups");
    parameters = {x[1]};
  } else {
    in.require(!op.axes.empty() && op.axes.size() <= x.size(), "needs 1 to ", x.size(), " axes, not ", op.axes.size());
    for (std::size_t i = 0; i < op.axes.size(); ++i) {
      const std::size_t trailing = x.size() - op.axes.size() + i;
      in.require(op.axes[i] == static_cast<std::int64_t>(trailing), "normalizes trailing axes only");
      parameters.push_back(x[trailing]);
    }
  }
  for (std::size_t i = 1; i < in.count(); ++i) {
    in.require_same_dtype(0, i);
    in.require_equal(in.dims(i), parameters, "scale and bias of shape");
  }
  return {{in.dtype(0), x}};
}

ValueTypes infer_types(const Operands& in, const Attention&) {
  in.require_count(3, 4);
  in.require_floating(0);
  for (std::size_t i = 0; i < 3; ++i) {
    in.require_same_dtype(0, i);
    in.require_rank(i, 4, "q, k and v of shape [batch, heads, length, size]");
  }
  const Dims& q = in.dims(0);
  const Dims& k = in.dims(1);
  const Dims& v = in.dims(2);
  in.require_equal(q[0], k[0], "batch sizes of q and k");
  in.require_equal(q[0], v[0], "batch sizes of q and v");
  in.require_equal(q[3], k[3], "head sizes of q and k");
  in.require_equal(k[1], v[1], "head counts of k and v");
  in.require_equal(k[2], v[2], "lengths of k and v");
  if (q[1].is_constant() && k[1].is_constant()) {
    in.require(k[1].value() > 0 && q[1].value() % k[1].value() == 0, "needs a multiple of ", k[1], " heads in q, not ",
               q[1]);
  }
  if (in.count() == 4) {
    in.require(in.dtype(3) == DataType::kBool || in.dtype(3) == in.dtype(0), "needs a mask of bool or ",
               to_string(in.dtype(0)), ", not ", to_string(in.dtype(3)));
    in.require_broadcastable(in.dims(3), {q[0], q[1], q[2], k[2]});
  }
  return {{in.dtype(0), {q[0], q[1], q[2], v[3]}}};
}

}  // namespace torchtrt::network
