"""The service as a process: ready, stopped in order, killed, started again."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from quantum_trader.serve.journal.reader import JournalReader

from .services import PLAIN, SOON_S, Served, bar_json, serving, wait_until

THREADS = 8


@dataclass
class Load:
    """Clients that send bar after bar, each for a symbol of its own, until the service is gone."""

    served: Served
    acknowledged: list[tuple[str, int]] = field(default_factory=list)
    """Symbol and bar of every decision answered with `journaled`."""
    odd: list[str] = field(default_factory=list)
    """Answers other than 200 and 503."""
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for number in range(THREADS):
            self.threads.append(threading.Thread(target=self._send, args=(f"S{number}",)))
            self.threads[-1].start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(SOON_S)
            assert not thread.is_alive()

    @property
    def well_under_way(self) -> bool:
        """Every client has had an answer, and all together many."""
        heard = {symbol for symbol, _ in tuple(self.acknowledged)}
        return len(heard) == THREADS and len(self.acknowledged) > 50

    def _send(self, symbol: str) -> None:
        with httpx.Client(base_url=self.served.url, timeout=SOON_S, verify=PLAIN) as client:
            for step in range(100_000):
                bar = bar_json(step)
                try:
                    answer = client.post("/v1/decisions", json={"bars": {symbol: bar}})
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    if answer.json()["decisions"][symbol]["journaled"]:
                        self.acknowledged.append((symbol, bar["timestamp"]))
                    else:
                        self.odd.append(answer.text)
                elif answer.status_code == 503:
                    return
                else:
                    self.odd.append(answer.text)


def kept(journal: Path) -> set[tuple[str, int]]:
    reader = JournalReader(journal)
    try:
        return {(row.entry.symbol, row.entry.bar_ms) for row in reader.rows()}
    finally:
        reader.close()


def test_sigterm_under_load_loses_nothing(tmp_path: Path) -> None:
    """Requests under way are answered, what was acknowledged is in the journal, the exit code is 0."""
    with serving(tmp_path, "--port", "0", "--journal", "j.db", "--model-seconds", "0.005") as served:
        load = Load(served)
        load.start()
        wait_until(lambda: load.well_under_way, served.process)
        served.process.send_signal(signal.SIGTERM)
        assert served.wait() == 0
        load.join()
    assert not load.odd
    assert set(load.acknowledged) <= kept(tmp_path / "j.db")
    assert "Traceback" not in served.log()


def test_kill_9_under_load_loses_no_acknowledged_decision(tmp_path: Path) -> None:
    """Whatever was answered with `journaled` is there after the process was shot; it can start again."""
    with serving(tmp_path, "--port", "0", "--journal", "j.db") as served:
        load = Load(served)
        load.start()
        wait_until(lambda: load.well_under_way, served.process)
        served.process.send_signal(signal.SIGKILL)
        served.wait()
        load.join()
    assert not load.odd
    assert set(load.acknowledged) <= kept(tmp_path / "j.db")
    with serving(tmp_path, "--port", "0", "--journal", "j.db") as served:
        assert served.get("/v1/health").json()["symbols"] == THREADS


def test_a_restart_goes_on_where_the_journal_ends(tmp_path: Path) -> None:
    """Histories come back from the journal's bars: the next bar is decided on at once, the last is known."""
    bars = [bar_json(step) for step in range(61)]
    with serving(tmp_path, "--port", "0", "--journal", "j.db") as served:
        served.post("/v1/warmup", {"bars": {"A": bars[:60]}})
        first = served.post("/v1/decisions", {"bars": {"A": bars[60]}}).json()
        served.process.send_signal(signal.SIGTERM)
        assert served.wait() == 0
    assert first["decisions"]["A"]["action"] == "BUY"
    with serving(tmp_path, "--port", "0", "--journal", "j.db") as served:
        again = served.post("/v1/decisions", {"bars": {"A": bars[60]}}).json()
        after = served.post("/v1/decisions", {"bars": {"A": bar_json(61)}}).json()
    assert again["decisions"]["A"]["reason"] == "duplicate bar"
    assert after["decisions"]["A"]["action"] == "BUY"


def test_ctrl_c_is_an_orderly_end(tmp_path: Path) -> None:
    """SIGINT ends an idle service with exit code 0 and says so in the log, without a traceback."""
    with serving(tmp_path, "--port", "0") as served:
        served.process.send_signal(signal.SIGINT)
        assert served.wait() == 0
    assert "SIGINT" in served.log()
    assert "Traceback" not in served.log()


def test_a_hanging_client_cannot_hold_up_the_end(tmp_path: Path) -> None:
    """A request whose body never comes is given up after `shutdown_s`."""
    options = ("--port", "0", "--shutdown-s", "1")
    with (
        serving(tmp_path, *options) as served,
        served.connect() as client,
    ):
        client.sendall(
            b"POST /v1/decisions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        wait_until(lambda: served.get("/health").status_code == 200)
        served.process.send_signal(signal.SIGTERM)
        assert served.wait() == 0


def test_sighup_reads_the_models_again(tmp_path: Path) -> None:
    """Damaged ones are refused and the old go on; whole ones are taken."""
    with serving(tmp_path, "--port", "0") as served:
        (tmp_path / "damaged").touch()
        served.process.send_signal(signal.SIGHUP)
        # Said when it is refused, and again when the next may begin: until then another is not taken.
        wait_until(lambda: served.log().count("is damaged") == 2, served.process)
        assert served.get("/ready").status_code == 200
        (tmp_path / "damaged").unlink()
        served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "models reloaded" in served.log(), served.process)


def test_an_end_while_models_load_is_orderly(tmp_path: Path) -> None:
    """SIGTERM before the service is ready: exit code 0, no traceback."""
    go_on = tmp_path / "go on"
    with serving(tmp_path, "--port", "0", "--load-when", str(go_on), ready=False) as served:
        assert served.get("/ready").status_code == 503
        served.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "SIGTERM" in served.log(), served.process)
        go_on.touch()  # a load that was begun is waited for
        assert served.wait() == 0
    assert "Traceback" not in served.log()
