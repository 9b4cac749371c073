/** When a mount is written back: an idle one at the next look, a busy one at every sixth. */
import { runSync } from '@iomap/io';
import { FuseWriteIn } from './abi.js';
import { OP } from './protocol.js';
import { Writeback } from './writeback.js';
import { join, Kernel, struct } from '../test/kernel.js';

/** A mount with a file that was written to, and how often it was written back. */
function dirty(): { kernel: Kernel; writeback: Writeback; look: (requests: number) => boolean } {
  const kernel = new Kernel();
  kernel.init();
  const { session } = kernel;
  const file = kernel.make(1, 'file');
  const writeback = new Writeback(session);
  const write = (): void => {
    const args = join(struct(FuseWriteIn.size), new Uint8Array(100).fill(7));
    FuseWriteIn.at(args).size = 100;
    kernel.done(OP.WRITE, file, args);
    writeback.count();
  };
  const look = (requests: number): boolean => {
    for (let i = 0; i < requests; i++) write();
    writeback.count(); // The supervisor's own, which wakes the loop.
    runSync(writeback.tick());
    return !session.dirty;
  };
  return { kernel, writeback, look };
}

describe('periodic writeback', () => {
  it('of an idle mount: at the next look', () => {
    const { kernel, look } = dirty();
    expect(kernel.session.dirty).toBe(true);
    expect(look(0)).toBe(true);
  });

  it('of a busy mount: at every sixth look, and no later', () => {
    const { look } = dirty();
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 5; i++) expect(look(10)).toBe(false);
      expect(look(10)).toBe(true);
    }
    expect(look(10)).toBe(false);
    expect(look(0)).toBe(true);
  });

  it('a failure is told, and the loop goes on', () => {
    const { kernel, look } = dirty();
    const { session } = kernel;
    const failing = jest.spyOn(session.vfs, 'sync').mockImplementation(() => {
      throw new Error('no device');
    });
    // The kernel's side of these tests throws what a session complains of.
    expect(() => look(0)).toThrow('writeback');
    failing.mockRestore();
    expect(look(1)).toBe(false);
    expect(look(0)).toBe(true);
  });
});
