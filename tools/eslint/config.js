/**
 * The lint rules of every package (each `packages/NAME/eslint.config.js` re-exports this list).
 *
 * - Strict, type-checked typescript-eslint, without its taste-only rules.
 * - Module boundaries: layers point down, no deep imports.
 * - The house's own rules (plugin.js), for mistakes that neither the compiler nor a test sees.
 * - Core packages know no host: no `node:` imports, no clock, no random numbers, no `process`, no `Buffer`.
 */
import { fileURLToPath } from 'node:url';
import nx from '@nx/eslint-plugin';
import tseslint from 'typescript-eslint';
import { depConstraints } from './layers.js';
import { plugin } from './plugin.js';

/** Patterns below are relative to the repository, whatever package is linted. */
const basePath = fileURLToPath(new URL('../..', import.meta.url));

const specs = ['**/*.spec.ts', '**/test/**/*.ts'];
/** Code that runs on Node by design. */
const hosted = [
  'packages/*/src/node/**/*.ts',
  'packages/block-device/src/memfs/**/*.ts',
  'packages/cli/**/*.ts',
  'packages/fuse/**/*.ts',
  'packages/conformance/**/*.ts',
  'tools/**/*.{js,ts}',
  ...specs,
];

const boundaries = (/** @type {boolean} */ spec) => [
  'error',
  {
    allow: [],
    enforceBuildableLibDependency: false,
    allowCircularSelfDependency: true,
    // A face may load lazily in one place what it imports in another.
    checkDynamicDependenciesExceptions: ['^@iomap/'],
    depConstraints: depConstraints({ spec }),
  },
];

const deepImports = {
  regex: '^@iomap/[^/]+/(src|dist|test)(/|$)',
  message: 'Deep imports fail for consumers: import from an entry of the package.',
};
const nodeImports = {
  regex: '^(node:|(assert|buffer|child_process|crypto|events|fs|os|path|process|stream|util|v8|vm|worker_threads|zlib)(/|$))',
  message: 'Core packages run in a browser: Node built-ins belong in src/node/.',
};

/** Where the strict set is too strict, or a matter of taste. */
const typescriptRules = {
  '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false }],
  '@typescript-eslint/no-import-type-side-effects': 'off',
  '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
  '@typescript-eslint/no-unused-vars': [
    'error',
    { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none', ignoreRestSiblings: true },
  ],
  // A number in a message is a number; what must not be there is an object.
  '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
  // Io functions that only hand on are generators all the same; `submit` is the one that yields.
  'require-yield': 'off',
  // What was read before a wait is read again after it; the checker narrows across `yield*` and calls that needless.
  '@typescript-eslint/no-unnecessary-condition': 'off',
  '@typescript-eslint/no-confusing-void-expression': 'off',
  '@typescript-eslint/no-unnecessary-boolean-literal-compare': 'off',
  // A value caught and thrown on keeps its identity.
  '@typescript-eslint/only-throw-error': ['error', { allowRethrowing: true, allowThrowingUnknown: true }],
  // Node's old names are part of the face that vfs has to show, and of what the command must ask.
  '@typescript-eslint/no-deprecated': 'off',
  // An answer may be there at once or come as a promise: both may be awaited.
  '@typescript-eslint/await-thenable': 'off',
  '@typescript-eslint/no-redundant-type-constituents': 'off',
  '@typescript-eslint/no-meaningless-void-operator': 'off',
  '@typescript-eslint/unified-signatures': 'off',
  '@typescript-eslint/no-unnecessary-type-parameters': 'off',
  '@typescript-eslint/prefer-literal-enum-member': 'off',
};

/** @type {any[]} */
const entries = [
  {
    ignores: [
      '**/dist/**',
      '**/out-tsc/**',
      '**/tmp/**',
      '**/node_modules/**',
      '**/eslint.config.js',
      '**/jest.config.js',
      // Measuring scripts beside a package; no part of it.
      'packages/*/bench/**',
      'tools/soak/**/*.ts',
      '**/eslint/fixtures/**',
      '**/generators/*/files/**',
      '**/*.d.ts',
    ],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'warn' } },
  ...tseslint.configs.strictTypeChecked.map((entry) => ({ ...entry, files: ['**/*.ts'] })),
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: basePath } },
    plugins: { '@nx': nx, iomap: plugin },
    rules: {
      ...typescriptRules,
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      'object-shorthand': 'error',
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true, named: true, defaultFrom: true } }],
      'no-restricted-imports': ['error', { patterns: [deepImports] }],
      'no-restricted-syntax': ['error', { selector: 'TSEnumDeclaration', message: 'A union of literals, not an enum.' }],
      '@nx/enforce-module-boundaries': boundaries(false),
      'iomap/bare-yield': 'error',
      'iomap/no-yield-in-finally': 'error',
      'iomap/floating-io': 'error',
      'iomap/buffer-without-offset': 'error',
      'iomap/no-address-bit-operators': 'error',
    },
  },
  {
    files: ['**/*.ts'],
    ignores: hosted,
    rules: {
      'no-restricted-imports': ['error', { patterns: [deepImports, nodeImports] }],
      'no-restricted-globals': [
        'error',
        ...['process', 'Buffer', 'setTimeout', 'setInterval', 'setImmediate', 'require', '__dirname', '__filename'].map(
          (name) => ({ name, message: 'Core packages have no ambient state: take it from Env or the caller.' }),
        ),
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'Take the time from Env.' },
        { object: 'Math', property: 'random', message: 'Take random numbers from Env.' },
        { object: 'performance', property: 'now', message: 'Take the time from Env.' },
        { object: 'crypto', property: 'getRandomValues', message: 'Take random numbers from Env.' },
        { object: 'crypto', property: 'randomUUID', message: 'Take uuids from Env.' },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: 'TSEnumDeclaration', message: 'A union of literals, not an enum.' },
        { selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message: 'Take the time from Env.' },
        {
          selector: 'Program > VariableDeclaration[kind="let"], Program > ExportNamedDeclaration > VariableDeclaration[kind="let"]',
          message: 'Module state is shared by all mounts: keep it in the object that owns it.',
        },
      ],
    },
  },
  {
    files: ['**/*.{js,mjs,cjs}'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly' } },
    rules: { eqeqeq: 'error', 'no-var': 'error', 'prefer-const': 'error', 'no-unused-vars': 'error' },
  },
  // The one place that reads the host's clock and random numbers.
  { files: ['packages/io/src/env.ts'], rules: { 'no-restricted-properties': 'off', 'no-restricted-syntax': 'off' } },
  {
    files: specs,
    rules: {
      '@nx/enforce-module-boundaries': boundaries(true),
      // Tests hold methods apart from their object, plant wrong types and count on what a fixture holds.
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
    },
  },
];

const config = entries.map((entry) => ({ basePath, ...entry }));

export default config;
