"""What `tenuto.testing` gives."""

from __future__ import annotations

import pytest

import tenuto.testing


def test_every_name_is_there() -> None:
    assert tenuto.testing.__all__ == sorted(tenuto.testing.__all__)
    for name in tenuto.testing.__all__:
        assert getattr(tenuto.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tenuto.testing.nothing
