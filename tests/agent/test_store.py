"""Runs on disk: found again by their key, locked while worked on."""

from __future__ import annotations

import fcntl
import hashlib
import json
import threading
from importlib.resources import files
from pathlib import Path

import pytest

from agent.state import JobSpec
from agent.store import Run, RunStore, configs_sha256, folder_sha256, identify
from toolchain.errors import EnvironmentNotReady, InputError, UsageError


@pytest.fixture
def job(tmp_path: Path) -> JobSpec:
    source = tmp_path / "in.mp4"
    source.write_bytes(b"content")
    return JobSpec(input=source, output=tmp_path / "out.mp4")


def opened(store: RunStore, job: JobSpec) -> Run:
    return store.open(job, identify(job))


def test_the_same_job_is_the_same_run(job: JobSpec, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "home")
    run = opened(store, job)
    assert opened(store, job.model_copy(update={"overwrite": True})).id == run.id
    assert opened(store, job.model_copy(update={"profile": "fast"})).id != run.id
    assert store.get(run.id[:6]).status.job == job
    assert run.status.input_sha256 == hashlib.sha256(b"content").hexdigest()


def test_other_content_is_another_run(job: JobSpec) -> None:
    before = identify(job)
    job.input.write_bytes(b"changed")
    assert identify(job).key != before.key


def test_an_input_that_is_gone_is_bad_input(job: JobSpec) -> None:
    job.input.unlink()
    with pytest.raises(InputError, match=r"in\.mp4"):
        identify(job)


def test_other_configuration_is_another_run(job: JobSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edited profile, gate or data sheet changes the key; what is no configuration does not."""
    configs = tmp_path / "configs"
    (configs / "profiles").mkdir(parents=True)
    (configs / "profiles" / "fast.yaml").write_text("a: 1")
    keys = set()
    edits = {"profiles/fast.yaml": "a: 2", "profiles/slow.yaml": "a: 1", "gates.yaml": "a: 1"}
    for name, text in [("profiles/fast.yaml", "a: 1"), *edits.items()]:
        (configs / name).write_text(text)
        digest = folder_sha256(configs)
        monkeypatch.setattr("agent.store.configs_sha256", lambda digest=digest: digest)
        keys.add(identify(job).key)
    assert len(keys) == 1 + len(edits)
    before = folder_sha256(configs)
    (configs / "profiles" / "__init__.pyc").write_text("x")
    assert folder_sha256(configs) == before


def test_the_packages_own_configuration_is_hashed() -> None:
    assert configs_sha256() == folder_sha256(files("configs"))
    assert configs_sha256() != hashlib.sha256().hexdigest()


def test_a_run_is_held_by_one_process(job: JobSpec, tmp_path: Path) -> None:
    run = opened(RunStore(tmp_path / "home"), job)
    assert not run.held
    with run.locked():
        assert run.held
        with pytest.raises(EnvironmentNotReady, match="another process"), run.locked():
            raise AssertionError("the lock was taken twice")
    assert not run.held


def test_who_asks_for_the_lock_does_not_stop_who_needs_it(job: JobSpec, tmp_path: Path) -> None:
    """As `runs list` does for an instant; and two who ask do not see each other."""
    run = opened(RunStore(tmp_path / "home"), job)
    with run.locked():
        pass
    asking = (run.folder / "lock").open()
    fcntl.flock(asking, fcntl.LOCK_SH)
    assert not run.held
    timer = threading.Timer(0.1, asking.close)
    timer.start()
    with run.locked():
        assert run.held
    timer.join()


def test_unknown_ambiguous_and_damaged_runs_are_usage_errors(job: JobSpec, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "home")
    for nothing in ("zzz", "", "..", "../.."):
        with pytest.raises(UsageError, match="no run"):
            store.get(nothing)
    run = opened(store, job)
    (run.folder / "status.json").write_text("{")
    with pytest.raises(UsageError, match=f"agent runs remove {run.id}"):
        _ = run.status


def test_one_damaged_run_does_not_hide_the_others(job: JobSpec, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "home")
    good, bad = opened(store, job), opened(store, job.model_copy(update={"profile": "fast"}))
    (bad.folder / "status.json").write_bytes(b"\xff")
    readable, unreadable = store.runs()
    assert ([run.id for run in readable], [run.id for run in unreadable]) == ([good.id], [bad.id])
    assert store.get(good.id[:8]).id == good.id
    assert store.get(bad.id).id == bad.id


def test_a_full_id_that_begins_another_is_meant(job: JobSpec, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "home")
    run = opened(store, job)
    longer = run.folder.with_name(run.id + "0")
    longer.mkdir()
    (longer / "status.json").write_text("{}")
    assert store.get(run.id).id == run.id
    with pytest.raises(UsageError, match="2 runs"):
        store.get(run.id[:6])


def test_a_status_of_a_newer_version_is_read(job: JobSpec, tmp_path: Path) -> None:
    run = opened(RunStore(tmp_path / "home"), job)
    stored = json.loads((run.folder / "status.json").read_text())
    (run.folder / "status.json").write_text(json.dumps({**stored, "mood": "fine"}))
    assert run.status.job == job


def test_a_run_is_removed_with_what_it_left_beside_its_output(job: JobSpec, tmp_path: Path) -> None:
    run = opened(RunStore(tmp_path / "home"), job)
    mine = [tmp_path / f".{run.id}.partial.mp4", tmp_path / f"..{run.id}.partial.json.12.tmp"]
    others = [tmp_path / ".0123.partial.mp4", tmp_path / "out.mp4"]
    for path in (*mine, *others):
        path.touch()
    with run.locked(), pytest.raises(EnvironmentNotReady, match="another process"):
        run.remove()
    assert mine[0].exists()
    run.remove()
    assert not run.folder.exists()
    assert [path.exists() for path in (*mine, *others)] == [False, False, True, True]


def test_a_damaged_run_can_be_removed(job: JobSpec, tmp_path: Path) -> None:
    run = opened(RunStore(tmp_path / "home"), job)
    (run.folder / "status.json").write_text("{")
    run.remove()
    assert not run.folder.exists()


def test_status_survives_a_round_trip(job: JobSpec, tmp_path: Path) -> None:
    run = opened(RunStore(tmp_path / "home"), job)
    run.write_status(run.status, state="delivered", exit_code=0)
    assert (run.status.state, run.status.exit_code, run.status.finished) == ("delivered", 0, True)
