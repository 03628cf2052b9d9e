"""An evaluation as JSON, as Markdown for people, and its confusion as a picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

from training.counts import Interval
from training.metrics import Evaluation, Score
from training.operating_points import operating_lines
from training.reliability import reliability_svg

TABLE_HEAD = ("| label | precision | recall | F1 | 95 % interval | gold |", "| --- | --- | --- | --- | --- | --- |")
CELL, LABEL_WIDTH, HEADER = 46, 170, 130


def write_report(evaluation: Evaluation, folder: Path, title: str) -> None:
    """Write `report.json`, `report.md` and one `confusion-*.svg` a part into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(report_json(evaluation), encoding="utf-8")
    pictures = []
    for name, table in (("entities", evaluation.entity_confusion), ("events", evaluation.event_confusion)):
        if table:
            file = f"confusion-{name}.svg"
            (folder / file).write_text(confusion_svg(table, f"{title}: {name}, gold in rows"), encoding="utf-8")
            pictures.append(f"![confusion of {name}]({file})")
    if evaluation.reliability:
        (folder / "reliability.svg").write_text(reliability_svg(evaluation.reliability, title), encoding="utf-8")
        pictures.append("![scores against the share that is right](reliability.svg)")
    text = report_markdown(evaluation, title) + "\n" + "\n\n".join(pictures) + "\n"
    (folder / "report.md").write_text(text, encoding="utf-8")


def report_json(evaluation: Evaluation) -> str:
    """All figures, as one JSON object."""
    return json.dumps(asdict(evaluation), ensure_ascii=False, indent=1) + "\n"


def report_markdown(evaluation: Evaluation, title: str) -> str:
    """Tables of every label; figures in per cent, F1 with its 95 % interval."""
    lines = [
        f"# {title}",
        "",
        f"{evaluation.records} records, {evaluation.failed} without prediction",
    ]
    for heading, scores in (
        ("Entities (strict spans)", evaluation.entities),
        ("Event types", evaluation.events),
        ("Triggers (type, strict spans)", evaluation.triggers),
        ("Roles (event type, role, entity span)", evaluation.roles),
        ("Roles by event type", evaluation.role_types),
    ):
        if scores:
            lines += ["", f"## {heading}", "", *TABLE_HEAD]
            lines += [_row(name, score) for name, score in scores.items()]
    for part, scores in evaluation.subsets.items():
        lines += ["", f"## Subsets: {part}", "", TABLE_HEAD[0].replace("label", "subset", 1), TABLE_HEAD[1]]
        lines += [_row(name, score) for name, score in scores.items()]
    if evaluation.exact_set:
        lines += ["", f"Records whose set of event types is exactly right: {_percent(evaluation.exact_set)}"]
    for part, causes in evaluation.causes.items():
        lines += ["", f"## Causes of errors: {part}", "", "| cause | count |", "| --- | --- |"]
        lines += [f"| {cause} | {count} |" for cause, count in causes.items()]
    if evaluation.reliability:
        lines += ["", "## Calibration", "", "| part | expected calibration error | answers |", "| --- | --- | --- |"]
        lines += [f"| {part} | {each.error:.3f} | {each.answers} |" for part, each in evaluation.reliability.items()]
    if evaluation.operating_points:
        lines += ["", "## Thresholds of event types for a precision", "", *operating_lines(evaluation.operating_points)]
    return "\n".join(lines) + "\n"


def _row(name: str, score: Score) -> str:
    f1 = score.f1
    figures = " | ".join(f"{100 * value:.1f}" for value in (score.precision, score.recall, f1.value))
    return f"| {name} | {figures} | {100 * f1.low:.1f} to {100 * f1.high:.1f} | {score.support} |"


def _percent(interval: Interval) -> str:
    return f"{100 * interval.value:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def confusion_svg(table: Mapping[str, Mapping[str, int]], title: str) -> str:
    """A table of counts as a picture: the darker a cell, the larger its share of the row."""
    rows, columns = list(table), list(next(iter(table.values())))
    width, height = LABEL_WIDTH + CELL * len(columns) + 20, HEADER + CELL * len(rows) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/><text x="8" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    parts += _column_heads(columns)
    for r, row in enumerate(rows):
        y = HEADER + CELL * r
        parts.append(f'<text x="{LABEL_WIDTH - 8}" y="{y + CELL / 2 + 4}" text-anchor="end">{escape(row)}</text>')
        total = sum(table[row].values())
        for c, column in enumerate(columns):
            parts.append(_cell(LABEL_WIDTH + CELL * c, y, table[row][column], total, same=row == column))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _column_heads(columns: Sequence[str]) -> list[str]:
    heads = []
    for c, column in enumerate(columns):
        x, y = LABEL_WIDTH + CELL * c + CELL / 2, HEADER - 8
        heads.append(f'<text x="{x}" y="{y}" transform="rotate(-45 {x} {y})">{escape(column)}</text>')
    return heads


def _cell(x: float, y: float, count: int, total: int, *, same: bool) -> str:
    share = count / total if total else 0.0
    hue = "34,120,60" if same else "190,60,40"
    ink = "white" if share > 0.5 else "black"
    number = (
        f'<text x="{x + CELL / 2}" y="{y + CELL / 2 + 4}" text-anchor="middle" fill="{ink}">{count}</text>' if count else ""
    )
    return f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="rgba({hue},{max(share, 0.04):.2f})"/>{number}'
