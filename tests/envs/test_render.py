"""The charts of an environment."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import RenderCollection

from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError

HOLD, BUY = 0, 1


def test_the_picture_changes_with_the_episode() -> None:
    """ "rgb_array" gives uint8 pictures of one size that show what happened."""
    env = RenderCollection(FuturesTradingEnv(config=EnvConfig(leverage=20.0), render_mode="rgb_array"))
    env.reset(seed=0)
    for action in (BUY, HOLD, HOLD):
        env.step(action)
    frames = env.render()
    assert len(frames) == 4
    assert {frame.shape for frame in frames} == {(480, 800, 3)}
    assert frames[0].dtype == np.uint8
    assert not np.array_equal(frames[1], frames[2])


def test_text_names_position_and_equity() -> None:
    """ "ansi" is one line with the position, its liquidation price and the equity."""
    env = gymnasium.make(
        "quantum_trader.envs:FuturesTrading-v0", config=EnvConfig(leverage=20.0), render_mode="ansi"
    )
    env.reset(seed=0)
    assert "flat" in str(env.render())
    env.step(BUY)
    text = str(env.render())
    assert "long" in text
    assert "liquidation" in text
    assert "equity" in text


def test_a_window_opens_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "human" draws at every reset and step, on whatever display matplotlib has."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    pytest.importorskip("matplotlib").use("Agg")
    env = FuturesTradingEnv(render_mode="human")
    env.reset(seed=0)
    env.step(BUY)
    env.close()


def test_unknown_render_modes_are_refused() -> None:
    """The message lists what there is."""
    with pytest.raises(ConfigError, match="rgb_array"):
        FuturesTradingEnv(render_mode="video")


def test_video_can_be_recorded(tmp_path: object) -> None:
    """Gymnasium's RecordVideo writes a file where its video library is installed."""
    pytest.importorskip("moviepy")
    from pathlib import Path

    from gymnasium.wrappers import RecordVideo

    folder = Path(str(tmp_path))
    env = RecordVideo(
        FuturesTradingEnv(config=EnvConfig(episode_bars=5), render_mode="rgb_array"), str(folder)
    )
    env.reset(seed=0)
    for _ in range(5):
        env.step(HOLD)
    env.close()
    assert list(folder.glob("*.mp4"))
