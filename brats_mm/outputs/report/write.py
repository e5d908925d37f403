"""Render the report page of a prediction."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from brats_mm.domain.prediction import Prediction
from brats_mm.outputs.report.page import render_page
from brats_mm.outputs.report.source import source_of


def page_of_prediction(prediction: Prediction, report: Mapping[str, Any], importance: Mapping[str, Any]) -> str:
    """Render the page of a prediction from the contents of `report.json` and `importance.json`, without a case name."""
    return render_page(source_of(prediction, report, importance), made_on=date.today())
