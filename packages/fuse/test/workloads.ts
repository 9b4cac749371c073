/**
 * Real programs as workloads of a mounted image: shell scripts that run in the mount's root and fail when anything is not as
 * it should be. Inputs come from the repository itself and from what a script makes; nothing is fetched.
 *
 * A script sees `SOURCES` (packages/), `MODULES` (the repository's node_modules), `OUT` (an empty folder outside of the
 * mount) and `LONG` (1 in a soak run, else 0: seconds in place of minutes).
 */
export interface Workload {
  readonly name: string;
  /** Programs and the Debian packages that have them. */
  readonly tools: readonly (readonly [command: string, packageName: string])[];
  readonly sizeMib: number;
  /** Of the long form, where it needs more. */
  readonly longSizeMib?: number;
  /** Makes the input in `OUT`, before the image is mounted. */
  readonly prepare?: string;
  readonly script: string;
}

/** A folder of a hundred small files, or all there are. */
const TREE = `if [ "$LONG" = 1 ]; then TREE="$MODULES"; else TREE="$MODULES/ajv"; fi`;

/** Packages that depend on each other, as tarballs, and a project that takes all of them. */
const NPM_PREPARE = `
mkdir -p "$OUT/tarballs" "$OUT/project"
for i in $(seq 1 8); do
  mkdir -p "$OUT/p$i/lib/deep"
  for j in $(seq 1 10); do echo "export const v$j = '$i-$j';" > "$OUT/p$i/lib/deep/m$j.js"; done
  printf '#!/usr/bin/env node\\nconsole.log("%s")\\n' $i > "$OUT/p$i/cli.js"
  echo "{ \\"name\\": \\"local-$i\\", \\"version\\": \\"1.0.$i\\", \\"bin\\": { \\"local-$i\\": \\"cli.js\\" } }" > "$OUT/p$i/package.json"
done
cd "$OUT/tarballs"; npm pack --silent --offline ../p1 ../p2 ../p3 ../p4 ../p5 ../p6 ../p7 ../p8 > ../packed
cd "$OUT/project"; mv ../tarballs .
node -e "const d={};for(let i=1;i<=8;i++)d['local-'+i]='file:tarballs/local-'+i+'-1.0.'+i+'.tgz';require('fs').writeFileSync('package.json',JSON.stringify({name:'project',version:'1.0.0',dependencies:d}))"
npm install --package-lock-only --offline --no-audit --no-fund --silent --cache "$OUT/cache"`;

/**
 * stress-ng's file-system stressors that work on files below --temp-path; not among them: those for special files, for
 * devices, for namespaces, and those that loop over other filesystems of the machine (procfs, sysfs, dev, binderfs, …).
 */
const STRESSORS = [
  'access', 'chdir', 'chmod', 'chown', 'copy-file', 'dentry', 'dir', 'dirdeep', 'dirmany', 'dup', 'fallocate', 'fcntl', 'file-ioctl',
  'filename', 'flock', 'fpunch', 'fstat', 'getdent', 'hdd', 'inode-flags', 'inotify', 'io', 'iomix', 'lease', 'link', 'locka', 'lockf',
  'lockofd', 'mknod', 'open', 'readahead', 'rename', 'revio', 'seek', 'sendfile', 'splice', 'symlink', 'sync-file', 'touch',
  'utime', 'verity', 'xattr',
];

/** Those of the short form: one of each sort. */
const STRESSORS_SHORT = ['chmod', 'dentry', 'dir', 'filename', 'flock', 'hdd', 'link', 'lockf', 'rename', 'seek', 'symlink', 'utime', 'xattr'];

export const WORKLOADS: readonly Workload[] = [
  {
    name: 'git: clone of thousands of files, fsck, status',
    tools: [['git', 'git']],
    sizeMib: 256,
    longSizeMib: 2048,
    prepare: `${TREE}
      git init -q "$OUT/origin"; cd "$OUT/origin"; git config user.email a@b; git config user.name n; git config core.autocrlf false
      cp -a "$TREE" tree; find tree \\( -name .git -o -name .gitignore -o -name .gitattributes \\) -exec rm -rf {} +
      n=$([ "$LONG" = 1 ] && echo 2000 || echo 200)
      for i in $(seq 1 $n); do [ -d many/$((i % 40)) ] || mkdir -p many/$((i % 40)); echo $i > many/$((i % 40))/$i; done
      git add -A; git commit -qm all`,
    script: `git clone -q --no-hardlinks "$OUT/origin" clone; cd clone; git fsck --full --strict 2>&1
      test "$(git ls-files | wc -l)" -gt $([ "$LONG" = 1 ] && echo 2000 || echo 200); test -z "$(git status --porcelain)"
      echo more >> many/1/1; git -c gc.auto=0 -c user.email=a@b -c user.name=n commit -qam more; git -c gc.auto=0 gc -q; git fsck 2>&1`,
  },
  {
    name: 'npm ci of a project with tarballs',
    tools: [],
    sizeMib: 128,
    prepare: NPM_PREPARE,
    script: `cp -r "$OUT/project" .; cd project; npm ci --offline --no-audit --no-fund --loglevel=error --cache "$OUT/cache"
      test "$(ls node_modules | wc -l)" = 8; test "$(node_modules/.bin/local-3)" = 3; npm ls >/dev/null`,
  },
  {
    name: 'tar: in, compared, out',
    tools: [['tar', 'tar']],
    sizeMib: 256,
    longSizeMib: 2048,
    prepare: `${TREE}; tar -C "$TREE" -cf "$OUT/a.tar" .`,
    script: `mkdir t; tar -C t -xf "$OUT/a.tar"; tar -C t -df "$OUT/a.tar"; tar -C t -cf b.tar .; tar -C t -df b.tar; rm b.tar`,
  },
  {
    name: 'rsync -a twice: the second finds nothing',
    tools: [['rsync', 'rsync']],
    sizeMib: 256,
    longSizeMib: 2048,
    script: `${TREE}; rsync -a "$TREE/" dest/; test -z "$(rsync -ain "$TREE/" dest/)"; test -z "$(rsync -acin "$TREE/" dest/)"`,
  },
  {
    name: 'cp -a of node_modules',
    tools: [],
    sizeMib: 256,
    longSizeMib: 2048,
    script: `${TREE}; cp -a "$TREE" copy; diff -r --no-dereference "$TREE" copy`,
  },
  {
    name: 'sqlite3 with a write-ahead log, two at a time',
    tools: [['sqlite3', 'sqlite3']],
    sizeMib: 192,
    longSizeMib: 1024,
    script: `rows=$([ "$LONG" = 1 ] && echo 100000 || echo 600)
      sqlite3 t.db "pragma journal_mode=wal; create table t(a integer primary key, b text);" >/dev/null
      fill() { for i in 1 2 3; do sqlite3 t.db ".timeout 60000" "with recursive n(i) as (select 1 union all select i+1 from n where i<$rows) insert into t(b) select hex(randomblob(40)) from n;"; done; }
      fill & one=$!; fill; wait $one
      test "$(sqlite3 t.db 'select count(*) from t')" = $((rows * 6))
      sqlite3 t.db "delete from t where a%3=0; vacuum; pragma integrity_check;" | tail -1 | grep -qx ok`,
  },
  {
    name: 'fio --verify: sync, libaio, mmap; buffered and direct',
    tools: [['fio', 'fio']],
    sizeMib: 256,
    longSizeMib: 1500,
    script: `size=$([ "$LONG" = 1 ] && echo 128m || echo 1m)
      for job in sync:0 sync:1 libaio:0 libaio:1 mmap:0; do for rw in $([ "$LONG" = 1 ] && echo write randwrite || echo randwrite); do
        fio --name=v --filename=$rw-\${job%:*}-\${job#*:} --rw=$rw --bsrange=4k-64k --blockalign=4k --size=$size --ioengine=\${job%:*} --direct=\${job#*:} \\
          --iodepth=8 --verify=crc32c --verify_fatal=1 --do_verify=1 --output="$OUT/fio" || { cat "$OUT/fio"; exit 1; }
      done; done`,
  },
  {
    name: 'dbench',
    tools: [['dbench', 'dbench']],
    sizeMib: 256,
    longSizeMib: 1024,
    script: `dbench -t $([ "$LONG" = 1 ] && echo 60 || echo 1) -D . 3 > "$OUT/dbench" 2>&1 || { tail -20 "$OUT/dbench"; exit 1; }; grep -q '^Throughput' "$OUT/dbench"`,
  },
  {
    name: 'fs_mark: small files, each fsynced, and without',
    tools: [['fs_mark', 'fsmark']],
    sizeMib: 192,
    longSizeMib: 1024,
    script: `n=$([ "$LONG" = 1 ] && echo 10000 || echo 40)
      fs_mark -k -d synced -n $n -s 10240 -S 1 -t 2 -l "$OUT/l" >/dev/null; fs_mark -k -d loose -n $n -s 4000 -S 0 -t 2 -D 8 -l "$OUT/l" >/dev/null
      test "$(find synced loose -type f | wc -l)" = $((n * 4))`,
  },
  {
    name: 'stress-ng: file-system stressors',
    tools: [['stress-ng', 'stress-ng']],
    sizeMib: 256,
    longSizeMib: 1024,
    script: `mkdir -p s; if [ "$LONG" = 1 ]; then list="${STRESSORS.join(' ')}"; t=60; else list="${STRESSORS_SHORT.join(' ')}"; t=1; fi
      args=; for one in $list; do args="$args --$one 1"; done
      stress-ng $args --hdd-bytes 8m --seek-size 4m --iomix-bytes 8m --revio-bytes 8m --copy-file-bytes 128m --fallocate-bytes 8m --readahead-bytes 8m --sync-file-bytes 8m --verify \\
        --temp-path s --timeout \${t}s > "$OUT/stress" 2>&1 || { grep -E 'fail|error|unsuccessful|option|range' "$OUT/stress"; exit 1; }`,
  },
];
