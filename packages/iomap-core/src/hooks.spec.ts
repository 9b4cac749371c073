/** What a filesystem may hang into the core's operations, and that it is called when the contract says: folios, bios, validity. */
import { FsError, runAsync, runSync, type BioRequest, type Io } from '@iomap/io';
import { directRead, directWrite } from './direct.js';
import type { FolioOps, IomapOps, WritebackOps } from './iomap.js';
import { MappedFile } from './mapped-file.js';
import { extentRig } from './testing/extent-rig.js';
import { directOps, extentOps, writebackOps, type ExtentInode } from './testing/index.js';
import { allAre, BLOCK, filled } from './testing/pitfall-rig.js';
import { bufferedWrite } from './write.js';
import { writeback } from './writeback.js';
import { zeroRange } from './zero.js';

describe('getFolio and putFolio', () => {
  type Call = readonly [what: 'get' | 'put', pos: number, len: number];
  const observed = (fails: (pos: number) => boolean = () => false, heldByOther = false): { ops: IomapOps<ExtentInode>; calls: Call[] } => {
    const calls: Call[] = [];
    const folioOps: FolioOps<ExtentInode> = {
      *getFolio(inode, pos, len): Io<void> {
        // Before the folio is locked: a transaction may start here.
        expect(inode.mapping.lookup(pos)?.locked === true && !heldByOther).toBe(false);
        if (fails(pos)) throw new FsError('ENOSPC');
        calls.push(['get', pos, len]);
      },
      putFolio(inode, pos, copied) {
        expect(inode.mapping.lookup(pos)?.locked).toBe(false);
        calls.push(['put', pos, copied]);
      },
    };
    return { ops: { ...extentOps, folioOps }, calls };
  };

  it('come around each folio of a write, with what was changed', () => {
    const r = extentRig({}, { folioMaxBytes: BLOCK });
    const { ops, calls } = observed();
    expect(runSync(bufferedWrite(r.file.inode, ops, 100, filled(BLOCK, 1)))).toBe(BLOCK);
    expect(calls).toEqual([['get', 100, BLOCK], ['put', 100, BLOCK - 100], ['get', BLOCK, 100], ['put', BLOCK, 100]]);
  });

  it('come around zeroing and stores', () => {
    const r = extentRig({}, { folioMaxBytes: BLOCK });
    r.write(0, filled(2 * BLOCK, 1));
    runSync(r.file.fsync());
    const { ops, calls } = observed();
    runSync(zeroRange(r.file.inode, ops, 10, 20));
    const memory = new MappedFile(r.file.inode, ops);
    runSync(memory.write(BLOCK + 5, filled(3, 2)));
    memory.close();
    // A fault is of whole blocks.
    expect(calls).toEqual([['get', 10, 20], ['put', 10, 20], ['get', BLOCK, BLOCK], ['put', BLOCK, BLOCK]]);
  });

  it('a failure of getFolio ends the write short, and has no putFolio', () => {
    const r = extentRig({}, { folioMaxBytes: BLOCK });
    const { ops, calls } = observed((pos) => pos >= BLOCK);
    expect(runSync(bufferedWrite(r.file.inode, ops, 0, filled(2 * BLOCK, 1)))).toBe(BLOCK);
    expect(calls).toEqual([['get', 0, 2 * BLOCK], ['put', 0, BLOCK]]);
    expect(r.fs.space.reserved).toBe(1);
    expect(() => runSync(bufferedWrite(r.file.inode, ops, BLOCK, filled(BLOCK, 1)))).toThrow('ENOSPC');
  });

  it('a cancelled write puts what it got', () => {
    const r = extentRig();
    const { ops, calls } = observed(undefined, true);
    r.write(0, filled(BLOCK, 1));
    const folio = r.file.inode.mapping.lookup(0);
    folio?.tryLock();
    const writing = bufferedWrite(r.file.inode, ops, 0, filled(10, 2));
    // It waits for the folio.
    expect(writing.next().done).toBe(false);
    folio?.unlock();
    const put = calls.length;
    writing.return(0);
    expect([put, calls]).toEqual([1, [['get', 0, 10], ['put', 0, 0]]]);
  });
});

describe('submitIo', () => {
  it('sees each bio of a direct call, and may send another in its place', () => {
    const r = extentRig();
    const seen: [string, number, number][] = [];
    const mangled = (_inode: ExtentInode, request: BioRequest, pos: number): BioRequest => {
      const { bio } = request;
      seen.push([bio.op, pos, bio.lengthBytes]);
      if (bio.op === 'read') return request;
      return { ...request, bio: { ...bio, segments: bio.segments.map((one) => one.map((byte) => byte ^ 0xff)) } };
    };
    runSync(directWrite(r.file.inode, extentOps, { ...directOps, submitIo: mangled }, 0, filled(2 * BLOCK, 0x0f)));
    const bytes = new Uint8Array(2 * BLOCK);
    runSync(directRead(r.file.inode, extentOps, { ...directOps, submitIo: mangled }, 0, bytes));
    expect(allAre(bytes, 0xf0)).toBe(true);
    expect(seen).toEqual([['write', 0, 2 * BLOCK], ['read', 0, 2 * BLOCK]]);
  });

  it('a failure of what it sent is that of the call', () => {
    const r = extentRig();
    const broken = (_inode: ExtentInode, request: BioRequest): BioRequest =>
      ({ ...request, target: { synchronous: true, submit: () => ({ ok: false, error: new FsError('EIO') }) } });
    expect(() => runSync(directWrite(r.file.inode, extentOps, { ...directOps, submitIo: broken }, 0, filled(BLOCK, 1)))).toThrow('EIO');
    expect(r.file.inode.size).toBe(0);
  });
});

it('WritebackOps.valid decides in place of the cookie', async () => {
  for (const [isValid, calls] of [[true, 1], [false, 4]] as const) {
    const r = extentRig({}, { folioMaxBytes: BLOCK });
    r.write(0, filled(4 * BLOCK, 1));
    let maps = 0;
    const ops: WritebackOps<ExtentInode> = {
      ...writebackOps,
      *mapBlocks(inode, offset, length, out, flags) {
        maps++;
        yield* writebackOps.mapBlocks(inode, offset, length, out, flags);
      },
      valid: () => isValid,
    };
    await runAsync(writeback(r.file.inode, ops, { pos: 0, len: Infinity }));
    expect(maps).toBe(calls);
  }
});
