/** Outlines of labels on a slice, along the edges of its voxels. Pure arithmetic. */

/** A slice of a volume. The first of its two axes varies fastest. */
export interface Slice {
  values: ArrayLike<number>;
  width: number;
  height: number;
}

/** Cut a slice out of a volume. `at` counts from 0 along `axis`. The other two axes keep their order. */
export function sliceOf(voxels: ArrayLike<number>, size: readonly number[], axis: number, at: number): Slice {
  const [across = 0, down = 1] = [0, 1, 2].filter((one) => one !== axis);
  const strides = [1, size[0] ?? 1, (size[0] ?? 1) * (size[1] ?? 1)];
  const [width, height] = [size[across] ?? 1, size[down] ?? 1];
  const values = new Uint8Array(width * height);
  const first = at * (strides[axis] ?? 1);
  for (let row = 0; row < height; row += 1) {
    const start = first + row * (strides[down] ?? 1);
    for (let column = 0; column < width; column += 1) values[row * width + column] = voxels[start + column * (strides[across] ?? 1)] ?? 0;
  }
  return { values, width, height };
}

/**
 * The outline of one label as SVG path data in voxel edges. Voxel (0, 0) spans 0 to 1 on both axes.
 *
 * Only neighbours on the slice count, so a label that ends on the next slice is not filled.
 */
export function outlinePath({ values, width, height }: Slice, label: number): string {
  const inside = (column: number, row: number): boolean => column >= 0 && row >= 0 && column < width && row < height && values[row * width + column] === label;
  const lines = [
    ...runs(height, width, (row, column) => inside(column, row) !== inside(column, row - 1)).map(([row, start, end]) => `M${start} ${row}H${end}`),
    ...runs(width, height, (column, row) => inside(column, row) !== inside(column - 1, row)).map(([column, start, end]) => `M${column} ${start}V${end}`),
  ];
  return lines.join("");
}

/** Runs of edges along each line: [line, start, end]. */
function runs(lines: number, length: number, isEdge: (line: number, at: number) => boolean): [number, number, number][] {
  const runs: [number, number, number][] = [];
  for (let line = 0; line <= lines; line += 1) {
    let start = -1;
    for (let at = 0; at <= length; at += 1) {
      const edge = at < length && isEdge(line, at);
      if (edge && start < 0) start = at;
      if (!edge && start >= 0) {
        runs.push([line, start, at]);
        start = -1;
      }
    }
  }
  return runs;
}
