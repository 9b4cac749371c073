/** What mount(8) and umount(8) may hand to the helpers of any type; none of it means anything here. */
export const COMMON_OPTIONS = {
  nomtab: { type: 'boolean', short: 'n' },
  verbose: { type: 'boolean', short: 'v' },
  namespace: { type: 'string', short: 'N' },
  type: { type: 'string', short: 't' },
} as const;
