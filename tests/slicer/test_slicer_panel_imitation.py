"""The panel's code with fake qt and slicer modules. This checks that it runs, not that it works in 3D Slicer."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import pytest

from BratsMMLib.failures import Refused
from BratsMMLib.running import Cancelled, Done, Failed, Progress
from BratsMMLib.sequences import Sequence

MODULE = Path(__file__).parents[2] / "apps" / "slicer" / "BratsMM" / "BratsMM.py"


class Widget(MagicMock):
    """A widget that stores the values that it receives."""

    text = ""
    checked = False
    currentIndex = 0


class Selector(Widget):
    """A node selector."""

    node = None

    def setCurrentNode(self, node):
        self.node = node

    def currentNode(self):
        return self.node


class Node:
    def __init__(self, key, name):
        self.key, self.name = key, name

    def GetID(self):
        return self.key

    def GetName(self):
        return self.name

    def GetAttribute(self, name):
        return None

    def IsA(self, kind):
        return False


class Settings:
    """Qt's settings for one test."""

    kept = {}  # noqa: RUF012 (Slicer's are shared by all, too)

    def value(self, name, default=None):
        return self.kept.get(name, default)

    def setValue(self, name, value):
        self.kept[name] = value


def base(name):
    def start(self, *args):
        self.layout = MagicMock()

    methods = {
        "__init__": start,
        "setup": lambda self: None,
        "addObserver": MagicMock(),
        "removeObservers": MagicMock(),
    }
    return type(name, (), methods | {"resourcePath": lambda self, path: path})


@pytest.fixture
def panel(monkeypatch):
    """A panel on a scene with two volumes."""
    Settings.kept = {}
    nodes = {"a": Node("a", "case_T1ce"), "b": Node("b", "case_FLAIR")}
    qt, slicer, loadable, util = MagicMock(), MagicMock(), ModuleType("loadable"), ModuleType("util")
    qt.QSettings = Settings
    slicer.util.tryWithErrorDisplay.return_value.__exit__.return_value = False
    widgets = {f"{one.value}Selector": Selector() for one in Sequence}
    slicer.util.childWidgetVariables.return_value = Ui(widgets)
    slicer.util.getNodesByClass.return_value = list(nodes.values())
    slicer.mrmlScene.GetNodeByID = nodes.get
    for name in ("", "Widget", "Logic", "Test"):
        setattr(loadable, f"ScriptedLoadableModule{name}", base(f"ScriptedLoadableModule{name}"))
    util.VTKObservationMixin = type("VTKObservationMixin", (), {})
    for name, module in {
        "qt": qt,
        "vtk": MagicMock(),
        "slicer": slicer,
        "slicer.util": util,
        "slicer.ScriptedLoadableModule": loadable,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("BratsMM_imitated", MODULE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    actual = module.BratsMMWidget()
    actual.setup()
    return actual


class Ui(SimpleNamespace):
    """Widgets by name, created on first access."""

    def __init__(self, widgets):
        super().__init__(**widgets)

    def __getattr__(self, name):
        setattr(self, name, Widget())
        return getattr(self, name)


def test_panel_guesses_sequences_with_reasons_on_start(panel):
    """The Run button is enabled."""
    assert {sequence.value: node.GetID() for sequence, node in panel.chosen().items()} == {"t1ce": "a", "flair": "b"}
    assert "Recognised by its name" in panel.ui.t1ceReason.text
    assert "Leave it empty" in panel.ui.t1Reason.text
    assert "not for diagnosis" in panel.ui.statementLabel.text
    assert panel.ui.runButton.enabled


def test_other_machine_needs_consent_which_is_reset_with_address(panel):
    """The Run button is disabled until then. Neither consent nor token is stored."""
    panel.ui.urlEdit.text = "https://example.org"
    panel.onSettings()
    assert not panel.ui.runButton.enabled
    assert "T1ce, FLAIR to example.org" in panel.ui.consentText.text
    panel.ui.consentBox.checked = True
    panel.showState()
    assert panel.ui.runButton.enabled
    panel.ui.urlEdit.text = "https://example.com"
    panel.onSettings()
    assert not panel.ui.consentBox.checked
    assert set(Settings.kept) == {"BratsMM/place", "BratsMM/url", "BratsMM/program"}


def test_settings_are_restored(panel):
    """The panel restores the saved settings."""
    panel.ui.urlEdit.text, panel.ui.placeBox.currentIndex = "http://localhost:9", 1
    panel.onSettings()
    panel.ui.urlEdit.text = ""
    panel.restoreSettings()
    assert (panel.ui.urlEdit.text, panel.ui.placeBox.currentIndex) == ("http://localhost:9", 1)


def test_same_volume_for_two_sequences_cannot_run(panel):
    """The panel shows the reason."""
    panel.selectors[Sequence.T2].setCurrentNode(panel.selectors[Sequence.FLAIR].currentNode())
    panel.showState()
    assert not panel.ui.runButton.enabled
    assert "twice" in panel.ui.runButton.toolTip


@pytest.mark.parametrize(
    ("end", "message"),
    [(Failed("The grids differ."), "The grids differ."), (Cancelled(), "Cancelled. Nothing was kept.")],
)
def test_end_of_run_is_reported(panel, end, message):
    """Afterwards the panel can start another run."""
    panel.run = SimpleNamespace(news=lambda: [Progress("Reading", 0.1), end])
    panel.onTimer()
    assert panel.run is None
    assert panel.ui.messageLabel.text == message
    assert panel.ui.runButton.enabled


def test_result_is_shown_with_table_chart_and_uncertain_regions(panel, tmp_path):
    """Stepping goes to each region, and the controls change the scene."""
    region = {"volume_ml": 1.0, "volume_range_ml": [0.5, 1.5], "mean_entropy_inside_nats": 0.2}
    area = {"rank": 1, "region": "tc", "position_mm_ras": [1, 2, 3], "volume_ml": 2, "mean_entropy_nats": 0.6}
    report = {
        "sequences_found": ["t1ce", "flair"],
        "regions": dict.fromkeys(("wt", "tc", "et"), region),
        "uncertain_regions": [area],
        "warnings": ["Segmented without T1, T2."],
    }
    weights = {one.value: dict.fromkeys(("wt", "tc", "et"), 0.5) for one in Sequence}
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "importance.json").write_text(json.dumps({"weights": weights}))
    panel.logic.show = MagicMock()
    panel.logic.builder = builder = MagicMock()
    panel.inputs = panel.chosen()
    panel.run = SimpleNamespace(news=lambda: [Done(tmp_path)])
    panel.onTimer()
    assert "Warning: Segmented without T1, T2." in panel.ui.messageLabel.text
    panel.ui.volumesTable.setRowCount.assert_called_with(3)
    assert panel.ui.resultsBox.enabled
    panel.onStep(panel.stepper.next())
    builder.go_to.assert_called_with((1.0, 2.0, 3.0))
    assert panel.ui.areaLabel.text.startswith("1 of 1. Tumour core")
    panel.onThreshold(0.4)
    panel.onLegend(visible=False)
    builder.set_shown_from.assert_called_with(panel.shown, 0.4)
    builder.set_legend.assert_called_with(panel.shown, visible=False)
    panel.onSceneClosed()
    assert not panel.ui.resultsBox.enabled
    panel.cleanup()


def kept_result(panel, job):
    panel.result = SimpleNamespace(job=job)
    panel.shown = SimpleNamespace(segmentation="edited", entropy="grid")
    panel.place = "the service"
    panel.showState()


def test_correction_needs_kept_job_author_and_confirmation(panel):
    """The panel names what is missing."""
    kept_result(panel, None)
    assert "Keep the images" in panel.ui.submitButton.toolTip
    kept_result(panel, "abc")
    assert not panel.ui.submitButton.enabled
    panel.ui.authorEdit.text, panel.ui.checkedBox.checked = "Dr Ann", True
    panel.showState()
    assert panel.ui.submitButton.enabled
    panel.onSceneClosed()
    assert not panel.ui.submitButton.enabled


@pytest.mark.parametrize(
    ("end", "message"), [(Done(Path()), "Version 1 is stored."), (Failed("The grids differ."), "The grids differ.")]
)
def test_correction_is_submitted_in_background(panel, end, message):
    kept_result(panel, "abc")
    panel.ui.authorEdit.text, panel.ui.checkedBox.checked = "Dr Ann", True
    submitted = []

    def submit(submission, shown):
        submitted.append((submission.job, submission.author, submission.place, shown.segmentation))
        submission.told("Version 1 is stored.")
        return SimpleNamespace(news=lambda: [Progress("Sending the correction", 0.5), end])

    panel.logic.submit = submit
    panel.onSubmit()
    assert submitted == [("abc", "Dr Ann", "the service", "edited")]
    assert not panel.ui.submitButton.enabled
    panel.onTimer()
    assert panel.ui.correctionLabel.text == message
    assert panel.submission is None


def test_failed_export_reports_reason(panel):
    kept_result(panel, "abc")
    panel.logic.submit = MagicMock(side_effect=Refused("The segment “Cyst” is not part of the result."))
    panel.onSubmit()
    assert "Cyst" in panel.ui.correctionLabel.text
    assert panel.submission is None


def test_run_starts_and_cancels(panel):
    """The run starts through the logic, with the chosen service."""
    started = []

    def start(runner, inputs):
        started.append((runner, inputs))
        return MagicMock()

    panel.logic.start = start
    panel.onRun()
    assert started[0][0].place.url == "http://127.0.0.1:8000"
    assert set(started[0][1]) == {Sequence.T1CE, Sequence.FLAIR}
    panel.onCancel()
    panel.run.cancel.assert_called_once()
