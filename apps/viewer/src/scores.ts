/** A small plot on the first screen: how well predictions agreed with the labels that the caller submitted. */
import { askJson } from "./api";
import { fill, h } from "./dom";
import { percent } from "./format";
import { problemBox, type Screen } from "./screen";
import { known } from "./session";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 320;
const HEIGHT = 120;
const EDGE = 14;

interface Scored {
  image: string;
  model_version: string;
  scores: Record<string, { dice: number | null }>;
}

interface History {
  history: Scored[];
}

export interface Point {
  x: number;
  y: number;
  dice: number;
  title: string;
}

/** The Dice of the whole tumour of each label, oldest left, 1 at the top. Undefined ones are left out. */
export function points(history: Scored[]): Point[] {
  const step = (WIDTH - 2 * EDGE) / Math.max(1, history.length - 1);
  return history.flatMap((one, index) => {
    const dice = one.scores.wt?.dice;
    if (dice === null || dice === undefined) return [];
    const title = `${one.image}: ${percent(dice)}, model ${one.model_version}`;
    return [{ x: EDGE + index * step, y: EDGE + (1 - dice) * (HEIGHT - 2 * EDGE), dice, title }];
  });
}

/** The section, which stays hidden while no prediction is scored. */
export function scoreHistory(): Screen {
  const content = h("div");
  const title = h("h2", { id: "scores-title" }, "Your corrections");
  const element = h("section", { class: "own scores", "aria-labelledby": "scores-title", hidden: true }, title, content);
  const load = async (): Promise<void> => {
    try {
      const { history } = await known(() => askJson<History>("/scoring/"));
      const shown = points(history);
      const last = shown.at(-1);
      if (last === undefined) return;
      const said = `Dice of the whole tumour in ${shown.length} predictions against your labels. The newest is ${percent(last.dice)}.`;
      fill(content, plot(shown, said), h("p", { class: "hint" }, said));
      element.hidden = false;
    } catch (error) {
      fill(content, problemBox(error));
      element.hidden = false;
    }
  };
  void load();
  return { element, close: () => undefined };
}

function plot(shown: Point[], label: string): SVGElement {
  const line = part("polyline", { points: shown.map(({ x, y }) => `${x},${y}`).join(" "), class: "line" });
  const dots = shown.map(({ x, y, title }) => {
    const dot = part("circle", { cx: x, cy: y, r: 4 });
    const name = part("title", {});
    name.textContent = title;
    dot.append(name);
    return dot;
  });
  const axes = [0, 1].map((dice) => {
    const y = EDGE + (1 - dice) * (HEIGHT - 2 * EDGE);
    return part("line", { x1: EDGE, x2: WIDTH - EDGE, y1: y, y2: y, class: "axis" });
  });
  const drawing = part("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  drawing.append(...axes, line, ...dots);
  return drawing;
}

function part(tag: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}
