"""Evaluate the data sets of a suite with one model or several, and write what came out as a table for a paper."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from glomseg.errors import EvaluationError, GlomsegError, RunError
from glomseg.evaluation.evaluate_model import (
    EvaluateOptions,
    EvaluationResult,
    asks_to_read,
    evaluate_model,
    evaluate_predictions,
)
from glomseg.evaluation.predictions import PREDICTIONS
from glomseg.evaluation.projects import is_project
from glomseg.evaluation.suite import Suite, SuiteSet, read_suite
from glomseg.evaluation.suite_table import SuiteRow, markdown
from glomseg.evaluation.summary import Summary
from glomseg.files import write_json, write_text
from glomseg.models.device import resolve_device
from glomseg.runs.listener import Listener
from glomseg.runs.run import RECORD, load_run
from glomseg.standing_files import refuse_other_file

TABLE = "table.md"
RECORD_OF_SUITE = "suite.json"


@dataclass(frozen=True, kw_only=True)
class SuiteResult:
    """What came out of each set of a suite: a row each, and for each model where the suite names several."""

    name: str
    rows: tuple[SuiteRow, ...]

    @property
    def scores(self) -> Mapping[str, Summary | None]:
        """The scores of each row, None where it failed."""
        return {row.key: row.summary for row in self.rows}

    @property
    def failures(self) -> Mapping[str, tuple[str, ...]]:
        """What failed, and what lies below its minimum."""
        return {row.key: row.failures for row in self.rows}

    @property
    def passed(self) -> bool:
        """Tell whether nothing failed."""
        return not any(row.failures for row in self.rows)


def evaluate_suite(
    suite: Path, output: Path, options: EvaluateOptions | None = None, *, listener: Listener | None = None
) -> SuiteResult:
    """Evaluate each data set of a suite into a folder of its own, and say which lie below their minimum.

    Of several models that the suite names each is evaluated on its own, in a folder of its name. Where the suite says
    `tune`, a model's threshold is chosen on the validation images of that set, which comes first, and used on the
    others. A set that fails does not stop the others. Writes suite.json and table.md. Raises EvaluationError for a
    suite that is none, and for options that none of its sets heeds; where a set says otherwise itself there is a
    remark.
    """
    options, listener = options or EvaluateOptions(), listener or Listener()
    plan = read_suite(suite)
    _refuse_persons_files(output)
    for remark in _not_heeded(plan, options):
        listener.remark(remark)
    models = (None,) if options.model is not None or not plan.models else plan.models
    rows: list[SuiteRow] = []
    for model in models:
        name = None if model is None else Path(model).name
        folder = output if name is None else output / name
        mine = options if model is None else replace(options, model=model)
        rows += _rows_of(plan, name, folder, mine, listener)
    result = SuiteResult(name=str(plan.name), rows=tuple(rows))
    write_json(
        output / RECORD_OF_SUITE,
        {"suite": plan.name, "sets": {row.key: row.to_table() for row in rows}, "passed": result.passed},
    )
    write_text(output / TABLE, markdown(rows, name=result.name))
    return result


def _refuse_persons_files(output: Path) -> None:
    """Raise RunError where a file of a person's would be replaced; a table beside a record of ours is ours."""
    refuse_other_file(output / RECORD_OF_SUITE, lambda content: b'"suite"' in content and b'"passed"' in content)
    if (output / TABLE).exists() and not (output / RECORD_OF_SUITE).exists():
        raise RunError(f"{output / TABLE} is there and not of glomseg, so nothing was written; choose another `output`")


def _not_heeded(plan: Suite, options: EvaluateOptions) -> list[str]:
    """Say where a set's own word goes before an option; raises EvaluationError for what no set heeds."""
    predicts = any(item.data is not None for item in plan.sets)
    asked = {"model": options.model is not None, "sweep": options.sweep, **asks_to_read(options.segment)}
    if not predicts and (idle := [f"`{name}`" for name, given in asked.items() if given]):
        raise EvaluationError(
            f"{', '.join(idle)} would change nothing: all sets of {plan.name} have results at hand, so that no model "
            "predicts; leave that away"
        )
    if options.slides and not any(map(_has_project, plan.sets)):
        raise EvaluationError(f"`slides` would change nothing: no set of {plan.name} is a project; leave it away")
    remarks = []
    for name in ("class_name", "mpp", "samples", "group_by", "unit", "part"):
        given, usual = getattr(options, name), getattr(EvaluateOptions(), name)
        own = [item.name for item in plan.sets if getattr(item, name) is not None]
        if given == usual or not own:
            continue
        if len(own) == len(plan.sets):
            raise EvaluationError(f"`{name}` would change nothing: each set of {plan.name} says its own; leave it away")
        remarks.append(f"`{name}` is not for {', '.join(own)}: the suite says another there")
    if options.model is not None and (plan.models or any(item.model for item in plan.sets)):
        remarks.append("`model` is what predicts, and not the models that the suite names")
    if plan.tune is not None and options.segment.threshold is not None:
        remarks.append(f"`threshold` is given, so that none is chosen on {plan.tune}, as the suite's tune would")
    return remarks


def _has_project(item: SuiteSet) -> bool:
    return any(path is not None and is_project(path) for path in (item.data, item.predicted, item.truth))


def _rows_of(
    plan: Suite, model: str | None, folder: Path, options: EvaluateOptions, listener: Listener
) -> list[SuiteRow]:
    """Evaluate all sets with one model, the one that its threshold is chosen on first."""
    rows, threshold = [], options.segment.threshold
    for item in sorted(plan.sets, key=lambda item: item.name != plan.tune):
        tunes = item.name == plan.tune and threshold is None
        row, chosen = _row(item, model, folder / item.name, options, threshold, listener, tunes=tunes)
        for failure in row.failures:
            listener.warning(f"{row.key}: {failure}")
        rows.append(row)
        if not tunes:
            continue
        if chosen is None:
            reason = f"set {item.name!r} chose no threshold; mark images of it as validation, or leave `tune` out"
            missing = [other for other in plan.sets if other.name != plan.tune]
            listener.warning(reason)
            return [*rows, *(SuiteRow(model=model, set=other.name, failures=(reason,)) for other in missing)]
        threshold = chosen
        listener.remark(f"threshold {threshold:g}, chosen on the validation images of {item.name}")
    return sorted(rows, key=lambda row: [item.name for item in plan.sets].index(row.set))


def _row(
    item: SuiteSet,
    model: str | None,
    output: Path,
    options: EvaluateOptions,
    threshold: float | None,
    listener: Listener,
    *,
    tunes: bool,
) -> tuple[SuiteRow, float | None]:
    """Evaluate one set; return its row, and the threshold that its validation images chose."""
    listener.remark(f"set {item.name}" if model is None else f"{model}: set {item.name}")
    _forget_peak()
    try:
        options = replace(options, segment=replace(options.segment, threshold=threshold), sweep=options.sweep or tunes)
        result = _evaluate_set(item, output, options, listener)
    except GlomsegError as error:
        return SuiteRow(model=model, set=item.name, failures=(str(error),)), None
    seconds: tuple[float, ...] = ()
    used, device = None, ""
    if (output / PREDICTIONS / RECORD).is_file() and item.data is not None:
        run = load_run(output / PREDICTIONS)
        seconds = tuple(sum(image.seconds.values()) for image in run.images.values() if image.seconds)
        used = run.summary()["parameters"].get("threshold")
        device = str(resolve_device(options.segment.device))
    row = SuiteRow(
        model=model,
        set=item.name,
        summary=result.summary,
        threshold=used,
        tuned_here=tunes,
        seconds=seconds,
        device=device,
        peak_gb=_peak_gb() if item.data is not None else None,
        failures=(*item.failures(result.summary), *result.unread),
    )
    return row, None if result.sweep is None else result.sweep.best_threshold


def _evaluate_set(item: SuiteSet, output: Path, options: EvaluateOptions, listener: Listener) -> EvaluationResult:
    """Evaluate one set: what the suite says of it counts, and the options for the rest."""
    options = replace(
        options,
        class_name=item.class_name or options.class_name,
        mpp=options.mpp if item.mpp is None else (item.mpp, item.mpp),
        samples=item.samples or options.samples,
        group_by=item.group_by or options.group_by,
        unit=item.unit or options.unit,
        part=item.part or options.part,
        slides=options.slides if _has_project(item) else (),
        kpis_compatible=item.kpis or options.kpis_compatible,
    )
    if item.data is None:
        assert item.predicted is not None
        assert item.truth is not None
        return evaluate_predictions(
            item.predicted, item.truth, output, replace(options, sweep=False), listener=listener
        )
    model = options.model or item.model
    if model is None:
        raise EvaluationError(f"set {item.name!r} needs a model to predict on its data; name one with `model`")
    return evaluate_model(item.data, output, replace(options, model=model), listener=listener)


def _forget_peak() -> None:
    """Let the peak of this process's memory begin anew, where Linux allows that."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_gb() -> float | None:
    """Return the peak of this process's memory since `_forget_peak`, None where it is not told."""
    if not sys.platform.startswith("linux"):
        return None
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1e6
    return None
