/** Dragging on the images: the active tool with the left button, the grey window with the right one. */

export const TOOLS = ["crosshair", "window", "measure", "pan"] as const;
export type Tool = (typeof TOOLS)[number];

type Point = [number, number];

/** Callbacks of the gestures. Points are CSS pixels from the canvas's upper left corner. */
export interface Actions {
  tool(): Tool;
  /** A touch that did not move. */
  tap(at: Point): void;
  windowStart(): void;
  windowMove(move: Point): void;
  measureStart(at: Point): boolean;
  measureMove(at: Point): void;
  measureEnd(): void;
}

const TAP_PX = 10;
const RIGHT = 2;

/**
 * Listen on the element around the canvas, before NiiVue, which handles the crosshair, panning and the wheel.
 *
 * NiiVue handles every touch, so the page would not scroll over the images. Here a touch sets the
 * crosshair where it ends, and swipes scroll the page unless the active tool needs them.
 */
export function listenForGestures(around: HTMLElement, canvas: HTMLCanvasElement, actions: Actions): void {
  let start: Point | null = null;
  let doing: "window" | "measure" | "tap" | null = null;
  const pointOf = (event: PointerEvent): Point => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const takes = (event: MouseEvent): boolean => event.button === RIGHT || actions.tool() === "window" || actions.tool() === "measure";
  const begin = (event: PointerEvent): void => {
    if (event.target !== canvas || event.button === 1 || start) return;
    const tool = event.button === RIGHT ? "window" : actions.tool();
    const at = pointOf(event);
    if (tool === "window") doing = "window";
    else if (tool === "measure" && actions.measureStart(at)) doing = "measure";
    else if (event.pointerType === "touch") doing = "tap";
    else return;
    start = at;
    if (doing === "window") actions.windowStart();
    if (doing !== "tap") canvas.setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent): void => {
    if (!start) return;
    const at = pointOf(event);
    if (doing === "window") actions.windowMove([at[0] - start[0], at[1] - start[1]]);
    else if (doing === "measure") actions.measureMove(at);
  };
  const end = (event: PointerEvent): void => {
    const at = pointOf(event);
    if (doing === "measure") actions.measureEnd();
    else if (doing === "tap" && start && event.type === "pointerup" && Math.hypot(at[0] - start[0], at[1] - start[1]) < TAP_PX) actions.tap(at);
    [start, doing] = [null, null];
  };
  const capture = { capture: true };
  around.addEventListener("pointerdown", begin, capture);
  around.addEventListener("pointermove", move, capture);
  around.addEventListener("pointerup", end, capture);
  around.addEventListener("pointercancel", end, capture);
  around.addEventListener("contextmenu", (event) => event.preventDefault(), capture);
  const keepFromNiivue = (event: Event): void => event.stopPropagation();
  around.addEventListener("mousedown", (event) => takes(event) && keepFromNiivue(event), capture);
  for (const kind of ["touchstart", "touchmove", "touchend"]) {
    around.addEventListener(kind, (event) => around.dataset.touch !== "turn" && keepFromNiivue(event), { capture: true, passive: true });
  }
}
