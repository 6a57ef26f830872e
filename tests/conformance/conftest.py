# SPDX-License-Identifier: Apache-2.0
import pytest

from torch_tensorrt.dynamo import _known


@pytest.fixture(params=[True, False], ids=["pytorch", "engine"])
def by_pytorch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether PyTorch computes it, or, as if it were large, the engine."""
    if not request.param:
        monkeypatch.setattr(_known, "_MOST_ELEMENTS", 0)
    return bool(request.param)
