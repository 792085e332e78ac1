"""What is written down: the decision record for learning, and the manifest beside an output."""

from __future__ import annotations

import fcntl
import json
import os
import platform
from importlib.metadata import version
from typing import Literal

from agent.controls import controls_for
from agent.deps import Deps
from agent.state import JobSpec, State
from agent.workspace import Workspace
from analysis.schema import DecisionRecord, Plan, Verdict
from analysis.selection.features import FEATURES_VERSION, features
from toolchain.files import disk_errors

_COMPONENTS = ("sdr2hdr-agent", "av", "imageio-ffmpeg", "numpy", "numba", "opencv-python-headless", "langgraph")


def manifest(state: State, deps: Deps) -> str:
    """JSON text: what was made of what, with which versions and settings, how it was judged, how to do it again."""
    job = JobSpec.model_validate(state["job"])
    status = deps.run.status
    content = {
        "schema_version": "1.0",
        "run_id": status.run_id,
        "job_key": status.job_key,
        "input": {"name": job.input.name, "sha256": status.input_sha256, "facts": state["facts"]},
        "output": {"name": job.output.name, "sha256": state["rendered"]["sha256"]},
        "configuration": {
            "job": job.model_dump(mode="json", exclude={"input", "output"}),
            "profile": deps.profile.model_dump(mode="json"),
            "controls": controls_for(job, deps.profile).model_dump(mode="json"),
        },
        "analyser": state["analysed"],
        "model": state["candidate"],
        "plan": state["plan_record"],
        "pilot": state["pilot_verdicts"],
        "verdict": state["final_verdict"],
        "rolled_back": state.get("rolled_back", []),
        "rendered": state["rendered"],
        "warnings": state["warnings"],
        "versions": {name: version(name) for name in _COMPONENTS}
        | {"python": platform.python_version(), "machine": platform.machine()},
        "replay": replay_command(job, state["candidate"]),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def replay_command(job: JobSpec, model_id: str) -> list[str]:
    """The arguments that make the same output of the same input."""
    command = ["agent", "process", job.input.name, "-o", job.output.name]
    command += ["--format", job.hdr_format, "--codec", job.codec, "--profile", job.profile, "--model", model_id]
    if job.peak_nits is not None:
        command += ["--peak-nits", f"{job.peak_nits:g}"]
    if job.mid_gain_ev is not None:
        command += ["--mid-gain", f"{job.mid_gain_ev:g}"]
    if job.runtime is not None:
        command += ["--runtime", job.runtime]
    if job.analyser is not None:
        command += ["--engine", job.analyser.engine, "--engine-url", job.analyser.url]
        command += ["--engine-model", job.analyser.model] if job.analyser.model else []
        command += ["--family", job.analyser.family] if job.analyser.family else []
        command += ["--fallback", job.analyser.fallback]
    return command


def append_record(state: State, deps: Deps, disposition: Literal["delivered", "kept_original"]) -> None:
    """Add this run's decision to the log; once only, also when the node runs again after a crash."""
    record = decision_record(state, deps, disposition)
    path = deps.store.decisions
    with disk_errors(path), path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if any(f'"record_id":"{record.record_id}"' in line for line in file):
            return
        file.write(record.model_dump_json() + "\n")
        file.flush()
        os.fsync(file.fileno())


def decision_record(state: State, deps: Deps, disposition: Literal["delivered", "kept_original"]) -> DecisionRecord:
    """The record of a finished run.

    Its propensity is 1: every eligible candidate had its pilot, and the best of them was taken with certainty.
    """
    status = deps.run.status
    analysis = Workspace(deps.run.work).load_analysis()
    plan = Plan.model_validate(state["plan_record"])
    chosen = state.get("candidate") or "direct203"
    return DecisionRecord(
        record_id=f"{status.run_id}-{status.attempt}",
        job_key=status.job_key,
        title_group=JobSpec.model_validate(state["job"]).input.stem,
        attempt=status.attempt,
        features=features(analysis),
        features_version=FEATURES_VERSION,
        report=analysis.pooled,
        analyser=analysis.analyser,
        prompt_hash=state["analysed"]["prompt_hash"],
        analyser_fell_back=state["analysed"]["fell_back"],
        plan=plan,
        chosen=chosen,
        propensity=1.0,
        verdict=Verdict.model_validate(state["final_verdict"]) if state.get("final_verdict") else None,
        disposition=disposition,
        cost_cpu_s=state.get("rendered", {}).get("cpu_s"),
    )
