/** The conversion matrix: every driver's operations and how each is done, as mounts of every kind say themselves. */
import { operations as xfs } from '@iomap/xfs-lite';
import { countedDevice, ext2Study, HOMES, minixStudy, WAYS, type StudyDriver } from './mounts.js';

/** One driver's column: operation → how ("iomap", "legacy", "buffer cache" …), several where a mount option picks, the default first. */
export type Operations = Readonly<Record<string, readonly string[]>>;

const IMAGE_BYTES = 4 * 2 ** 20;

/** What a driver says, mounted in each way that its options have. */
function operationsOf(driver: StudyDriver): Operations {
  const image = new Uint8Array(IMAGE_BYTES);
  driver.mkfs(countedDevice(image).device);
  const found: Record<string, string[]> = {};
  // The default of either option first.
  for (const way of [...WAYS].reverse()) {
    for (const home of HOMES) {
      const { operations } = driver.mount(countedDevice(image.slice()).device, { way, home });
      for (const [name, how] of Object.entries(operations)) {
        const ways = (found[name] ??= []);
        if (how !== '' && !ways.includes(how)) ways.push(how);
      }
    }
  }
  return found;
}

/** All drivers. XFS has one way only, and says it without a mount. */
export const matrix = (): Readonly<Record<string, Operations>> => ({ ext2: operationsOf(ext2Study), minix: operationsOf(minixStudy), xfs });

/** The rows of the matrix, the first being its head. */
export function statusRows(of: Readonly<Record<string, Operations>>): string[][] {
  const types = Object.keys(of);
  const names = [...new Set(types.flatMap((type) => Object.keys(of[type] ?? {})))];
  const cell = (type: string, name: string): string => {
    const ways = of[type]?.[name] ?? [];
    return ways.length === 0 ? '–' : ways.join(' | ');
  };
  return [['operation', ...types], ...names.map((name) => [name, ...types.map((type) => cell(type, name))])];
}
