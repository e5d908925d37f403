/** Text and lines on the images: orientation letters, slice numbers, ruler, measurements, grey window. */
import { LETTERS, rulerMm, type Plane } from "./grid";

/** A plane on the canvas, in CSS pixels. */
export interface Tile {
  plane: Plane;
  left: number;
  top: number;
  width: number;
  height: number;
  pixelsPerMm: number;
  slice: string;
  outlines: Outlines | null;
}

/** Outlines of the labels on a plane: a path and a colour each, in voxel edges. `matrix` maps them to the canvas. */
export interface Outlines {
  paths: { data: string; colour: string }[];
  matrix: [number, number, number, number, number, number];
  opacity: number;
}

/** A line between two points of the canvas. */
export interface Line {
  from: [number, number];
  to: [number, number];
  text: string;
}

const SVG = "http://www.w3.org/2000/svg";
const PAD = 12;
const SMALL_PX = 150;
const ROOMY_PX = 300;
const PLANE_NAMES: Record<Plane, string> = { axial: "Axial", coronal: "Coronal", sagittal: "Sagittal" };

function node(tag: string, attributes: Record<string, string | number>, text = ""): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text) element.textContent = text;
  return element;
}

export class Marks {
  /** Covers the canvas and lets the pointer through. The page repeats the same facts as text. */
  readonly element = node("svg", { class: "marks", "aria-hidden": "true" });

  draw(tiles: Tile[], lines: Line[], title: string, window: string): void {
    const first = tiles[0];
    this.element.replaceChildren(
      ...tiles.flatMap(outlinesOf),
      ...tiles.flatMap((tile) => [...lettersOf(tile), ...rulerOf(tile), node("text", { class: "slice", x: tile.left + PAD, y: tile.top + 20 }, sliceText(tile))]),
      ...lines.flatMap(measured),
      ...(first && title ? [node("text", { class: "title", x: first.left + PAD, y: first.top + 40 }, title)] : []),
      ...(first && window && first.width >= ROOMY_PX ? [node("text", { class: "window", x: first.left + PAD, y: first.top + first.height - PAD }, window)] : []),
    );
  }
}

/** With the name of the plane if there is room next to the letters. */
function sliceText(tile: Tile): string {
  return tile.width < ROOMY_PX ? tile.slice : `${PLANE_NAMES[tile.plane]} ${tile.slice}`;
}

/** Clip outlines at the borders of their plane. */
function outlinesOf(tile: Tile): SVGElement[] {
  if (!tile.outlines) return [];
  const { paths, matrix, opacity } = tile.outlines;
  const { left, top, width, height } = tile;
  const frame = node("svg", { class: "outlines", x: left, y: top, width, height, viewBox: `${left} ${top} ${width} ${height}`, opacity });
  const transform = `matrix(${matrix.join(" ")})`;
  // Each line has a dark casing, so it is visible on bright tissue and on every entropy colour.
  frame.append(...paths.map(({ data }) => node("path", { class: "casing", d: data, transform })), ...paths.map(({ data, colour }) => node("path", { d: data, stroke: colour, transform })));
  return [frame];
}

function lettersOf(tile: Tile): SVGElement[] {
  const [left, right, top, bottom] = LETTERS[tile.plane];
  const [middle, centre] = [tile.left + tile.width / 2, tile.top + tile.height / 2 + 5];
  const letter = (text: string, x: number, y: number): SVGElement => node("text", { class: "letter", x, y, "text-anchor": "middle" }, text);
  return [
    letter(left, tile.left + PAD, centre),
    letter(right, tile.left + tile.width - PAD, centre),
    letter(top, middle, tile.top + 18),
    letter(bottom, middle, tile.top + tile.height - 8),
  ];
}

/** A bar at the lower right, with its length. */
function rulerOf(tile: Tile): SVGElement[] {
  const length = rulerMm(tile.pixelsPerMm, tile.width * 0.3);
  if (length === null || tile.width < SMALL_PX) return [];
  const right = tile.left + tile.width - PAD;
  const left = right - length * tile.pixelsPerMm;
  const y = tile.top + tile.height - PAD;
  return [
    node("path", { class: "ruler", d: `M${left} ${y - 5}V${y}H${right}V${y - 5}` }),
    node("text", { class: "ruler-text", x: (left + right) / 2, y: y - 8, "text-anchor": "middle" }, `${length} mm`),
  ];
}

function measured({ from, to, text }: Line): SVGElement[] {
  const ends = [from, to].map(([cx, cy]) => node("circle", { class: "measure", cx, cy, r: 3 }));
  const line = node("line", { class: "measure", x1: from[0], y1: from[1], x2: to[0], y2: to[1] });
  const lower = from[1] > to[1] ? from : to;
  return [line, ...ends, node("text", { class: "measure-text", x: lower[0] + 8, y: lower[1] + 16 }, text)];
}
