/**
 * The commands, their arguments and options. What a command does is in a file of its own, loaded when it is called.
 *
 * An option that has a value is `<value>` in its flags; options arrive as an object keyed in camel case.
 */
import type { Context } from '../context.js';

/** Options as the command line gave them. */
export type Options = Readonly<Record<string, unknown>>;

/** @returns the exit code; undefined = 0, or 1 when there were problems */
export type Run = (context: Context, args: readonly string[], options: Options) => Promise<number | undefined>;

export interface CommandSpec {
  readonly name: string;
  /** As commander has them: `<needed>`, `[optional]`, `<many...>`. */
  readonly args: string;
  readonly summary: string;
  readonly options: readonly (readonly [flags: string, text: string])[];
  readonly load: () => Promise<{ readonly run: Run }>;
  /** Exit code of a usage error; 2 but for fsck. */
  readonly usageExit?: number;
}

const JSON_OPTION = ['--json', 'print facts as JSON'] as const;

const FORMAT_OPTIONS = [
  ['-t, --type <type>', 'type of filesystem: ext2 (default), minix, xfs'],
  ['--label <text>', 'volume label'],
  ['--uuid <uuid>', 'volume UUID'],
  ['--block-size <bytes>', 'block size: 1K, 2K, 4K, … 64K'],
  ['--inode-size <bytes>', 'size of an inode on disk: 128, 256, …'],
  ['--inodes <count>', 'number of inodes'],
  ['--features <list>', 'features to set, or to clear with ^, comma-separated'],
  ['--reserved <percent>', 'space that only root may use'],
  ['--bad-blocks <list>', 'blocks that are not to be used, comma-separated (minix)'],
  ['--sector-size <bytes>', 'sector size: 512, … 4K (xfs)'],
  ['--directory-size <bytes>', 'size of a directory block: 4K, … 64K (xfs)'],
  ['--groups <count>', 'number of allocation groups (xfs)'],
  ['--log-size <size>', 'size of the log (xfs)'],
  ['--stripe <unit:count>', 'stripes of so many units: 64K:4 (xfs)'],
] as const;

export const COMMANDS: readonly CommandSpec[] = [
  {
    name: 'mkfs',
    args: '<image>',
    summary: 'make a filesystem',
    options: [...FORMAT_OPTIONS, ['--size <size>', 'size of the image: 64M, 1G, …; default: the size it has'], ['--force', 'over a filesystem that is there'], JSON_OPTION],
    load: () => import('./mkfs.js'),
  },
  {
    name: 'build',
    args: '<source> <image>',
    summary: 'make an image from a folder or a tar archive (- = from standard input)',
    options: [...FORMAT_OPTIONS, ['--size <size>', 'size of the image, or auto: what the source needs (default)'], JSON_OPTION],
    load: () => import('./build.js'),
  },
  { name: 'info', args: '<image>', summary: 'what an image is', options: [JSON_OPTION], load: () => import('./info.js') },
  {
    name: 'ls',
    args: '<targets...>',
    summary: 'list directories',
    options: [['-l', 'all facts, one line each'], ['-a', "names that begin with '.' too"], ['-R', 'and what is below'], ['-d', 'directories themselves, not what is in them'], ['-i', 'inode numbers'], JSON_OPTION],
    load: () => import('./ls.js'),
  },
  {
    name: 'tree',
    args: '<target>',
    summary: 'draw a tree of directories',
    options: [['-L, --depth <levels>', 'so many levels'], ['-a', "names that begin with '.' too"], JSON_OPTION],
    load: () => import('./tree.js'),
  },
  { name: 'stat', args: '<targets...>', summary: 'all facts of a file', options: [['-L', 'follow links'], JSON_OPTION], load: () => import('./stat.js') },
  { name: 'cat', args: '<targets...>', summary: "files' content on standard output", options: [], load: () => import('./cat.js') },
  {
    name: 'cp',
    args: '<paths...>',
    summary: 'copy between host and image, or inside',
    options: [['-r', 'directories with all below'], ['-p', 'keep modes, owners, times and attributes']],
    load: () => import('./cp.js'),
  },
  { name: 'mkdir', args: '<targets...>', summary: 'make directories', options: [['-p', 'parents too; no error when it is there'], ['-m <mode>', 'permissions']], load: () => import('./mkdir.js') },
  { name: 'rm', args: '<targets...>', summary: 'remove', options: [['-r', 'directories with all below'], ['-f', 'no error for what is not there']], load: () => import('./rm.js') },
  { name: 'mv', args: '<paths...>', summary: 'rename or move, inside an image', options: [], load: () => import('./mv.js') },
  { name: 'ln', args: '<existing> <target>', summary: 'make a link', options: [['-s', 'symbolic'], ['-f', 'in place of what is there']], load: () => import('./ln.js') },
  { name: 'chmod', args: '<mode> <targets...>', summary: 'change permissions: 644, u+x,go-w', options: [['-R', 'all below too']], load: () => import('./chmod.js') },
  { name: 'chown', args: '<owner> <targets...>', summary: 'change owners: UID, UID:GID, :GID', options: [['-R', 'all below too']], load: () => import('./chown.js') },
  { name: 'truncate', args: '<targets...>', summary: "set files' size", options: [['-s <size>', 'the size; + and - change it']], load: () => import('./truncate.js') },
  { name: 'tar', args: '<target>', summary: 'a PAX archive on standard output', options: [], load: () => import('./tar.js') },
  { name: 'extract', args: '<target> <folder>', summary: 'copy a tree onto the host, all attributes kept', options: [], load: () => import('./extract.js') },
  {
    name: 'fsck',
    args: '<image>',
    summary: 'check; exit 0 clean, 1 repaired, 4 errors left, 8 could not run, 16 usage',
    options: [
      ['-t, --type <type>', 'type of filesystem, where damage hides it'],
      ['--repair', 'repair what can be repaired'],
      ['-n, --dry-run', 'with --repair: say what would be done'],
      ['--undo <file>', 'with --repair: keep what is overwritten in a file'],
      ['--restore <file>', 'put back what such a file holds'],
      JSON_OPTION,
    ],
    load: () => import('./fsck.js'),
    usageExit: 16,
  },
  {
    name: 'study',
    args: '<what>',
    summary: 'a conversion case study: ext2 or minix, the old way beside iomap; status: what is converted',
    options: [
      ['--counts', 'what is the same in every run, and no times'],
      ['--write <file>', "put the tables into a document (conversion.md), plots beside it"],
      JSON_OPTION,
    ],
    load: () => import('./study.js'),
  },
  { name: 'map', args: '<target>', summary: "a file's extents, as a table and a picture", options: [JSON_OPTION], load: () => import('./map.js') },
  {
    name: 'mount',
    args: '<image> <folder>',
    summary: 'serve an image as a folder (FUSE)',
    options: [['-o, --options <list>', 'ro, allow_other, uid=, gid=, sync, noatime, …'], ['--foreground', 'stay until it is unmounted']],
    load: () => import('./mount.js'),
  },
  { name: 'umount', args: '<folder>', summary: 'unmount; all is on the image then', options: [['-l, --lazy', 'also while it is in use']], load: () => import('./umount.js') },
];
