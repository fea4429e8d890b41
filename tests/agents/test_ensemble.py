from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.ensemble_agent import EnsembleAgent
from quantum_trader.agents.folder import MANIFEST, Provenance
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tabular import TABULAR_NAMES, TABULAR_SIZE
from quantum_trader.agents.tree_members import (
    MEMBER_FILES,
    LightGBMMember,
    TreeMember,
    XGBoostMember,
    mean_probabilities,
)
from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import CONTEXT_SIZE
from quantum_trader.envs.errors import ConfigError, ModelFolderError
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.files import file_sha256
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.train.catboost_member import grow_catboost
from quantum_trader.train.lightgbm_member import grow_lightgbm
from quantum_trader.train.tree_config import CatBoostConfig, LightGBMConfig, XGBoostConfig
from quantum_trader.train.tree_rows import TreeRows
from quantum_trader.train.xgboost import grow_xgboost, quantized

from .fakes import bars

NAMES = tuple(MEMBER_FILES)
TOLD_BY = "rsi_14"

LOAD_AND_PREDICT = """
import sys
from pathlib import Path
import numpy as np
from quantum_trader.agents.ensemble_agent import EnsembleAgent
from quantum_trader.agents.signals import ModelInputs
folder, inputs, answer = map(Path, sys.argv[1:])
agent = EnsembleAgent.load(folder, n_jobs=1)
given = np.load(inputs)
signals = agent.signals(ModelInputs(windows=given["windows"], context=given["context"]))
np.save(answer, signals.probabilities)
assert "torch" not in sys.modules, "torch was imported"
print(agent.model_hash)
"""


def grown() -> list[TreeMember]:
    """A few rounds of each library; the label is told by the decision bar's RSI alone."""
    rng = np.random.default_rng(0)
    table = rng.standard_normal((600, TABULAR_SIZE)).astype(np.float32)
    told = table[:, TABULAR_NAMES.index(f"{TOLD_BY}__lag_0")]
    action = np.digitize(told, [-0.5, 0.5]).astype(np.int8)
    rows = TreeRows(
        table=table[:400],
        action=action[:400],
        weight=np.ones(400, dtype=np.float32),
        validation_table=table[400:],
        validation_action=action[400:],
    )
    plain = XGBoostConfig(rounds=8, n_jobs=1)
    learn, watch = quantized(rows, plain)
    return [
        XGBoostMember(grow_xgboost(learn, watch, plain, len(rows), 0)),
        grow_lightgbm(rows, LightGBMConfig(rounds=8, n_jobs=1), 0),
        grow_catboost(rows, CatBoostConfig(rounds=8, n_jobs=1), 0),
    ]


def agent_of(members: list[TreeMember], temperature: float = 1.5) -> EnsembleAgent:
    """An agent with a known temperature."""
    return EnsembleAgent(
        members,
        config={"members": [member.name for member in members]},
        scaler=REFERENCE_SCALER,
        calibration=Calibration(temperature=temperature, hold_threshold=0.4),
        provenance=Provenance.now(data_sha256="ab" * 32, seed=3, metrics={"log_loss": 1.08}),
        n_jobs=1,
    )


@pytest.fixture(scope="module")
def members() -> list[TreeMember]:
    return grown()


@pytest.fixture(scope="module")
def agent(members: list[TreeMember]) -> EnsembleAgent:
    return agent_of(members)


@pytest.fixture(scope="module")
def saved(agent: EnsembleAgent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ensemble") / "model"
    agent.save(path)
    return path


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of the saved folder, to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture(scope="module")
def inputs() -> ModelInputs:
    rng = np.random.default_rng(1)
    return ModelInputs(
        windows=rng.standard_normal((700, 60, 14)).astype(np.float32),
        context=rng.standard_normal((700, CONTEXT_SIZE)).astype(np.float32),
    )


def rows(inputs: ModelInputs, part: slice) -> ModelInputs:
    """Some rows of a batch."""
    return ModelInputs(windows=inputs.windows[part], context=inputs.context[part])


def edit(path: Path, change: Any) -> None:
    """Change the manifest as an editor would."""
    plain = json.loads((path / MANIFEST).read_text())
    change(plain)
    (path / MANIFEST).write_text(json.dumps(plain))


def replace_file(path: Path, name: str, content: bytes) -> None:
    """Other bytes in a file, with a record in the manifest that says so."""
    (path / name).write_bytes(content)
    record = {"sha256": file_sha256(path / name), "size": len(content)}
    edit(path, lambda plain: plain["files"].update({name: record}))


def test_mean_of_probabilities() -> None:
    """Two answers give their mean, one is left as it is, and a class that one rules out stays possible."""
    first, second = np.array([[0.2, 0.5, 0.3]]), np.array([[0.6, 0.4, 0.0]], dtype=np.float32)
    assert mean_probabilities([first, second]) == pytest.approx(np.array([[0.4, 0.45, 0.15]]))
    assert (mean_probabilities([second]) == second).all()
    assert mean_probabilities([first, second]).dtype == np.float32


def test_answer_is_the_calibrated_mean_of_the_members(agent: EnsembleAgent, inputs: ModelInputs) -> None:
    """Signals are the members' mean under the one temperature, rows summing to 1."""
    said = agent.member_probabilities(inputs)
    mean = np.mean(said, axis=0)
    tempered = mean ** (1 / 1.5)
    expected = tempered / tempered.sum(axis=1, keepdims=True)
    found = agent.signals(inputs).probabilities
    assert found == pytest.approx(expected, abs=1e-6)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(inputs)), abs=1e-6)
    assert found.dtype == np.float32
    assert len(said) == 3
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (said[one] != said[other]).any()


@pytest.mark.parametrize("name", NAMES)
def test_member_answers_alone_as_in_a_batch(name: str, members: list[TreeMember]) -> None:
    """Each library gives a row the same bits alone, in odd batches and with more threads."""
    member = members[NAMES.index(name)]
    table = np.random.default_rng(2).standard_normal((700, TABULAR_SIZE)).astype(np.float32)
    whole = member.probabilities(table, 1)
    assert whole.shape == (700, 3)
    assert (member.probabilities(table, 2) == whole).all()
    for start, end in ((0, 1), (17, 18), (699, 700), (3, 10), (100, 333)):
        assert (member.probabilities(table[start:end], 1) == whole[start:end]).all()


def test_one_row_equals_itself_in_a_batch(agent: EnsembleAgent, inputs: ModelInputs) -> None:
    """The agent's answer to a row does not depend on the rest of the batch, to the bit."""
    whole = agent.signals(inputs).probabilities
    for row in (0, 17, 699):
        assert (agent.signals(rows(inputs, slice(row, row + 1))).probabilities[0] == whole[row]).all()


def test_importances_are_shares_of_each_member(agent: EnsembleAgent, members: list[TreeMember]) -> None:
    """The telling feature leads with every library, and members count alike whatever their unit."""
    ranked = FEATURE_NAMES[int(agent.feature_importances.argmax())]
    assert ranked == TOLD_BY
    assert agent.feature_importances.shape == (14,)
    assert agent.feature_importances.sum() == pytest.approx(1.0, abs=1e-6)
    alone = [agent_of([member]).feature_importances for member in members]
    assert agent.feature_importances == pytest.approx(np.mean(alone, axis=0), abs=1e-6)
    for shares in alone:
        assert FEATURE_NAMES[int(shares.argmax())] == TOLD_BY


def test_members_count_their_rounds(members: list[TreeMember]) -> None:
    """Rounds are boosting rounds, not trees of single classes."""
    assert all(1 <= member.rounds() <= 8 for member in members)


def test_round_trip_in_another_process_without_torch(
    agent: EnsembleAgent, saved: Path, inputs: ModelInputs, tmp_path: Path
) -> None:
    """Loaded by a process that never imports torch, an agent answers the same to the bit."""
    np.savez(tmp_path / "inputs.npz", windows=inputs.windows, context=inputs.context)
    paths = [str(saved), str(tmp_path / "inputs.npz"), str(tmp_path / "answer.npy")]
    done = subprocess.run(
        [sys.executable, "-c", LOAD_AND_PREDICT, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == agent.model_hash
    assert (np.load(tmp_path / "answer.npy") == agent.signals(inputs).probabilities).all()


def test_loaded_agent_keeps_everything(agent: EnsembleAgent, saved: Path) -> None:
    """Scaler, calibration, config, provenance and importances come back as saved; no file is a pickle."""
    loaded = EnsembleAgent.load(saved)
    assert loaded.scaler == agent.scaler
    assert loaded.calibration == agent.calibration
    assert loaded.config == agent.config
    assert loaded.provenance == agent.provenance
    assert (loaded.feature_importances == agent.feature_importances).all()
    assert {item.name for item in saved.iterdir()} == {MANIFEST, *MEMBER_FILES.values()}


def test_saving_again_gives_the_same_hash(agent: EnsembleAgent, saved: Path, tmp_path: Path) -> None:
    """A loaded agent saved elsewhere is the same model: no library writes a date or a random number."""
    loaded = EnsembleAgent.load(saved)
    loaded.save(tmp_path / "again")
    assert loaded.model_hash == agent.model_hash
    fresh = agent_of(grown())
    fresh.save(tmp_path / "fresh")
    assert fresh.model_hash == agent.model_hash


@pytest.mark.parametrize("name", NAMES)
def test_some_members_only(name: str, members: list[TreeMember], inputs: ModelInputs, tmp_path: Path) -> None:
    """An ensemble of one member is that member, and its folder holds no other's file."""
    member = members[NAMES.index(name)]
    alone = agent_of([member], temperature=1.0)
    alone.save(tmp_path / "model")
    loaded = EnsembleAgent.load(tmp_path / "model")
    assert (loaded.signals(inputs).probabilities == alone.signals(inputs).probabilities).all()
    assert {item.name for item in (tmp_path / "model").iterdir()} == {MANIFEST, MEMBER_FILES[name]}


def test_predicts_live(agent: EnsembleAgent) -> None:
    """Bar by bar the agent waits for 60 bars, then answers with probabilities and its hold threshold."""
    feed = bars(61)
    agent.start_live()
    agent.add_to_history("EURUSD", feed[:58])
    assert agent.predict("EURUSD", feed[58]).action is Action.HOLD
    signal = agent.predict("EURUSD", feed[59])
    assert signal.meta.bars_in_window == 60
    assert signal.meta.probabilities is not None
    assert signal.meta.probabilities.sum() == pytest.approx(1.0, abs=1e-6)
    assert agent.hold_threshold == 0.4
    both = agent.batch_predict({"EURUSD": feed[60], "GBPUSD": feed[60]})
    assert list(both) == ["EURUSD", "GBPUSD"]


@pytest.mark.parametrize("file", MEMBER_FILES.values())
def test_damaged_file(file: str, folder: Path) -> None:
    """A changed byte or a missing file is found before any library parses it."""
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[:-1] + b"X")
    with pytest.raises(ModelFolderError, match=f"{file} is damaged"):
        EnsembleAgent.load(folder)
    (folder / file).unlink()
    with pytest.raises(ModelFolderError, match=f"{file} is missing"):
        EnsembleAgent.load(folder)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [b"", b"not trees"])
def test_foreign_file(name: str, content: bytes, folder: Path) -> None:
    """A file that is no such model, but recorded as if it were, is one sentence that names it."""
    replace_file(folder, MEMBER_FILES[name], content)
    with pytest.raises(ModelFolderError, match=f"{MEMBER_FILES[name]} cannot be read by {name}"):
        EnsembleAgent.load(folder)


def test_trees_of_another_table(folder: Path) -> None:
    """Trees grown on fewer columns are refused when the folder is loaded, not at the first answer."""
    import lightgbm

    table = np.random.default_rng(0).standard_normal((100, 5))
    data = lightgbm.Dataset(table, np.arange(100) % 3)
    options = {"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1}
    text = lightgbm.train(options, data, 2).model_to_string()
    assert LightGBMMember(text).probabilities(table.astype(np.float32)).shape == (100, 3)
    replace_file(folder, MEMBER_FILES["lightgbm"], text.encode())
    with pytest.raises(ModelFolderError, match="cannot be read by lightgbm"):
        EnsembleAgent.load(folder)


def test_trees_of_another_question(folder: Path) -> None:
    """Trees of one number a row are refused: an ensemble needs three probabilities."""
    import lightgbm

    table = np.random.default_rng(0).standard_normal((100, TABULAR_SIZE))
    data = lightgbm.Dataset(table, np.arange(100) % 2)
    text = lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 2)
    replace_file(folder, MEMBER_FILES["lightgbm"], text.model_to_string().encode())
    with pytest.raises(ModelFolderError, match=r"expected \(1, 3\)"):
        EnsembleAgent.load(folder)


@pytest.mark.parametrize(
    "named", [None, [], ["xgboost", "xgboost"], ["xgboost", "pickle"], "xgboost", [["xgboost"]]]
)
def test_impossible_members_in_the_folder(named: Any, folder: Path) -> None:
    """A manifest that names no, unknown or repeated members is one sentence that says which are known."""
    edit(folder, lambda plain: plain["config"].update(members=named))
    with pytest.raises(ModelFolderError, match="expected members among xgboost, lightgbm, catboost"):
        EnsembleAgent.load(folder)


def test_other_newer_and_foreign_folders(folder: Path) -> None:
    """Another agent's folder, a newer format and other columns are refused with the reason."""
    edit(folder, lambda plain: plain.update(kind="xgboost"))
    with pytest.raises(ModelFolderError, match="expected ensemble, found xgboost"):
        EnsembleAgent.load(folder)
    edit(folder, lambda plain: plain.update(kind="ensemble", extra={"columns": ["a"]}))
    with pytest.raises(ModelFolderError, match="other summary columns"):
        EnsembleAgent.load(folder)
    edit(folder, lambda plain: plain.update(format_version=99))
    with pytest.raises(ModelFolderError, match="newer than format"):
        EnsembleAgent.load(folder)


def test_library_missing_where_the_model_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a member's library the sentence names the member and how to install it."""
    monkeypatch.setitem(sys.modules, "catboost", None)
    with pytest.raises(ConfigError, match=r'"catboost".*pip install "quantum-trader\[trees\]"'):
        EnsembleAgent.load(folder)


def test_members_must_be_those_of_the_config(members: list[TreeMember]) -> None:
    """An agent whose config names other members than it has would not be read back: it is refused."""
    agent = agent_of(members[:1])
    with pytest.raises(ConfigError, match=r"found \['xgboost', 'lightgbm'\]"):
        EnsembleAgent(
            members[:2],
            config=agent.config,
            scaler=agent.scaler,
            calibration=None,
            provenance=agent.provenance,
        )
