"""POST /v1/models/reload: new models without a pause, damaged ones refused, no way out of the root."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.serve.service.app import create_app
from quantum_trader.serve.service.models import ModelFolders, refuse_loss

from .services import (
    SOON_S,
    WARM,
    FakeModels,
    ask,
    asking,
    bar_json,
    code_of,
    fake_arbiter,
    model_folder,
    unhurried,
    warm_desk,
)


@pytest.fixture
def models(tmp_path: Path) -> FakeModels:
    """A first folder, and a root with "new" in it and a secret beside it."""
    model_folder(tmp_path / "secret", "stolen")
    model_folder(tmp_path / "root" / "new", "new")
    return FakeModels(model_folder(tmp_path / "first", "first"), tmp_path / "root")


def app_with(models: FakeModels, journal: Path | None = None) -> FastAPI:
    return create_app(warm_desk("A", "B", journal=journal), unhurried(), models=models.folders())


def decided(answer: httpx.Response, symbol: str = "A") -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["decisions"][symbol]
    return found


def test_new_models_take_over_with_the_histories(models: FakeModels) -> None:
    """The next decision is the new models', its window is full, and it knows the last bar."""

    async def story() -> None:
        async with asking(app_with(models)) as client:
            first = await client.post("/v1/decisions", json={"bars": {"A": bar_json(WARM)}})
            assert decided(first)["model_hash"] == "fake"
            answer = await client.post("/v1/models/reload", json={"model": "new"})
            assert answer.status_code == 200
            assert answer.json()["model_hash"] == "new"
            assert answer.json()["previous_model_hash"] == "fake"
            again = await client.post("/v1/decisions", json={"bars": {"A": bar_json(WARM)}})
            assert decided(again)["reason"] == "duplicate bar"
            after = await client.post("/v1/decisions", json={"bars": {"A": bar_json(WARM + 1)}})
            assert (decided(after)["action"], decided(after)["model_hash"]) == ("BUY", "new")
            assert (await client.get("/v1/version")).json()["model"] == "new"

    asyncio.run(story())


@pytest.mark.parametrize("body", [None, {}, {"model": None}])
def test_without_a_name_the_first_folder_is_read_again(models: FakeModels, body: Any) -> None:
    """With or without a body."""
    options = {} if body is None else {"json": body}
    answer = ask(app_with(models), "POST", "/v1/models/reload", **options)
    assert (answer.status_code, answer.json()["model_hash"]) == (200, "first")


def test_the_old_models_serve_while_new_ones_load(models: FakeModels) -> None:
    """Decisions are answered meanwhile, and a second reload is refused."""
    models.waits = True

    async def story() -> None:
        async with asking(app_with(models)) as client:
            reload = asyncio.create_task(client.post("/v1/models/reload", json={"model": "new"}))
            assert await asyncio.to_thread(models.entered.wait, SOON_S)
            meanwhile = await client.post("/v1/decisions", json={"bars": {"A": bar_json(WARM)}})
            assert decided(meanwhile)["model_hash"] == "fake"
            second = await client.post("/v1/models/reload", json={"model": "new"})
            assert (second.status_code, code_of(second)) == (409, "reload_in_progress")
            models.go_on.set()
            assert (await reload).status_code == 200

    asyncio.run(story())


def test_decisions_go_on_through_many_reloads(models: FakeModels, tmp_path: Path) -> None:
    """No decision is lost, mixed or doubled while models are swapped again and again."""
    model_folder(tmp_path / "root" / "newer", "newer")
    bars = 60

    async def story() -> list[dict[str, Any]]:
        async with asking(app_with(models, tmp_path / "j.db")) as client:
            found: list[dict[str, Any]] = []
            done = asyncio.Event()

            async def swapping() -> None:
                names = ["new", "newer"]
                while not done.is_set():
                    answer = await client.post("/v1/models/reload", json={"model": names[0]})
                    assert answer.status_code == 200
                    names.reverse()

            swaps = asyncio.create_task(swapping())
            async with asyncio.timeout(SOON_S):
                # A reload may take as long as many decisions.
                while len(found) < bars or not {"new", "newer"} <= {each["model_hash"] for each in found}:
                    bar = bar_json(WARM + len(found))
                    answer = await client.post("/v1/decisions", json={"bars": {"A": bar}})
                    found.append(decided(answer))
                    assert not swaps.done()
            done.set()
            await swaps
            return found

    found = asyncio.run(story())
    assert {each["action"] for each in found} == {"BUY"}
    assert all(each["journaled"] for each in found)
    assert [each["timestamp"] for each in found] == [
        bar_json(WARM + k)["timestamp"] for k in range(len(found))
    ]


@pytest.mark.parametrize("damage", ["", "{", '{"hash": ', '{"other": 1}', "\x00" * 100])
def test_files_damaged_between_reloads_leave_the_old_models(models: FakeModels, damage: str) -> None:
    """409 in one sentence; the next decision is the old models'; mended, they load."""
    file = models.first.parent / "root" / "new" / "arbiter.json"
    whole = file.read_text()

    async def story() -> None:
        async with asking(app_with(models)) as client:
            file.write_text(damage)
            answer = await client.post("/v1/models/reload", json={"model": "new"})
            assert (answer.status_code, code_of(answer)) == (409, "reload_failed")
            after = await client.post("/v1/decisions", json={"bars": {"A": bar_json(WARM)}})
            assert (decided(after)["action"], decided(after)["model_hash"]) == ("BUY", "fake")
            file.write_text(whole)
            assert (await client.post("/v1/models/reload", json={"model": "new"})).status_code == 200

    asyncio.run(story())


def test_models_that_fail_their_check_are_refused(models: FakeModels) -> None:
    """409 with the check's own sentence."""

    def check(arbiter: Arbiter) -> None:
        raise ModelFolderError("The tft model answers NaN.")

    folders = ModelFolders(models.first, None, load=lambda folder: fake_arbiter("never"), check=check)
    answer = ask(
        create_app(warm_desk("A"), unhurried(), models=folders), "POST", "/v1/models/reload", json={}
    )
    assert (answer.status_code, code_of(answer)) == (409, "reload_failed")
    assert answer.json()["error"]["message"] == "The tft model answers NaN."


def test_models_with_a_part_missing_that_was_there_are_refused() -> None:
    """A part that is missing in both is left out on purpose; one that was there is damaged."""
    lacking = fake_arbiter(problems=["ppo: no such folder."])
    refuse_loss(lacking, lacking)
    refuse_loss(fake_arbiter(), lacking)
    with pytest.raises(ModelFolderError, match="no such folder"):
        refuse_loss(lacking, fake_arbiter())


TRAVERSALS = (
    *("../secret", "..", ".", "/", "", "new/../../secret", "..\\secret", "new\x00", "....//secret", "new/"),
    *("%2e%2e%2fsecret", "..%2fsecret", "%2e%2e/secret", "./new", "~", "~root", "$HOME", "secret\n", "new\n"),
    *("C:\\new", "//etc", "file:///etc", "\u2025/secret", "\uff0e\uff0e/secret", "a" * 65, "-new", ".new"),
    *("inside", "outside", "file"),
)


@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_name_leads_out_of_the_root(models: FakeModels, name: str, tmp_path: Path) -> None:
    """404 or 422, and nothing outside is ever opened; links to outside count as outside."""
    root = tmp_path / "root"
    (root / "outside").symlink_to(tmp_path / "secret")
    (root / "inside").mkdir()
    (root / "inside" / "arbiter.json").symlink_to(tmp_path / "secret" / "arbiter.json")
    (root / "file").write_text("no folder")
    body = json.dumps({"model": name})
    answer = ask(
        app_with(models),
        "POST",
        "/v1/models/reload",
        content=body,
        headers={"content-type": "application/json"},
    )
    assert answer.status_code in ((409,) if name == "inside" else (404, 422)), answer.text
    assert "stolen" not in answer.text
    code_of(answer)
    assert not models.entered.is_set()


def test_names_need_a_root(tmp_path: Path) -> None:
    """Without --models-root only the first folder can be read again."""
    models = FakeModels(model_folder(tmp_path / "first", "first"))
    answer = ask(app_with(models), "POST", "/v1/models/reload", json={"model": "first"})
    assert (answer.status_code, code_of(answer)) == (404, "unknown_model")
    answer = ask(create_app(warm_desk("A"), unhurried()), "POST", "/v1/models/reload", json={})
    assert (answer.status_code, code_of(answer)) == (409, "reload_failed")
