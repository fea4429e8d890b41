"""Full garbage collections stay short, and replaced models are freed all the same."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.serve.garbage import set_aside
from quantum_trader.serve.service.app import create_app
from quantum_trader.serve.service.runtime import Runtime

from .service.services import SOON_S, WARM, FakeModels, asking, model_folder, past, unhurried, warm_desk


@pytest.fixture
def thawed() -> Iterator[None]:
    """Other tests find the collector as it was."""
    yield
    gc.unfreeze()


class Ring:
    """Refers to itself: only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_set_aside_is_not_looked_at_again(thawed: None) -> None:
    """What is there is left alone by collections; garbage of before and of after is freed."""
    before, kept = weakref.ref(Ring()), Ring()
    set_aside()
    assert before() is None
    assert gc.get_freeze_count() > 10_000
    assert not any(each is kept for each in gc.get_objects())
    after = weakref.ref(Ring())
    gc.collect()
    assert after() is None


def test_what_was_set_aside_is_freed_the_next_time(thawed: None) -> None:
    """Rings among it, too, such as models that others have replaced."""
    old = Ring()
    seen = weakref.ref(old)
    set_aside()
    del old
    gc.collect()
    assert seen() is not None
    set_aside()
    assert seen() is None


def test_it_is_told_of_models_that_are_taken_into_use(tmp_path: Path) -> None:
    """Before the first request is decided on, after every reload, and not after one that is refused."""
    told: list[str] = []
    models = FakeModels(model_folder(tmp_path / "first", "one"))

    async def session() -> None:
        app = create_app(
            None,
            unhurried(),
            opener=lambda: warm_desk("A"),
            models=models.folders(),
            on_models=lambda: told.append("models"),
        )
        async with asking(app) as client:
            while (await client.get("/ready")).status_code == 503:
                await asyncio.sleep(0.01)
            assert told == ["models"]
            assert (await client.post("/v1/models/reload")).status_code == 200
            assert told == ["models", "models"]
            (tmp_path / "first" / "arbiter.json").write_text("damaged")
            assert (await client.post("/v1/models/reload")).status_code == 409
            assert told == ["models", "models"]

    asyncio.run(session())


def test_replaced_models_are_freed_at_once(tmp_path: Path, thawed: None) -> None:
    """A reload leaves one set of models in memory, not two."""
    desk = warm_desk("A")
    desk.decide({"A": past(1, start=WARM)[0]})
    replaced = weakref.ref(desk.arbiter)
    runtime = Runtime(
        unhurried(),
        desk,
        models=FakeModels(model_folder(tmp_path / "first", "one")).folders(),
        on_models=set_aside,
    )
    runtime.reload(None)
    assert replaced() is None
    runtime.close()


def test_a_signal_during_a_reload_means_another_one(tmp_path: Path) -> None:
    """Two signals while models are being loaded are one more reload, once those are loaded."""
    models = FakeModels(model_folder(tmp_path / "first", "one")).folders()
    runtime = Runtime(unhurried(), warm_desk("A"), models=models)
    begun, go, names = threading.Event(), threading.Event(), list[object]()
    load = models.load

    def slowly(name: str | None) -> Arbiter:
        names.append(name)
        begun.set()
        assert go.wait(SOON_S)
        return load(name)

    models.load = slowly  # type: ignore[method-assign]
    runtime.reload_in_background()
    assert begun.wait(SOON_S)
    runtime.reload_in_background()
    runtime.reload_in_background()
    go.set()
    for thread in list(runtime._threads):
        thread.join(SOON_S)
    assert names == [None, None]
    runtime.close()
