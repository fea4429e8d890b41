"""The markets of a split and its labelled rows, against the dataset's own."""

from __future__ import annotations

import numpy as np

from quantum_trader.envs.actions import Action
from quantum_trader.envs.mirror import mirrored_market
from quantum_trader.envs.windows import WINDOW, gather
from quantum_trader.train.prepared import Prepared
from quantum_trader.train.rl.markets import cut_markets, labelled_states


def test_cuts_hold_the_range_and_no_more(prepared_walks: Prepared) -> None:
    """Each cut begins one window before its first row and ends one bar after its last."""
    rows = prepared_walks.validation
    cuts = cut_markets(rows)
    assert len(cuts) == len(rows.markets)
    for index, (cut, whole) in enumerate(zip(cuts, rows.markets, strict=True)):
        ends = rows.end[rows.market == index]
        first, last = ends.min() - WINDOW + 1, ends.max() + 1
        np.testing.assert_array_equal(cut.bars.timestamp, whole.bars.timestamp[first : last + 1])
        np.testing.assert_array_equal(cut.table, whole.table[first : last + 1])
        assert np.flatnonzero(cut.usable)[0] == WINDOW - 1


def test_mirror_images_follow_cut_alike(prepared_walks: Prepared) -> None:
    """With `mirror` each market's image comes after all markets, over the same bars, with features of the
    whole mirrored market."""
    rows = prepared_walks.validation
    plain, both = cut_markets(rows), cut_markets(rows, mirror=True)
    count = len(plain)
    assert len(both) == 2 * count
    for cut, image, whole in zip(plain, both[count:], rows.markets, strict=True):
        np.testing.assert_array_equal(image.bars.timestamp, cut.bars.timestamp)
        assert image.scaler == cut.scaler
        start = int(np.searchsorted(whole.bars.timestamp, cut.bars.timestamp[0]))
        expected = mirrored_market(whole).table[start : start + len(cut)]
        np.testing.assert_array_equal(image.table, expected)
        moves = [np.diff(np.log(each.bars.close)) for each in (cut, image)]
        np.testing.assert_allclose(moves[1], -moves[0], atol=1e-12)


def test_labelled_states_point_at_the_datasets_rows(prepared_walks: Prepared) -> None:
    """At every labelled bar of a cut lie the window, the context and the moment of the dataset's own row."""
    rows, cuts = prepared_walks.validation, cut_markets(prepared_walks.validation, mirror=True)
    states = labelled_states(rows, prepared_walks.train)
    assert len(states.bar) == len(states.market) == len(rows)
    np.testing.assert_array_equal(states.action, rows.action)
    every = np.arange(len(rows))
    windows, context = rows.windows(every), rows.context(every)
    for index, cut in enumerate(cuts[: len(rows.markets)]):
        mine = states.market == index
        assert mine.any()
        bars = states.bar[mine]
        np.testing.assert_array_equal(cut.bars.timestamp[bars], rows.timestamps[mine])
        np.testing.assert_array_equal(gather(cut.table, bars, WINDOW), windows[mine])
        np.testing.assert_array_equal(cut.context[bars], context[mine])
        assert cut.usable[bars].all()
    assert states.hold_share == np.mean(prepared_walks.train.action == Action.HOLD)


def test_a_market_without_rows_is_left_out(prepared_walks: Prepared) -> None:
    """Where a market has no row in the range, the others close ranks, and labels follow them."""
    whole = prepared_walks.validation
    rows = whole.subset(whole.market != 1)
    cuts = cut_markets(rows)
    assert len(cuts) == 2
    states = labelled_states(rows, prepared_walks.train)
    assert set(states.market.tolist()) == {0, 1}
    moments = np.array([cuts[m].bars.timestamp[t] for m, t in zip(states.market, states.bar, strict=True)])
    np.testing.assert_array_equal(moments, rows.timestamps)
    names = [rows.markets[index].symbol for index in (0, 2)]
    assert [cut.symbol for cut in cuts] == names
