import { memoryDevice } from '@iomap/block-device';
import { runSync, submitBio } from '@iomap/io';
import { applyUndo, encodeUndo } from './undo.js';

describe('undo files', () => {
  it('put back what they hold, and refuse what is none', () => {
    const device = memoryDevice({ sizeBytes: 8192 });
    const write = (pos: number, byte: number): void =>
      runSync(submitBio(device, { op: 'write', pos, segments: [new Uint8Array(512).fill(byte)], lengthBytes: 512 }));
    const read = (pos: number): number => {
      const bytes = new Uint8Array(512);
      runSync(submitBio(device, { op: 'read', pos, segments: [bytes], lengthBytes: 512 }));
      return bytes[100] ?? -1;
    };
    const file = encodeUndo(new Map([[4096, new Uint8Array(512).fill(4)], [512, new Uint8Array(512).fill(1)]]));
    write(512, 9);
    write(4096, 9);
    expect(() => runSync(applyUndo(device, file.subarray(0, file.length - 1)))).toThrow(/EUCLEAN/);
    expect(() => runSync(applyUndo(device, new Uint8Array(40)))).toThrow(/EUCLEAN/);
    expect([read(512), read(4096)]).toEqual([9, 9]);
    runSync(applyUndo(device, file));
    expect([read(512), read(4096)]).toEqual([1, 4]);
  });
});
