import { memoryDevice } from '@iomap/block-device';
import { check, mkfs, mount } from '@iomap/ext2';
import { fixedEnv, runSync } from '@iomap/io';
import { O_CREAT, O_WRONLY } from '@iomap/vfs';
import { openEditor, type Editor } from '../editor.js';
import { imageSource } from '../source/image.js';
import { copyIntoImage } from './into-image.js';

const env = fixedEnv({ start: { sec: 1_700_000_000, nsec: 0 }, tickNs: 1000 });
const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';

/** The form that system calls pass: owner, one user, group, mask, others. */
function acl(userId: number, mask = 7, other = 5): Uint8Array {
  const entries = [[1, 7, 0xffff_ffff], [2, 7, userId], [4, 5, 0xffff_ffff], [0x10, mask, 0xffff_ffff], [0x20, other, 0xffff_ffff]];
  const view = new DataView(new ArrayBuffer(4 + entries.length * 8));
  view.setUint32(0, 2, true);
  entries.forEach(([tag = 0, perm = 0, id = 0], i) => {
    view.setUint16(4 + i * 8, tag, true);
    view.setUint16(6 + i * 8, perm, true);
    view.setUint32(8 + i * 8, id, true);
  });
  return new Uint8Array(view.buffer);
}

/** An image with a tree `/from`, and `/to` with a default ACL. */
function within(run: (editor: Editor) => void): void {
  const device = memoryDevice({ sizeBytes: 8 * 2 ** 20 });
  runSync(mkfs(device, {}, env));
  const editor = openEditor(runSync(mount(device, { env })), 'x.img');
  const { vfs } = editor;
  for (const path of ['/from', '/from/plain', '/from/shared', '/to']) runSync(vfs.mkdir(path, 0o777));
  for (const name of ['a', 'b']) runSync(vfs.close(runSync(vfs.open(`/from/${name}`, O_CREAT | O_WRONLY, 0o666))));
  runSync(vfs.setattr('/from/a', { mode: 0o640 }, true));
  runSync(vfs.setattr('/from/plain', { mode: 0o2770 }, true));
  runSync(vfs.setxattr('/from/b', ACCESS, acl(1234, 5)));
  runSync(vfs.setxattr('/from/shared', DEFAULT, acl(77)));
  runSync(vfs.setxattr('/to', DEFAULT, acl(1000)));
  run(editor);
  editor.close();
  expect(runSync(check(device)).findings).toEqual([]);
}

function copy(editor: Editor, preserve: boolean): void {
  const { vfs, tree } = editor;
  const top = tree.inode(runSync(vfs.stat('/from')).ino);
  const source = imageSource(tree, top, { name: 'x.img', path: '/from', recursive: true });
  const problem = (error: unknown): void => {
    throw error;
  };
  copyIntoImage(editor, source, '/to/copy', { preserve, problem });
}

/** Mode and ACLs of a path. */
function facts({ vfs }: Editor, path: string): { mode: string; acls: Record<string, string> } {
  const names = runSync(vfs.listxattr(path)).sort();
  const acls = Object.fromEntries(names.map((name) => [name, Buffer.from(runSync(vfs.getxattr(path, name))).toString('hex')]));
  return { mode: (runSync(vfs.stat(path)).mode & 0o7777).toString(8), acls };
}

const PATHS = ['', '/plain', '/shared', '/a', '/b'];

describe('a copy into a directory with a default ACL', () => {
  it('has the ACLs of the source alone where attributes are kept', () => {
    within((editor) => {
      copy(editor, true);
      for (const path of PATHS) expect([path, facts(editor, `/to/copy${path}`)]).toEqual([path, facts(editor, `/from${path}`)]);
      expect(facts(editor, '/to/copy/b').acls[ACCESS]).toBe(Buffer.from(acl(1234, 5)).toString('hex'));
      // Over what an earlier copy has left there.
      runSync(editor.vfs.setxattr('/to/copy/a', ACCESS, acl(9)));
      copy(editor, true);
      expect(facts(editor, '/to/copy/a')).toEqual({ mode: '640', acls: {} });
    });
  });

  it('inherits it else, as anything made there does', () => {
    within((editor) => {
      copy(editor, false);
      expect(facts(editor, '/to/copy/plain')).toEqual({
        mode: '770',
        acls: { [ACCESS]: Buffer.from(acl(1000, 7, 0)).toString('hex'), [DEFAULT]: Buffer.from(acl(1000)).toString('hex') },
      });
    });
  });
});
