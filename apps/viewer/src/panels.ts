/** Panels beside the images: warnings, reliability, volumes, regions to review, importance, remarks, files. */
import type { Expectation, Importance, Job, LeaveOneOut, Preparation, Report, ResultFile, UncertainRegion } from "./api";
import { REGION_NAMES, REGIONS, type Region } from "./difference";
import { h } from "./dom";
import { bytes, inMl, interval, listed, millilitres, percent, place, sentence, signedMl, when, wholePercent } from "./format";
import { SEQUENCE_LABELS, SEQUENCES, type Sequence } from "./sequences";
import type { Millimetres } from "./grid";
import type { Label } from "./viewer";


function panel(title: string, id: string, ...content: (Node | string | null | false)[]): HTMLElement {
  return h("section", { class: "panel", "aria-labelledby": id }, h("h2", { id }, title), ...content);
}

function header(...columns: [string, ...string[]]): HTMLElement {
  return h("tr", {}, ...columns.map((name, at) => h("th", { scope: "col", class: at ? "number" : null }, name)));
}

/** Volumes by region. The name of a region with voxels is a button that moves the crosshair into it. */
export function volumesPanel(report: Report, goTo: (region: Region) => void): HTMLElement {
  const ranged = REGIONS.some((region) => report.regions[region]?.volume_range_ml);
  const coverage = REGIONS.some((region) => report.regions[region]?.volume_interval_ml) && report.trust?.nominal_coverage;
  const rows = REGIONS.flatMap((name) => {
    const region = report.regions[name];
    if (!region) return [];
    const range = region.volume_interval_ml ?? region.volume_range_ml;
    const entropy = region.mean_entropy_inside_nats;
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, region.volume_ml ? h("button", { type: "button", class: "link", title: "Show it in the images", onclick: () => goTo(name) }, REGION_NAMES[name]) : REGION_NAMES[name]),
      h("td", { class: "number strong" }, inMl(region.volume_ml)),
      ranged && h("td", { class: "number" }, range ? interval(range) : "none"),
      h("td", { class: "number" }, entropy === null ? "none" : entropy.toFixed(2)),
    );
  });
  const head = ranged ? header("Region", "mL", "interval", "uncertainty") : header("Region", "mL", "uncertainty");
  const plain = ranged ? "Interval: volumes at 75 % and 25 % probability, not a confidence interval. " : "";
  const hint = coverage ? `Interval: nominal coverage ${percent(coverage)}. ` : plain;
  return panel(
    "Volumes",
    "volumes",
    h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows)),
    h("p", { class: "hint" }, `${hint}Uncertainty: mean entropy inside, in nats. 0 is certain, ${report.entropy_range_nats.region.toFixed(2)} is undecided.`),
  );
}

const SUCH_OUTLINES = "“Such outlines” are the outlines of labelled cases with the same traffic light, for any subset of sequences.";

/** Reliability of each region's outline in this case. Null for results of earlier versions. */
export function trustPanel(report: Report): HTMLElement | null {
  const trust = report.trust;
  if (!trust) return null;
  const rows = REGIONS.flatMap((name) => {
    const region = report.regions[name];
    if (!region) return [];
    const limits = region.expected_dice_interval;
    const light = region.reliability;
    const row = h(
      "tr",
      { class: region.reliability_advice ? "advised" : null },
      h("th", { scope: "row" }, REGION_NAMES[name]),
      h("td", {}, light ? h("span", { class: `light ${light}`, "aria-hidden": "true" }) : null, light ?? "not graded: none found"),
      h(
        "td",
        { class: "number" },
        h("span", { class: "strong" }, typeof region.expected_dice === "number" ? percent(region.expected_dice) : ""),
        limits && h("small", {}, `${wholePercent(limits[0])} to ${percent(limits[1])}`),
      ),
    );
    if (!region.reliability_advice) return [row];
    return [row, h("tr", { class: "advice" }, h("td", { colspan: 3 }, sentence(region.reliability_advice)))];
  });
  return panel(
    "Reliability in this case",
    "trust",
    h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Region"), h("th", { scope: "col" }, "reliability"), h("th", { scope: "col", class: "number" }, "expected Dice"))), h("tbody", {}, ...rows)),
    trust.advice && h("p", {}, h("strong", {}, trust.advice)),
    h("p", { class: "hint" }, trust.calibrated ? `${trust.statement} ${SUCH_OUTLINES}` : trust.statement),
  );
}

/** The most uncertain regions, each a button that moves there. Null if the report has none. */
export function areasPanel(areas: UncertainRegion[] | undefined, goTo: (mm: Millimetres) => void): HTMLElement | null {
  if (!areas) return null;
  const buttons = areas.map((area) =>
    h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: "area", onclick: () => goTo(area.position_mm_ras) },
        h("span", { class: "rank" }, area.rank),
        h("span", {}, h("strong", {}, REGION_NAMES[area.region]), h("small", {}, place(area.position_mm_ras))),
        h("span", { class: "number" }, millilitres(area.volume_ml), h("small", {}, `peak ${area.peak_entropy_nats.toFixed(2)}`)),
      ),
    ),
  );
  const none = h("p", { class: "hint" }, "The model is uncertain only along thin outlines. This does not prove that it is right.");
  return panel("Regions to review", "areas", buttons.length ? h("ol", { class: "areas" }, ...buttons) : none);
}

/** Weight of each sequence for each region as bar and number, or a sentence if the model has no weights. */
export function importancePanel(importance: Importance): HTMLElement {
  if (Object.keys(importance.weights).length === 0) {
    const unknown = h("p", { class: "hint" }, "This model has no gate weights, so the importance of sequences is unknown.");
    return panel("Gate weights of the sequences", "importance", unknown);
  }
  const rows = SEQUENCES.map((sequence) => {
    const weights = importance.weights[sequence] ?? {};
    const missing = REGIONS.every((region) => !weights[region]);
    const cells = REGIONS.map((region) => {
      const share = weights[region] ?? 0;
      const bar = h("span", { class: `bar ${sequence}`, "aria-hidden": "true" });
      bar.style.setProperty("--share", String(share));
      return h("td", {}, missing ? null : bar, h("span", { class: "share" }, missing ? "" : percent(share)));
    });
    const name = h("th", { scope: "row" }, SEQUENCE_LABELS[sequence], missing && h("small", {}, "missing"));
    return h("tr", { class: missing ? "missing" : null }, name, ...cells);
  });
  const head = h("tr", {}, h("td"), ...["Whole", "Core", "Enhancing"].map((name) => h("th", { scope: "col" }, name)));
  return panel(
    "Gate weights of the sequences",
    "importance",
    h("table", { class: "importance" }, h("thead", {}, head), h("tbody", {}, ...rows)),
    h("p", { class: "hint" }, "Weight of each sequence in the mixture, averaged over the brain. It depends mostly on which sequences are available, and little on the case."),
  );
}

/** Change of each region without each sequence. Null if it was not measured. */
export function leftOutPanel(measured: LeaveOneOut | undefined): HTMLElement | null {
  if (!measured) return null;
  const rows = SEQUENCES.flatMap((sequence) => {
    const regions = measured.changes[sequence];
    if (!regions) return [];
    const cells = REGIONS.map((region) => {
      const change = regions[region];
      if (!change) return h("td");
      return h("td", { class: "number" }, `${signedMl(change.volume_change_ml)} mL`, h("small", {}, `Dice ${percent(change.dice)}`));
    });
    return h("tr", {}, h("th", { scope: "row" }, SEQUENCE_LABELS[sequence]), ...cells);
  });
  return panel(
    "When a sequence is left out",
    "left-out",
    h("table", {}, h("thead", {}, header("Left out", "Whole", "Core", "Enhancing")), h("tbody", {}, ...rows)),
    h("p", { class: "hint" }, "Change of the volume, and Dice of the outlines with and without the sequence. A large change means that the result depends on the sequence, not that the sequence is right."),
  );
}

/** Scores of the model on other cases with the same sequences. Null without a model card. */
export function expectationPanel(expected: Expectation | null | undefined): HTMLElement | null {
  if (!expected) return null;
  const four = diceOfAllFour(expected);
  const rows = REGIONS.map((region) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, REGION_NAMES[region]),
      h("td", { class: "number strong" }, percentOf(expected.dice[region])),
      four && h("td", { class: "number" }, percentOf(four[region])),
    ),
  );
  const head = four ? header("Region", "These sequences", "All four") : header("Region", "These sequences");
  return panel(
    "Expected accuracy with these sequences",
    "expectation",
    h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows)),
    h("p", { class: "hint" }, `Mean Dice on ${expected.cases} labelled cases that the model had not seen. Other scanners can be worse.`),
  );
}

/** Dice with all four sequences, to compare with. Null if the case has them all. */
export function diceOfAllFour(expected: Expectation): Expectation["dice_of_all_four"] {
  return expected.sequences?.split("+").length === SEQUENCES.length ? null : expected.dice_of_all_four;
}

function percentOf(dice: { mean: number } | undefined): string {
  return dice ? percent(dice.mean) : "none";
}

/** Warnings about the input and the result. Null if there are none. */
export function warningsPanel(report: Report): HTMLElement | null {
  if (!report.warnings.length) return null;
  return panel("Warnings", "warnings", h("ul", { class: "remarks warnings" }, ...report.warnings.map((text) => h("li", {}, text))));
}

/** How the scans were prepared, how sequences were recognised, and ignored files. Null if there is nothing to say. */
export function remarksPanel(job: Job, report: Report): HTMLElement | null {
  const ignored = Object.entries(job.ignored).map(([name, reason]) => `Not used: ${name}. ${sentence(reason)}`);
  const prepared = preparationText(report.preparation);
  const remarks = [...(prepared ? [prepared] : []), ...job.notes, ...ignored];
  if (!remarks.length) return null;
  return panel("Remarks", "remarks", h("ul", { class: "remarks" }, ...remarks.map((text) => h("li", {}, text))));
}

/** What was done to raw scans. Null for prepared input. */
export function preparationText(preparation: Preparation | null | undefined): string | null {
  if (preparation?.kind !== "raw") return null;
  const label = (name: string): string => SEQUENCE_LABELS[name as Sequence];
  const registered = (preparation.steps ?? []).filter((step) => step.name.startsWith("register_")).map((step) => label(step.name.slice("register_".length)));
  const list = listed(registered);
  const reference = preparation.reference ? label(preparation.reference) : null;
  if (!list || !reference) return "The scans are raw. The brain was extracted for the model.";
  return `The scans are raw. ${list} ${registered.length > 1 ? "were" : "was"} registered to ${reference}, and the results are on its grid. The brain was extracted for the model.`;
}

const KINDS: [RegExp, string][] = [
  [/^segmentation\.nii/, "Labels, NIfTI"],
  [/^image_/, "DICOM series as NIfTI"],
  [/^registered_/, "Registered scan, NIfTI"],
  [/^segmentation\.seg\.nrrd$/, "Labels for 3D Slicer"],
  [/^entropy\.nii/, "Entropy, combined"],
  [/^entropy_/, "Entropy of a region"],
  [/^probability_/, "Probability of a region"],
  [/^importance_/, "Importance as a map"],
  [/^importance\.json$/, "Importance as numbers"],
  [/^report\.json$/, "Report as numbers"],
  [/^report\.html$/, "Report to read or print"],
  [/^scene\.mrb$/, "Scene for 3D Slicer"],
  [/^preview\.png$/, "Picture"],
];

/** Description of a result by its name. Empty for unknown names. */
export function kindOf(name: string): string {
  return KINDS.find(([pattern]) => pattern.test(name))?.[1] ?? "";
}

export function filesPanel(job: Job, save: (file: { name: string; href: string }) => void, remove: () => void): HTMLElement {
  const link = (name: string, href: string, text: string, kind: string): HTMLElement => {
    const go = (event: Event): void => {
      event.preventDefault();
      save({ name, href });
    };
    return h("a", { href, download: name, onclick: go, class: kind }, text);
  };
  const row = (file: ResultFile): HTMLElement =>
    h("tr", {}, h("td", {}, link(file.name, file.href, file.name, "file"), h("small", {}, kindOf(file.name))), h("td", { class: "number" }, bytes(file.size)));
  const all = job.links.zip ? link(`${job.id}.zip`, job.links.zip, "Download everything", "button primary") : null;
  const head = h("thead", { class: "unseen" }, header("File", "Size"));
  return panel(
    "Files",
    "files",
    all && h("p", {}, all),
    h("details", {}, h("summary", {}, `${job.results.length} single files`), h("table", { class: "results" }, head, h("tbody", {}, ...job.results.map(row)))),
    h(
      "p",
      { class: "hint" },
      job.expires ? `Deleted ${when(job.expires)}, or ` : "",
      h("button", { type: "button", class: "link", onclick: remove }, "delete this job now"),
    ),
  );
}

/** Labels with their colours. */
export function legend(labels: Label[], name: string): HTMLElement {
  return h("ul", { class: "legend", "aria-label": name }, ...labels.map((label) => h("li", {}, swatch(label), label.name)));
}

/** Labels with their colours. Each can be hidden. */
export function labelChoice(labels: Label[], change: (value: number, shown: boolean) => void): HTMLElement {
  const items = labels.map((label) => {
    const id = `label-${label.value}`;
    const box = h("input", { type: "checkbox", id, checked: true });
    box.addEventListener("change", () => change(label.value, box.checked));
    return h("li", { class: "check" }, box, h("label", { for: id }, swatch(label), label.name));
  });
  return h("ul", { class: "legend choice", "aria-label": "Labels" }, ...items);
}

function swatch(label: Label): HTMLElement {
  const element = h("span", { class: "swatch", "aria-hidden": "true" });
  element.style.backgroundColor = `rgb(${label.colour.join(" ")})`;
  return element;
}
