"""BraTS-MM for 3D Slicer: segment brain tumours from any loaded subset of T1, T1ce, T2 and FLAIR.

This module contains only widgets and the scene. The logic is in BratsMMLib, which does not need Slicer.
"""

import tempfile
from pathlib import Path

import qt
import slicer
import vtk
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from BratsMMLib.command import CommandRunner
from BratsMMLib.consent import format_consent, is_local
from BratsMMLib.correction import LABEL_FILE, Submission, export_labels
from BratsMMLib.failures import Failure
from BratsMMLib.guess import DICOM_FIELDS, Loaded, guess
from BratsMMLib.layout import Look
from BratsMMLib.painting import lay_out_bars
from BratsMMLib.results import NOT_FOR_DIAGNOSIS, VOLUME_HEADS, Stepper, read_result
from BratsMMLib.running import Cancelled, Done, Failed, Progress, Run
from BratsMMLib.scene import SceneBuilder
from BratsMMLib.sequences import SEQUENCES
from BratsMMLib.service import Place, ServiceRunner

LOOK_AGAIN_MS = 150
SERVICE, COMMAND = 0, 1


class BratsMM(ScriptedLoadableModule):
    """Entry in Slicer's list of modules."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "BraTS-MM"
        parent.categories = ["Segmentation"]
        parent.dependencies = []
        parent.contributors = ["The BraTS-MM developers"]
        parent.helpText = (
            "Segments brain tumours on MRI from any loaded subset of T1, T1ce, T2 and FLAIR, and shows where the model "
            f"is uncertain. {NOT_FOR_DIAGNOSIS}"
        )
        parent.acknowledgementText = "Method: Li, Chen, Han: SimMLM, ICCV 2025."


class BratsMMWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: choose sequences, run, inspect."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def setup(self):
        """Load the panel, and connect it."""
        ScriptedLoadableModuleWidget.setup(self)
        self.logic, self.run, self.shown, self.stepper = BratsMMLogic(), None, None, Stepper(())
        self.result, self.submission, self.place = None, None, None
        panel = slicer.util.loadUI(self.resourcePath("UI/BratsMM.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.selectors = {sequence: getattr(self.ui, f"{sequence.value}Selector") for sequence in SEQUENCES}
        self.reasons = {sequence: getattr(self.ui, f"{sequence.value}Reason") for sequence in SEQUENCES}
        self.ui.statementLabel.text = NOT_FOR_DIAGNOSIS
        self.chart = ImportanceChart()
        self.ui.importanceFrame.layout().addWidget(self.chart.label)
        self.timer = qt.QTimer()
        self.timer.setInterval(LOOK_AGAIN_MS)
        self.timer.connect("timeout()", self.onTimer)
        self._connect()
        self.restoreSettings()
        self.guessSequences()
        self.showState()

    def _connect(self):
        for selector in self.selectors.values():
            selector.connect("currentNodeChanged(vtkMRMLNode*)", self.showState)
        self.ui.guessButton.connect("clicked()", self.guessSequences)
        self.ui.placeBox.connect("currentIndexChanged(int)", self.onSettings)
        for line in (self.ui.urlEdit, self.ui.tokenEdit, self.ui.programEdit):
            line.connect("textChanged(QString)", self.onSettings)
        self.ui.consentBox.connect("toggled(bool)", self.showState)
        self.ui.runButton.connect("clicked()", self.onRun)
        self.ui.authorEdit.connect("textChanged(QString)", self.showState)
        self.ui.checkedBox.connect("toggled(bool)", self.showState)
        self.ui.submitButton.connect("clicked()", self.onSubmit)
        self.ui.cancelButton.connect("clicked()", self.onCancel)
        self.ui.opacitySlider.connect("valueChanged(double)", self.logic.builder.set_opacity)
        self.ui.thresholdSlider.connect("valueChanged(double)", self.onThreshold)
        self.ui.legendBox.connect("toggled(bool)", self.onLegend)
        self.ui.nextButton.connect("clicked()", lambda: self.onStep(self.stepper.next()))
        self.ui.previousButton.connect("clicked()", lambda: self.onStep(self.stepper.previous()))
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeAddedEvent, self.onNodeAdded)
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.EndCloseEvent, self.onSceneClosed)

    def cleanup(self):
        """Stop the run when Slicer closes or reloads the module."""
        self.timer.stop()
        for run in (self.run, self.submission):
            if run is not None:
                run.cancel()
        self.logic.discard()
        self.removeObservers()

    # Settings that Slicer keeps between sessions. Consent and token are never kept.

    def restoreSettings(self):
        """Restore the settings of the last session."""
        settings = qt.QSettings()
        self.ui.placeBox.currentIndex = int(settings.value("BratsMM/place", SERVICE))
        self.ui.urlEdit.text = settings.value("BratsMM/url", "http://127.0.0.1:8000")
        self.ui.programEdit.text = settings.value("BratsMM/program", "brats-mm")

    def onSettings(self, *_):
        """Save the settings. Consent for an earlier address does not apply to a new one."""
        settings = qt.QSettings()
        settings.setValue("BratsMM/place", self.ui.placeBox.currentIndex)
        settings.setValue("BratsMM/url", self.ui.urlEdit.text)
        settings.setValue("BratsMM/program", self.ui.programEdit.text)
        self.ui.consentBox.checked = self.ui.keepBox.checked = False
        self.showState()

    # Choosing

    def onNodeAdded(self, *_):
        """Schedule one guess of the sequences, because volumes are added one after another."""
        qt.QTimer.singleShot(500, self.guessIfUntouched)

    def guessIfUntouched(self):
        """Guess the sequences if nothing has been chosen yet."""
        if self.run is None and not any(selector.currentNode() for selector in self.selectors.values()):
            self.guessSequences()

    def guessSequences(self):
        """Guess volumes by names and DICOM fields, and show the reasons."""
        for sequence, guessed in guess(self.logic.loaded()).items():
            node = slicer.mrmlScene.GetNodeByID(guessed.key) if guessed.key else None
            self.selectors[sequence].setCurrentNode(node)
            self.reasons[sequence].text = guessed.reason
        self.showState()

    def chosen(self):
        """Return the chosen node of each sequence."""
        nodes = {sequence: selector.currentNode() for sequence, selector in self.selectors.items()}
        return {sequence: node for sequence, node in nodes.items() if node is not None}

    def showState(self, *_):
        """Update the state of buttons, and the text about data that would leave the machine."""
        chosen, running = self.chosen(), self.run is not None
        remote = self.ui.placeBox.currentIndex == SERVICE
        away = remote and not is_local(self.ui.urlEdit.text)
        twice = len({node.GetID() for node in chosen.values()}) < len(chosen)
        for widget, visible in (
            (self.ui.servicePanel, remote),
            (self.ui.commandPanel, not remote),
            (self.ui.consentBox, away),
            (self.ui.keepBox, remote),
            (self.ui.correctionBox, remote),
            (self.ui.cancelButton, running),
            (self.ui.progressBar, running),
        ):
            widget.visible = visible
        self.ui.consentText.visible = away
        self.ui.consentText.text = format_consent(self.ui.urlEdit.text, chosen)
        self.ui.runButton.enabled = (
            bool(chosen) and not running and not twice and (not away or self.ui.consentBox.checked)
        )
        self.ui.runButton.toolTip = "One volume is chosen twice." if twice else "Segment the chosen volumes."
        self.ui.resultsBox.enabled = self.shown is not None
        kept = self.shown is not None and self.result.job is not None
        ready = bool(self.ui.authorEdit.text.strip()) and bool(self.ui.checkedBox.checked)
        self.ui.submitButton.enabled = kept and ready and not running and self.submission is None
        self.ui.submitButton.toolTip = (
            "Enter the author, and confirm that you checked all outlines."
            if kept
            else "Tick “Keep the images on the service” before the run."
        )

    # Running

    def onRun(self):
        """Write the chosen volumes to files and start the run in the background."""
        remote = self.ui.placeBox.currentIndex == SERVICE
        place = Place(self.ui.urlEdit.text, self.ui.tokenEdit.text, self.ui.consentBox.checked)
        left_out = bool(self.ui.leaveOutBox.checked)
        runner = (
            ServiceRunner(place, leave_one_out=left_out, keep=bool(self.ui.keepBox.checked))
            if remote
            else CommandRunner(self.ui.programEdit.text, leave_one_out=left_out)
        )
        with slicer.util.tryWithErrorDisplay("The volumes could not be prepared.", waitCursor=True):
            self.inputs, self.place = self.chosen(), place
            self.run = self.logic.start(runner, self.inputs)
            self.ui.messageLabel.text = ""
            self.timer.start()
        self.showState()

    def onCancel(self):
        """Cancel the run. The timer handles its end."""
        self.run.cancel()
        self.ui.progressBar.setFormat("Cancelling")

    def onTimer(self):
        """Handle the run's events in the window's thread."""
        if self.submission is not None:
            self.onSubmissionNews()
        for news in () if self.run is None else self.run.news():
            if isinstance(news, Progress):
                self.ui.progressBar.setRange(0, 0 if news.share is None else 1000)
                self.ui.progressBar.setValue(int(1000 * (news.share or 0)))
                self.ui.progressBar.setFormat(news.text)
                continue
            self.run = None
            self.stopTimer()
            if isinstance(news, Done):
                self.onDone(news.folder)
            elif isinstance(news, Failed):
                self.ui.messageLabel.text = news.message
            elif isinstance(news, Cancelled):
                self.ui.messageLabel.text = "Cancelled. Nothing was kept."
            self.showState()
            return

    def stopTimer(self):
        """Stop the timer once nothing runs."""
        if self.run is None and self.submission is None:
            self.timer.stop()

    def onDone(self, folder):
        """Show the result."""
        try:
            self.result = read_result(folder)
            self.shown = self.logic.show(self.result, self.inputs)
        except Failure as failure:
            self.ui.messageLabel.text = str(failure)
            return
        finally:
            self.logic.discard()
        overlay = Look().overlay
        self.ui.opacitySlider.value = overlay.opacity
        self.ui.thresholdSlider.value = overlay.shown_from
        self.ui.legendBox.checked = overlay.legend
        self.ui.messageLabel.text = "\n".join(self.result.messages)
        self.ui.correctionLabel.text = ""
        self.ui.checkedBox.checked = False
        self.fillTable()
        self.chart.draw(self.result.bars)
        self.stepper = Stepper(self.result.areas)
        self.ui.nextButton.enabled = self.ui.previousButton.enabled = bool(self.result.areas)
        self.ui.areaLabel.text = (
            f"{len(self.result.areas)} regions to review" if self.result.areas else "No regions to review."
        )

    # Correcting

    def onSubmit(self):
        """Export the edited segmentation and submit it in the background."""
        told = []
        submission = Submission(self.place, self.result.job, self.ui.authorEdit.text.strip(), told.append)
        try:
            self.submission = self.logic.submit(submission, self.shown)
        except Failure as failure:
            self.ui.correctionLabel.text = str(failure)
            return
        self.told = told
        self.ui.correctionLabel.text = "Sending the correction"
        self.timer.start()
        self.showState()

    def onSubmissionNews(self):
        """Show the end of a submission."""
        ends = [news for news in self.submission.news() if not isinstance(news, Progress)]
        if not ends:
            return
        self.submission = None
        self.stopTimer()
        self.logic.discard_submission()
        if isinstance(ends[0], Done):
            self.ui.correctionLabel.text = " ".join(self.told)
            self.ui.checkedBox.checked = False
        elif isinstance(ends[0], Failed):
            self.ui.correctionLabel.text = ends[0].message
        self.showState()

    # Looking

    def fillTable(self):
        """Show the volumes with their intervals."""
        table = self.ui.volumesTable
        table.setColumnCount(len(VOLUME_HEADS))
        table.setHorizontalHeaderLabels(list(VOLUME_HEADS))
        table.setRowCount(len(self.result.volumes))
        for line, row in enumerate(self.result.volumes):
            for column, cell in enumerate(row.cells):
                item = qt.QTableWidgetItem(cell)
                item.setToolTip(row.advice or "")
                table.setItem(line, column, item)
        table.resizeColumnsToContents()

    def onThreshold(self, nats):
        """Hide entropy below this value."""
        if self.shown is not None:
            self.logic.builder.set_shown_from(self.shown, nats)

    def onLegend(self, visible):
        """Show or hide the colour legend."""
        if self.shown is not None:
            self.logic.builder.set_legend(self.shown, visible=visible)

    def onStep(self, area):
        """Go to a region to review."""
        if area is not None:
            self.logic.builder.go_to(area.position_mm_ras)
            self.ui.areaLabel.text = f"{self.stepper.at + 1} of {len(self.stepper.areas)}. {area.sentence}"

    def onSceneClosed(self, *_):
        """Reset after the nodes were removed."""
        self.shown, self.stepper = None, Stepper(())
        self.ui.areaLabel.text = ""
        self.ui.volumesTable.setRowCount(0)
        self.chart.draw(())
        self.showState()


class ImportanceChart:
    """Bar chart of the importance of each sequence."""

    WIDTH, ROW = 360, 46

    def __init__(self):
        self.label = qt.QLabel()

    def draw(self, bars):
        """Draw the bars. An empty list clears the chart."""
        blocks = lay_out_bars(bars, self.WIDTH, self.ROW)
        pixmap = qt.QPixmap(self.WIDTH, max(1, blocks.height))
        pixmap.fill(qt.QColor(0, 0, 0, 0))
        painter = qt.QPainter(pixmap)
        ink = self.label.palette.color(qt.QPalette.WindowText)
        for block in blocks.blocks:
            painter.fillRect(block.x, block.y, block.width, block.height, qt.QColor(*block.colour))
        painter.setPen(ink)
        for text in blocks.texts:
            painter.drawText(text.x, text.y, text.text)
        painter.end()
        self.label.setPixmap(pixmap)


class BratsMMLogic(ScriptedLoadableModuleLogic):
    """Connect the MRML scene to `BratsMMLib`."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self.builder = SceneBuilder(slicer, slicer.mrmlScene)
        self._folder = self._submitted = None

    def loaded(self):
        """Return the scene's scalar volumes with the DICOM fields that identify sequences."""
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        images = [node for node in volumes if not node.IsA("vtkMRMLLabelMapVolumeNode")]
        return [Loaded(node.GetID(), node.GetName(), self._read_dicom_fields(node)) for node in images]

    def start(self, runner, inputs):
        """Write the volumes as NRRD, with geometry only in their headers, and run."""
        self.discard()
        self._folder = tempfile.TemporaryDirectory(prefix="brats-mm-", ignore_cleanup_errors=True)
        place = Path(self._folder.name)
        (place / "result").mkdir()
        files = {sequence: place / f"{sequence.value}.nrrd" for sequence in inputs}
        for sequence, node in inputs.items():
            self._write(node, files[sequence])
        return Run(runner, files, place / "result").start()

    def submit(self, submission, shown):
        """Write the corrected segments on the grid of the result, and submit them."""
        self.discard_submission()
        self._submitted = tempfile.TemporaryDirectory(prefix="brats-mm-", ignore_cleanup_errors=True)
        place = Path(self._submitted.name)
        export_labels(slicer, slicer.mrmlScene, shown.segmentation, shown.entropy, place / LABEL_FILE)
        return Run(submission, {}, place).start()

    def discard_submission(self):
        """Delete the exported label map."""
        if self._submitted is not None:
            self._submitted.cleanup()
            self._submitted = None

    def show(self, result, inputs):
        """Add a result to the scene."""
        with slicer.util.RenderBlocker():
            return self.builder.show(result, inputs)

    def discard(self):
        """Delete the files of the last run. Shown results are in memory."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @staticmethod
    def _write(node, path):
        """Write a copy without name and attributes, which may identify the patient."""
        copy = slicer.vtkMRMLScalarVolumeNode()
        copy.SetName("volume")
        copy.SetAndObserveImageData(node.GetImageData())
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        copy.SetIJKToRASMatrix(matrix)
        slicer.mrmlScene.AddNode(copy)
        try:
            written = slicer.util.exportNode(copy, str(path), {"useCompression": 0})
        finally:
            slicer.mrmlScene.RemoveNode(copy)
        if not written or not path.is_file():
            raise OSError(f"{node.GetName()} could not be written to a file. Check the disk.")

    @staticmethod
    def _read_dicom_fields(node):
        """Return the fields of the volume's first DICOM instance, or an empty dict if it is not in the database."""
        first = (node.GetAttribute("DICOM.instanceUIDs") or "").split(" ")[0]
        database = slicer.dicomDatabase
        if not first or database is None or not database.isOpen:
            return {}
        values = {name: database.instanceValue(first, DICOM_TAGS[name]) for name in DICOM_FIELDS}
        return {name: value for name, value in values.items() if value}


DICOM_TAGS = {
    "Modality": "0008,0060",
    "SeriesDescription": "0008,103E",
    "ProtocolName": "0018,1030",
    "ImageType": "0008,0008",
    "ScanningSequence": "0018,0020",
    "EchoTime": "0018,0081",
    "RepetitionTime": "0018,0080",
    "InversionTime": "0018,0082",
    "ContrastBolusAgent": "0018,0010",
}


class BratsMMTest(ScriptedLoadableModuleTest):
    """Tests that need Slicer: the panel loads, guesses, and refuses to send without consent."""

    def runTest(self):
        """Run all tests."""
        self.setUp()
        self.test_guessAndConsent()

    def setUp(self):
        """Start with an empty scene."""
        slicer.mrmlScene.Clear()

    def test_guessAndConsent(self):
        """Two named volumes are guessed, and another machine needs consent."""
        for name in ("case_T1ce", "case_FLAIR"):
            slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        widget = slicer.modules.bratsmm.widgetRepresentation().self()
        widget.guessSequences()
        self.assertEqual({sequence.value for sequence in widget.chosen()}, {"t1ce", "flair"})
        url, index = widget.ui.urlEdit.text, widget.ui.placeBox.currentIndex
        try:
            widget.ui.placeBox.currentIndex = SERVICE
            widget.ui.urlEdit.text = "https://example.org"
            self.assertFalse(widget.ui.runButton.enabled)
            widget.ui.consentBox.checked = True
            self.assertTrue(widget.ui.runButton.enabled)
        finally:
            widget.ui.urlEdit.text, widget.ui.placeBox.currentIndex = url, index
        self.delayDisplay("Guess and consent work.")
