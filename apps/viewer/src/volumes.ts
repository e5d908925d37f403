/** Arithmetic on the voxels of a volume. */

/**
 * Position in millimetres of the labelled voxel nearest to the centre of all labelled voxels. Null without labels.
 *
 * @param voxels labels in the file's order, first axis fastest
 * @param size of the volume along the file's axes
 * @param affine rows of the matrix from voxels to millimetres
 * @param values labels to include (default: all)
 */
export function middleOfLabels(
  voxels: ArrayLike<number>,
  size: readonly number[],
  affine: readonly (readonly number[])[],
  values?: ReadonlySet<number>,
): [number, number, number] | null {
  const [width = 1, height = 1] = size;
  const places: number[] = [];
  const sum = [0, 0, 0];
  for (let index = 0; index < voxels.length; index += 1) {
    const value = voxels[index] ?? 0;
    if (values ? !values.has(value) : !value) continue;
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
