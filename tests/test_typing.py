"""The protocols of collections."""

from __future__ import annotations

import pytest

from oxidask import delayed
from oxidask.base import DaskMethodsMixin
from oxidask.typing import DaskCollection, HLGDaskCollection


class Collection(DaskMethodsMixin):
    def __dask_graph__(self):
        return {"x": 1}

    def __dask_keys__(self):
        return ["x"]

    def __dask_postcompute__(self):
        return list, ()

    def __dask_postpersist__(self):
        return type(self), ()

    def __dask_tokenize__(self):
        return "x"


class WithLayers(Collection):
    def __dask_layers__(self):
        return ("x",)


@pytest.mark.covers("typing.DaskCollection")
def test_what_has_the_methods_is_a_dask_collection():
    assert isinstance(Collection(), DaskCollection)
    assert isinstance(delayed(1), DaskCollection)
    for other in [1, "x", {}, DaskMethodsMixin()]:
        assert not isinstance(other, DaskCollection)


@pytest.mark.covers("typing.HLGDaskCollection")
def test_what_tells_its_layers_too_is_an_hlg_dask_collection():
    assert isinstance(WithLayers(), HLGDaskCollection)
    assert isinstance(delayed(1), HLGDaskCollection)
    assert not isinstance(Collection(), HLGDaskCollection)


def test_a_class_that_inherits_the_protocol_must_have_all_methods():
    class Incomplete(DaskCollection):
        def __dask_graph__(self):
            return {}

    with pytest.raises(TypeError, match="abstract"):
        Incomplete()
