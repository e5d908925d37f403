"""Tables of a cohort: `results.parquet` or `.csv` with one row per case, and `failures.csv` with reasons."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from enum import Enum
from pathlib import Path
from typing import Any

from brats_mm.cohort.ledger import Failure
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.regions import REGIONS
from brats_mm.outputs.csv_text import escape_formula
from brats_mm.outputs.folder import convert_output_errors
from brats_mm.outputs.parquet import write_parquet

STAGES = ("read", "register", "bias", "brain", "prepare", "network", "restore", "back", "write")


class TableFormat(str, Enum):
    """Format of the results table."""

    PARQUET = "parquet"
    CSV = "csv"


COLUMNS: Mapping[str, type] = {
    "case": str,
    "sequences": str,
    **{f"volume_{region.value}_ml": float for region in REGIONS},
    **{f"volume_{region.value}_low_ml": float for region in REGIONS},
    **{f"volume_{region.value}_high_ml": float for region in REGIONS},
    **{f"entropy_{region.value}_nats": float for region in REGIONS},
    **{f"estimated_dice_{region.value}": float for region in REGIONS},
    **{f"expected_dice_{region.value}": float for region in REGIONS},
    **{f"expected_dice_{region.value}_low": float for region in REGIONS},
    **{f"expected_dice_{region.value}_high": float for region in REGIONS},
    **{f"reliability_{region.value}": str for region in REGIONS},
    **{f"volume_{region.value}_interval_low_ml": float for region in REGIONS},
    **{f"volume_{region.value}_interval_high_ml": float for region in REGIONS},
    "advice": str,
    "uncertain_regions": int,
    **{f"importance_{modality.value}_{region.value}": float for modality in MODALITIES for region in REGIONS},
    **{f"seconds_{stage}": float for stage in STAGES},
    "seconds": float,
    "raw": bool,
    "warnings": str,
    "model": str,
    "model_version": str,
    "weights_sha256": str,
    "device": str,
    "results": str,
}
"""Columns of the results table. Cells without a value, such as the entropy inside an empty region, are empty."""


def build_row(case: str, location: str, report: Mapping[str, Any], importance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table row of a case.

    Args:
        case: name of the case.
        location: location of its results, relative to the cohort's folder.
        report, importance: content of `report.json` and `importance.json`.
    """
    row: dict[str, Any] = {"case": case, "sequences": "+".join(report["sequences_found"]), "results": location}
    for name, region in report["regions"].items():
        high, low = sorted(region["volume_range_ml"], reverse=True)
        row |= {f"volume_{name}_ml": region["volume_ml"], f"volume_{name}_low_ml": low, f"volume_{name}_high_ml": high}
        row[f"entropy_{name}_nats"] = region["mean_entropy_inside_nats"]
        row |= {f"{key}_{name}": region.get(key) for key in ("estimated_dice", "expected_dice", "reliability")}
        if (dice := region.get("expected_dice_interval")) is not None:
            row |= {f"expected_dice_{name}_low": dice[0], f"expected_dice_{name}_high": dice[1]}
        if (volume := region.get("volume_interval_ml")) is not None:
            row |= {f"volume_{name}_interval_low_ml": volume[0], f"volume_{name}_interval_high_ml": volume[1]}
    for modality, weights in importance["weights"].items():
        row |= {f"importance_{modality}_{name}": weight for name, weight in weights.items()}
    seconds, model = report["run"]["seconds"], report["model"]
    row |= {f"seconds_{stage}": seconds[stage] for stage in STAGES if stage in seconds}
    return row | {
        "seconds": round(sum(seconds.values()), 3),
        "uncertain_regions": len(report["uncertain_regions"]),
        "advice": report.get("trust", {}).get("advice"),
        "raw": (report["preparation"] or {}).get("kind") == "raw",
        "warnings": "; ".join(report["warnings"]),
        "model": model["name"],
        "model_version": model["version"],
        "weights_sha256": model["weights_sha256"],
        "device": report["run"]["device"],
    }


def write_results_table(folder: Path, rows: Iterator[Mapping[str, Any]], kind: TableFormat) -> Path:
    """Write `results.parquet` or `results.csv`, replacing an earlier table atomically.

    Args:
        folder: folder of the cohort.
        rows: table rows from `build_row`.
        kind: format of the table.

    Raises:
        OutputError: the table cannot be written.
    """
    path = folder / f"results.{kind.value}"
    aside = folder / f".{path.name}.partial"
    with convert_output_errors(path):
        if kind is TableFormat.PARQUET:
            write_parquet(aside, COLUMNS, rows)
        else:
            _write_csv(aside, COLUMNS, rows)
        aside.replace(path)
    return path


def _write_csv(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(columns), extrasaction="ignore")
        writer.writeheader()
        writer.writerows({name: escape_formula(value) for name, value in row.items()} for row in rows)


def write_failures(folder: Path, failures: Iterator[Failure]) -> Path:
    """Write `failures.csv`: case, kind, detail, attempts. The file has only a header if no case failed.

    Raises:
        OutputError: the table cannot be written.
    """
    path = folder / "failures.csv"
    aside = folder / ".failures.csv.partial"
    with convert_output_errors(path):
        _write_csv(aside, [field.name for field in fields(Failure)], map(asdict, failures))
        aside.replace(path)
    return path
