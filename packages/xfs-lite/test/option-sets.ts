/** Option sets of mkfs.xfs that the tests go through. */
export interface OptionSet {
  readonly name: string;
  readonly args: readonly string[];
  readonly blockSize: number;
  readonly reflink: boolean;
  readonly sizeBytes?: number;
  readonly mount?: readonly string[];
  readonly names?: readonly number[];
  readonly extents?: number;
  readonly xattrs?: number;
  /** In the short slice of `npm test`. */
  readonly slice?: boolean;
}

const set = (name: string, args: string, extra: Partial<OptionSet> = {}): OptionSet => ({
  name,
  args: args === '' ? [] : args.split(' '),
  blockSize: 4096,
  reflink: true,
  ...extra,
});

export const OPTION_SETS: readonly OptionSet[] = [
  set('defaults', '', { slice: true }),
  set('everything', '-m rmapbt=1,reflink=1,finobt=1,bigtime=1,inobtcount=1 -i nrext64=1,sparse=1'),
  set('nothing optional', '-m rmapbt=0,reflink=0,finobt=0,bigtime=0,inobtcount=0 -i nrext64=0,sparse=0', { reflink: false }),
  set('1k blocks', '-b size=1024', { blockSize: 1024, extents: 20_000, names: [1, 12, 60, 500, 12_000], xattrs: 1000 }),
  set('2k blocks', '-b size=2048', { blockSize: 2048 }),
  set('8k blocks', '-b size=8192', { blockSize: 8192 }),
  set('16k blocks', '-b size=16384', { blockSize: 16_384 }),
  set('32k blocks', '-b size=32768', { blockSize: 32_768, sizeBytes: 640 * 2 ** 20 }),
  set('64k blocks', '-b size=65536', { blockSize: 65_536, sizeBytes: 1024 * 2 ** 20 }),
  // An extent tree of depth 3 holds more than 20 × 59 extents here.
  set('1k blocks, 4k directories', '-b size=1024 -n size=4096', { blockSize: 1024, extents: 2500, xattrs: 1000, slice: true }),
  set('1k blocks, 64k directories', '-b size=1024 -n size=65536', { blockSize: 1024 }),
  set('16k directories', '-n size=16384', { names: [1, 12, 60, 500, 20_000] }),
  set('64k directories', '-n size=65536', { names: [1, 12, 60, 500, 30_000] }),
  set('1k inodes', '-i size=1024'),
  set('2k inodes', '-i size=2048'),
  set('1k inodes in 2k blocks', '-b size=2048 -i size=1024', { blockSize: 2048 }),
  set('4k sectors', '-s size=4096'),
  set('1k sectors', '-s size=1024 -b size=1024', { blockSize: 1024 }),
  set('16 groups', '-d agcount=16', { sizeBytes: 2048 * 2 ** 20 }),
  set('one group', '--unsupported -d agcount=1'),
  set('odd groups', '-d agsize=70m', { sizeBytes: 400 * 2 ** 20 }),
  set('stripes', '-d su=64k,sw=4', { sizeBytes: 4096 * 2 ** 20 }),
  set('log stripe', '-l su=64k'),
  set('label and uuid', '-L hello -m uuid=12345678-1234-1234-1234-123456789abc'),
  set('nrext64', '-i nrext64=1'),
  set('rmapbt', '-m rmapbt=1'),
  set('large log', '-l size=100m', { sizeBytes: 512 * 2 ** 20 }),
  set('many names', '', { names: [100_000], sizeBytes: 1024 * 2 ** 20 }),
];
