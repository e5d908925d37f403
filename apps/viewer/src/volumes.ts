/** Plain arithmetic on the voxels of a volume. */

/**
 * The place, in millimetres, of the labelled voxel nearest to the middle of all labelled voxels; null without any.
 *
 * @param voxels labels in the file's order, the first axis fastest
 * @param size of the volume along the file's axes
 * @param affine rows of the matrix from voxels to millimetres
 */
export function middleOfLabels(voxels: ArrayLike<number>, size: readonly number[], affine: readonly (readonly number[])[]): [number, number, number] | null {
  const [width = 1, height = 1] = size;
  const places: number[] = [];
  const sum = [0, 0, 0];
  for (let index = 0; index < voxels.length; index += 1) {
    if (!voxels[index]) continue;
    places.push(index);
    voxelOf(index, width, height).forEach((value, axis) => (sum[axis] = (sum[axis] ?? 0) + value));
  }
  if (!places.length) return null;
  const middle = sum.map((value) => value / places.length);
  let [nearest, least] = [places[0] ?? 0, Infinity];
  for (const index of places) {
    const distance = voxelOf(index, width, height).reduce((total, value, axis) => total + (value - (middle[axis] ?? 0)) ** 2, 0);
    if (distance < least) [nearest, least] = [index, distance];
  }
  const [i, j, k] = voxelOf(nearest, width, height);
  const [x = 0, y = 0, z = 0] = affine.slice(0, 3).map(([a = 0, b = 0, c = 0, d = 0]) => a * i + b * j + c * k + d);
  return [x, y, z];
}

function voxelOf(index: number, width: number, height: number): [number, number, number] {
  return [index % width, Math.floor(index / width) % height, Math.floor(index / (width * height))];
}

/** The labels of voxels that touch another label along an axis, or the volume's border; zero elsewhere. */
export function bordersOf(voxels: ArrayLike<number>, size: readonly number[]): Uint8Array {
  const [width = 1, height = 1, depth = 1] = size;
  const steps = [1, width, width * height];
  const borders = new Uint8Array(voxels.length);
  for (let index = 0; index < voxels.length; index += 1) {
    const label = voxels[index] ?? 0;
    if (!label) continue;
    const at = voxelOf(index, width, height);
    const within = at.every((value, axis) => value > 0 && value < ([width, height, depth][axis] ?? 0) - 1);
    if (!within || steps.some((step) => voxels[index - step] !== label || voxels[index + step] !== label)) borders[index] = label;
  }
  return borders;
}
