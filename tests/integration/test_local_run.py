"""Campaigns without a server: killed, resumed, timed out, refused, and always the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from materia import Campaign
from materia.errors import ConflictError, DataError, EvaluationError, StateError
from materia.evaluators import Evaluation, Evaluator, seed_for
from materia.mdl.definition import Definition, EvaluatorChoice
from materia.services.evaluation_pool import EvaluationPool, Recipe, Request
from materia.services.local_run import STATE_FILE, LocalRun, Progress, write_report

MATERIA = [sys.executable, "-c", "from materia.cli import main; main()"]

YAML = """\
name: local
parameters:
  - {name: a, type: continuous, bounds: [0, 1]}
  - {name: b, type: continuous, bounds: [0, 1]}
objectives:
  - {name: f}
  - {name: g}
evaluator: {type: function, options: {name: branin_currin, delay_s: 0.02}}
optimizer: {budget: 14, batch_size: 4, seed: 11, active_learning: {initial_samples: 6}}
"""


def definition(**change: Any) -> Definition:
    from materia.mdl.validation import load

    return load(YAML).model_copy(update=change)


def recipe(**change: Any) -> Recipe:
    return Recipe(definition(**change), ())


def quick(**optimizer: Any) -> Recipe:
    """Return a recipe without delay, which is evaluated in this process."""
    plain = definition().model_dump(mode="json")
    plain["evaluator"]["options"].pop("delay_s")
    plain["optimizer"].update(optimizer)
    return Recipe(Definition.model_validate(plain), ())


def saved(folder: Path) -> dict[str, Any]:
    return dict(orjson.loads((folder / STATE_FILE).read_bytes())["campaign"])


def by_hand(chosen: Recipe) -> dict[str, Any]:
    """Return what the library's own loop gives, as the reference of every other way."""
    campaign = Campaign.from_definition(chosen.definition)
    evaluator = chosen.build()
    while n := campaign.next_batch_size():
        outcomes = {
            candidate.id: evaluator.evaluate(
                candidate.params, seed=seed_for(chosen.definition.optimizer.seed, candidate.number)
            ).outcomes
            for candidate in campaign.ask(n)
        }
        campaign.tell(outcomes)
    return campaign.dump()


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return dict(orjson.loads(orjson.dumps(by_hand(recipe()))))


def test_a_run_asks_and_tells_what_the_library_would_and_counts_up(
    tmp_path: Path, reference: dict[str, Any]
) -> None:
    seen: list[Progress] = []
    finished = LocalRun(recipe(), tmp_path, workers=2).run(seen.append)
    assert "budget of 14" in finished.reason
    assert saved(tmp_path) == reference
    evaluating = [progress.n_done for progress in seen if progress.phase == "evaluating"]
    assert sorted(set(evaluating)) == list(range(15))
    assert seen[-1].phase == "finished"
    volumes = [p.hypervolume for p in seen if p.hypervolume is not None and p.n_done >= 6]
    assert volumes == sorted(volumes)
    assert len(set(volumes)) > 1


def start(folder: Path) -> subprocess.Popen[str]:
    (folder / "local.yaml").write_text(YAML)
    command = [*MATERIA, "run", "local.yaml", "--workers", "2", "--output", "out"]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def wait_for_evaluations(folder: Path, n: int, process: subprocess.Popen[str]) -> None:
    """Return when the state on disk holds n answers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        path = folder / "out" / STATE_FILE
        if (
            path.exists()
            and sum(c["state"] == "told" for c in saved(path.parent)["candidates"]) >= n
        ):
            return
        time.sleep(0.005)
    raise AssertionError(f"the run ended or stood still: {process.communicate()[0]}")


def test_a_run_killed_at_random_points_ends_as_if_it_had_not_been(
    tmp_path: Path, reference: dict[str, Any], trials: int
) -> None:
    for trial in range(trials):
        folder = tmp_path / str(trial)
        folder.mkdir()
        seed = int.from_bytes(os.urandom(4))
        n = random.Random(seed).randrange(1, 13)
        process = start(folder)
        wait_for_evaluations(folder, n, process)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        finished = LocalRun(recipe(), folder / "out").run()
        assert saved(folder / "out") == reference, f"seed {seed}: killed after {n} answers"
        assert finished.campaign.state == "completed"
        _, alive = psutil.wait_procs(children, timeout=60)
        assert alive == []


def test_ctrl_c_stops_at_once_and_says_how_to_go_on(
    tmp_path: Path, reference: dict[str, Any]
) -> None:
    process = start(tmp_path)
    wait_for_evaluations(tmp_path, 3, process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command goes on" in output
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    done = subprocess.run(process.args, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert saved(tmp_path / "out") == reference
    assert (tmp_path / "out" / "report.html").exists()
    assert "Pareto front" in done.stdout


@pytest.mark.parametrize("reaches_the_group", [False, True])
def test_sigterm_ends_a_run_quietly_and_it_can_go_on(
    tmp_path: Path, reference: dict[str, Any], *, reaches_the_group: bool
) -> None:
    process = start(tmp_path)
    wait_for_evaluations(tmp_path, 3, process)
    children = psutil.Process(process.pid).children(recursive=True)
    if reaches_the_group:
        os.killpg(process.pid, signal.SIGTERM)
    else:
        process.terminate()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "the same command goes on" in output
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    assert {c["state"] for c in saved(tmp_path / "out")["candidates"]} <= {"told", "proposed"}
    LocalRun(recipe(), tmp_path / "out").run()
    assert saved(tmp_path / "out") == reference


def test_an_evaluating_process_whose_parent_is_gone_ends_without_a_word(tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_for_evaluations(tmp_path, 3, process)
    process.kill()
    # The output ends when the last process that could write to it has.
    output, _ = process.communicate(timeout=120)
    assert "Traceback" not in output


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    LocalRun(quick(), tmp_path).run()
    before = (tmp_path / STATE_FILE).read_bytes()
    again = LocalRun(quick(), tmp_path).run()
    assert "budget" in again.reason
    assert (tmp_path / STATE_FILE).read_bytes() == before


def test_a_changed_definition_is_refused_and_restart_sets_the_old_run_aside(tmp_path: Path) -> None:
    LocalRun(quick(), tmp_path).run()
    old = (tmp_path / STATE_FILE).read_bytes()
    with pytest.raises(ConflictError, match=r"optimizer\.seed changed") as refused:
        LocalRun(quick(seed=12), tmp_path).run()
    assert "--restart" in str(refused.value.hint)
    assert (tmp_path / STATE_FILE).read_bytes() == old
    LocalRun(quick(seed=12), tmp_path, restart=True).run()
    assert saved(tmp_path)["definition"]["optimizer"]["seed"] == 12
    assert (tmp_path / "campaign.previous.json").read_bytes() == old


def test_a_changed_table_is_refused(tmp_path: Path) -> None:
    path, folder = tmp_path / "rows.csv", tmp_path / "run"
    chosen = table_recipe(path, [(i / 10, i * 1.0) for i in range(10)], budget=5)
    LocalRun(chosen, folder).run()
    with pytest.raises(ConflictError, match="rows of the table"):
        LocalRun(table_recipe(path, [(0.5, 1.0)] * 3 + [(0.7, 2.0)], budget=5), folder).run()


def table_recipe(path: Path, rows: list[tuple[float, float]], budget: int) -> Recipe:
    path.write_text("a,f\n" + "".join(f"{a},{f}\n" for a, f in rows))
    plain = {
        "name": "pool",
        "parameters": [{"name": "a", "type": "continuous", "bounds": [0, 1]}],
        "objectives": [{"name": "f"}],
        "evaluator": {"type": "table", "options": {"file": path.name}},
        "optimizer": {"budget": budget, "batch_size": 3},
    }
    return Recipe(Definition.model_validate(plain), (path.parent,), path.parent)


def test_a_table_smaller_than_the_budget_is_asked_to_its_last_row(tmp_path: Path) -> None:
    chosen = table_recipe(tmp_path / "t.csv", [(i / 10, i * 1.0) for i in range(10)], budget=50)
    finished = LocalRun(chosen, tmp_path / "run").run()
    assert finished.reason == "every possible candidate has been asked"
    asked = [candidate["params"]["a"] for candidate in finished.campaign.candidates]
    assert sorted(asked) == [i / 10 for i in range(10)]
    again = LocalRun(chosen, tmp_path / "run").run()
    assert again.campaign.dump() == finished.campaign.dump()


def test_a_run_of_a_version_that_knew_fewer_keys_goes_on(tmp_path: Path) -> None:
    finished = LocalRun(quick(), tmp_path).run()
    saved = json.loads((tmp_path / STATE_FILE).read_bytes())
    del saved["campaign"]["definition"]["optimizer"]["replicates"]
    for parameter in saved["campaign"]["definition"]["parameters"]:
        del parameter["when"]
    (tmp_path / STATE_FILE).write_text(json.dumps(saved))
    assert LocalRun(quick(), tmp_path).run().campaign.dump() == finished.campaign.dump()


def test_a_damaged_state_is_refused_with_advice(tmp_path: Path) -> None:
    LocalRun(quick(), tmp_path).run()
    whole = (tmp_path / STATE_FILE).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"[]", b'{"format": 99}'):
        (tmp_path / STATE_FILE).write_bytes(content)
        with pytest.raises(DataError, match="no state of a run") as refused:
            LocalRun(quick(), tmp_path).run()
        assert "--restart" in str(refused.value.hint)


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    process = start(tmp_path)
    try:
        wait_for_evaluations(tmp_path, 1, process)
        with pytest.raises(ConflictError, match="under way"):
            LocalRun(recipe(), tmp_path / "out").run()
    finally:
        process.kill()
        process.wait()


def test_an_evaluation_that_overruns_its_limit_fails_and_the_others_go_on(tmp_path: Path) -> None:
    plain = definition().model_dump(mode="json")
    plain["evaluator"] = {
        "type": "function",
        "options": {"name": "branin_currin", "delay_s": 60},
        "timeout_s": 0.2,
    }
    plain["optimizer"] = {"budget": 2, "batch_size": 2, "seed": 1}
    chosen = Recipe(Definition.model_validate(plain), ())
    finished = LocalRun(chosen, tmp_path, workers=2).run()
    assert [c["state"] for c in finished.campaign.candidates] == ["failed"] * 2
    assert all("longer than 0.2 s" in e["error"] for e in finished.evaluations.values())
    assert write_report(finished, tmp_path)["results"].read_text().count("longer than 0.2 s") == 2


def test_a_campaign_of_nothing_but_failures_ends_with_exit_code_1(tmp_path: Path) -> None:
    text = YAML.replace(
        "{type: function, options: {name: branin_currin, delay_s: 0.02}}",
        '{type: expression, options: {f: "log(0.004 - a)", g: "b"}}',
    )
    (tmp_path / "failing.yaml").write_text(text)
    command = [*MATERIA, "run", "failing.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no candidate could be evaluated" in done.stderr
    assert "'f' gives nan" in done.stderr
    assert (tmp_path / "runs" / "local" / "results.csv").exists()


def test_an_invalid_definition_is_exit_code_3_and_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(YAML.replace("budget: 14", "budget: 0"))
    command = [*MATERIA, "run", "bad.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "optimizer.budget" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_campaign_whose_results_people_tell_is_refused(tmp_path: Path) -> None:
    manual = definition(evaluator=EvaluatorChoice(type="manual"))
    with pytest.raises(StateError, match="told by people"):
        LocalRun(Recipe(manual, ()), tmp_path / "out").run()
    assert not (tmp_path / "out").exists()


def test_a_run_prints_its_front_and_where_everything_is(tmp_path: Path) -> None:
    (tmp_path / "quick.yaml").write_text(YAML.replace(", delay_s: 0.02", ""))
    command = [*MATERIA, "run", "quick.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "14/14 evaluations" in done.stdout
    folder = tmp_path / "runs" / "local"
    state = json.loads((folder / STATE_FILE).read_text())
    front = Campaign.load(state["campaign"]).pareto_front()
    shown = [point["id"] for point in front if point["id"] in done.stdout]
    assert len(shown) == min(len(front), 20)
    for name in ("results.csv", "report.html", "pareto_front.png"):
        assert f"runs/local/{name}" in done.stdout
        assert (folder / name).exists()


class Dangerous(Evaluator):
    """Does to its own process what params tell it."""

    def evaluate(self, params: Mapping[str, Any], *, seed: int) -> Evaluation:
        """Die, raise, or answer with the process id."""
        match params["do"]:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "leave":
                os._exit(7)
            case "fail":
                raise EvaluationError("this one cannot be evaluated")
            case "break":
                raise ZeroDivisionError("a mistake in the evaluator")
            case "hang":
                time.sleep(3600)
        return Evaluation({"f": float(seed)}, {"pid": os.getpid()})


@dataclass(frozen=True)
class DangerousRecipe(Recipe):
    """Builds the evaluator above, whatever the definition says."""

    def build(self) -> Evaluator:
        """Return the evaluator."""
        return Dangerous(self.definition, None, None)  # type: ignore[arg-type]


def dangerous(timeout_s: float | None = None) -> DangerousRecipe:
    choice = definition().evaluator
    assert choice is not None
    limited = choice.model_copy(update={"timeout_s": timeout_s})
    return DangerousRecipe(definition(evaluator=limited), ())


def requests(*todo: str) -> list[Request]:
    return [Request(f"c{i}", {"do": do}, i) for i, do in enumerate(todo)]


def test_a_process_that_dies_takes_only_its_own_evaluation_with_it() -> None:
    with EvaluationPool(dangerous(), 2) as pool:
        answers = {a.id: a for a in pool.evaluate(requests("go", "die", "leave", "fail", "go"))}
    assert {i for i, a in answers.items() if a.evaluation} == {"c0", "c4"}
    assert "signal 9" in str(answers["c1"].failure)
    assert "exit status 7" in str(answers["c2"].failure)
    assert "cannot be evaluated" in str(answers["c3"].failure)


def test_a_process_that_hangs_is_killed_at_its_limit_and_replaced() -> None:
    with EvaluationPool(dangerous(timeout_s=0.3), 1) as pool:
        answers = {a.id: a for a in pool.evaluate(requests("hang", "go"))}
    assert "longer than 0.3 s" in str(answers["c0"].failure)
    assert answers["c1"].evaluation is not None


def test_a_broken_evaluator_ends_the_run_and_names_the_candidate() -> None:
    with (
        EvaluationPool(dangerous(), 1) as pool,
        pytest.raises(Exception, match="ZeroDivisionError: a mistake") as raised,
    ):
        list(pool.evaluate(requests("break")))
    assert "'do': 'break'" in str(raised.value)


def test_processes_are_kept_between_batches_and_gone_afterwards() -> None:
    with EvaluationPool(dangerous(), 2) as pool:
        pids = set()
        for _ in range(3):
            for answer in pool.evaluate(requests("go", "go", "go", "go")):
                assert answer.evaluation is not None
                pids.add(answer.evaluation.metadata["pid"])
        assert 1 <= len(pids) <= 2
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_wait_that_is_broken_off_leaves_no_process() -> None:
    before = set(psutil.Process().children(recursive=True))
    with EvaluationPool(dangerous(), 2) as pool:
        answers = pool.evaluate(requests("go", "hang", "hang"))
        next(answers)
        answers.close()
    left = [p for p in psutil.Process().children(recursive=True) if p not in before]
    assert [p for p in left if "resource_tracker" not in " ".join(p.cmdline())] == []


def test_recipes_keep_the_limit_of_the_definition() -> None:
    assert dangerous(timeout_s=2.5).timeout_s == 2.5
    assert replace(recipe(), data_roots=(Path("/x"),)).timeout_s is None
