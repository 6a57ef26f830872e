// SPDX-License-Identifier: Apache-2.0
// An operator of a user's own, with a CPU kernel: what docs/plugins.md wraps.
#include <ATen/ATen.h>
#include <torch/library.h>

namespace {

at::Tensor soft_threshold(const at::Tensor& x, double limit) { return x.sign() * (x.abs() - limit).clamp_min(0); }

}  // namespace

TORCH_LIBRARY(torchtrt_example, library) { library.def("soft_threshold(Tensor x, float limit) -> Tensor"); }
TORCH_LIBRARY_IMPL(torchtrt_example, CompositeExplicitAutograd, library) {
  library.impl("soft_threshold", &soft_threshold);
}
