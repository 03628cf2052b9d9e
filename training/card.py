"""The model card: what the model is, what it was made from, what it scores, where it should not be trusted."""

from collections.abc import Mapping
from typing import Any

from labels.folder import Manifest
from labels.schema import LabelSchema
from training.provenance import provenance_section
from training.report import TABLE_HEAD


def model_card(manifest: Manifest, schema: LabelSchema, reports: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown, from the manifest and the reports alone."""
    lines = [
        f"# {manifest.name}",
        "",
        "Reads Modern Standard Arabic news, one sentence at a time, and gives "
        + " and ".join(
            part
            for part in (
                f"spans of {', '.join(schema.entity_labels)}" if schema.entity_labels else "",
                f"{len(schema.event_types)} event types" if schema.event_types else "",
            )
            if part
        )
        + ".",
        "",
        f"- base encoder: `{manifest.base}`",
        f"- label schema: `{schema.name}`, fingerprint `{manifest.schema_fingerprint}`",
        f"- longest row: {manifest.window} pieces; longer sentences are read in windows that share {manifest.overlap}",
        f"- made by Marsad {manifest.marsad_version}",
        "",
        *provenance_section(manifest.data),
    ]
    for split, report in reports.items():
        lines += [
            "",
            f"## Measured on {split}",
            "",
            *TABLE_HEAD,
        ]
        for part in ("entities", "events", "triggers", "roles"):
            if report.get(part):
                lines.append(f"| **{part}** | | | | | |")
            lines += [_row(name, score) for name, score in report.get(part, {}).items()]
    lines += [
        "",
        "## Limits",
        "",
        "Trained on news from a handful of newspapers and agencies, the dated part of it from 2006 to 2017; dialect, social "
        "media and other domains were not measured. It reports what a text says, not what happened: claims, errors and "
        "propaganda come through. Names of persons are labelled; do not use it to single out people. Scores are calibrated "
        "on the dev split only.",
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, score: Mapping[str, Any]) -> str:
    f1 = score["f1"]
    cells = [f"{100 * v:.1f}" for v in (score["precision"], score["recall"], f1["value"])]
    return f"| {name} | {' | '.join(cells)} | {100 * f1['low']:.1f} to {100 * f1['high']:.1f} | {score['support']} |"
