/** The voxel grid of a volume as stored in its file: slices, positions and planes. */

export type Millimetres = [number, number, number];
export const PLANES = ["axial", "coronal", "sagittal"] as const;
export type Plane = (typeof PLANES)[number];

/** Patient axis (right, anterior, superior) along which the slices of a plane are stacked. */
const THROUGH: Record<Plane, number> = { axial: 2, coronal: 1, sagittal: 0 };

/** Letters at the left, right, top and bottom of a plane. Radiological convention, nose to the left. */
export const LETTERS: Record<Plane, [string, string, string, string]> = {
  axial: ["R", "L", "A", "P"],
  coronal: ["R", "L", "S", "I"],
  sagittal: ["A", "P", "S", "I"],
};

/** Number of a slice, counted from 1 along the file's axis as in the report, and the number of slices. */
export interface SliceNumber {
  at: number;
  of: number;
}

export class Grid {
  private readonly inverse: number[][];

  /**
   * @param size voxels along the file's axes
   * @param affine rows of the 4 x 4 (or 3 x 4) matrix from voxels to millimetres
   */
  constructor(
    readonly size: readonly number[],
    readonly affine: readonly (readonly number[])[],
  ) {
    this.inverse = inverseOf(affine);
  }

  /** Voxel coordinates of a position, not rounded. */
  voxelOf(mm: readonly number[]): Millimetres {
    const shifted = [0, 1, 2].map((row) => (mm[row] ?? 0) - (this.affine[row]?.[3] ?? 0));
    return three((row) => dot(this.inverse[row] ?? [], shifted));
  }

  /** The position of voxel coordinates. */
  placeOf(voxel: readonly number[]): Millimetres {
    return three((row) => dot(this.affine[row] ?? [], voxel) + (this.affine[row]?.[3] ?? 0));
  }

  /** The file's axis along which the slices of a plane are stacked. */
  axisOf(plane: Plane): number {
    const row = this.affine[THROUGH[plane]] ?? [];
    const lengths = [0, 1, 2].map((axis) => Math.hypot(...[0, 1, 2].map((one) => this.affine[one]?.[axis] ?? 0)));
    const along = [0, 1, 2].map((axis) => Math.abs(row[axis] ?? 0) / (lengths[axis] ?? 1));
    return along.indexOf(Math.max(...along));
  }

  sliceAt(mm: readonly number[], plane: Plane): SliceNumber {
    const axis = this.axisOf(plane);
    const of = this.size[axis] ?? 1;
    return { at: Math.min(of, Math.max(1, Math.round(this.voxelOf(mm)[axis] ?? 0) + 1)), of };
  }

  /** The nearest position on another slice of a plane. */
  onSlice(mm: readonly number[], plane: Plane, at: number): Millimetres {
    const voxel = this.voxelOf(mm);
    voxel[this.axisOf(plane)] = at - 1;
    return this.placeOf(voxel);
  }

  /** Whether another grid has the same voxel positions, to 0.01 mm. */
  matches(other: Grid): boolean {
    const corners = [0, 1].flatMap((x) => [0, 1].flatMap((y) => [0, 1].map((z) => [x, y, z])));
    return (
      this.size.every((length, axis) => length === other.size[axis]) &&
      corners.every((corner) => {
        const voxel = corner.map((end, axis) => end * ((this.size[axis] ?? 1) - 1));
        return distanceMm(this.placeOf(voxel), other.placeOf(voxel)) < 0.01;
      })
    );
  }
}

export function distanceMm(from: readonly number[], to: readonly number[]): number {
  return Math.hypot(...[0, 1, 2].map((axis) => (from[axis] ?? 0) - (to[axis] ?? 0)));
}

/** The longest usual ruler length in millimetres that fits into `room` pixels. Null if none fits. */
export function rulerMm(pixelsPerMm: number, room: number): number | null {
  return [100, 50, 20, 10, 5, 2, 1].find((length) => length * pixelsPerMm <= room) ?? null;
}

function three(value: (row: number) => number): Millimetres {
  return [value(0), value(1), value(2)];
}

function dot(row: readonly number[], values: readonly number[]): number {
  return [0, 1, 2].reduce((sum, axis) => sum + (row[axis] ?? 0) * (values[axis] ?? 0), 0);
}

/** Inverse of the upper left 3 x 3 part, by cofactors. */
function inverseOf(affine: readonly (readonly number[])[]): number[][] {
  const at = (row: number, column: number): number => affine[row % 3]?.[column % 3] ?? 0;
  const cofactor = (row: number, column: number): number =>
    at(row + 1, column + 1) * at(row + 2, column + 2) - at(row + 1, column + 2) * at(row + 2, column + 1);
  const determinant = [0, 1, 2].reduce((sum, column) => sum + at(0, column) * cofactor(0, column), 0);
  return [0, 1, 2].map((row) => [0, 1, 2].map((column) => cofactor(column, row) / determinant));
}
