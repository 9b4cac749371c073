/** docs/posix.md, from the cases and the differences. */
import type { Case } from './case.js';
import { countAssertions } from './compare.js';
import { KNOWN_DIFFERENCES, MOUNT_NAMES } from './known-differences.js';

const cell = (text: string): string => text.replaceAll('|', '\\|');

/** The page as it must be. */
export function renderDocument(cases: readonly Case[]): string {
  const groups = [...new Set(cases.map(({ group }) => group))];
  const differences = KNOWN_DIFFERENCES.map(({ what, linux, ours, mounts, reason }) => {
    const where = mounts.length === MOUNT_NAMES.length ? 'all' : mounts.map((name) => (name === 'default' ? name : `\`${name}\``)).join(', ');
    return `| ${[what, linux, ours, where, reason].map(cell).join(' | ')} |`;
  });
  const counts = groups.map((group) => {
    const own = cases.filter((one) => one.group === group);
    return `| ${group} | ${own.length} | ${countAssertions(own)} |`;
  });
  return `# POSIX behaviour, call by call

Made from \`test/posix\` by its test, which fails when this page says something else: \`IOMAP_WRITE_DOCS=1\` writes it anew.

${cases.length} cases with ${countAssertions(cases)} assertions are run by a program that makes the system calls (\`driver.py\`), as root and as
other users, on mounts of equal images in one run: \`iomap mount\` by default (what root alone does without, what others do with
\`allow_other\`), with \`server_permissions\` and with \`writeback_cache\` (both \`allow_other\`), and the kernel's own loop mount of ext2, which must answer as the cases say
in all.

## Differences

| what | Linux, ext2 by loop | here | on | why |
|---|---|---|---|---|
${differences.join('\n')}

## What is asserted

| group | cases | assertions |
|---|---|---|
${counts.join('\n')}
`;
}
