/**
 * The command line: `main(argv, terminal)` runs one command and answers its exit code. It never ends the process.
 *
 * Exit codes: 0 done, 1 failed, 2 wrong usage; fsck has its own (fsck(8)).
 */
import { Command, CommanderError } from 'commander';
import { COMMANDS, type CommandSpec, type Options } from './commands/table.js';
import { createContext, type Context } from './context.js';
import { codeOf, errorLine, UsageError } from './errors.js';
import { packageVersion } from './version.js';
import type { Terminal } from './terminal.js';

const USAGE = 2;

/**
 * Runs one command.
 * @param argv without the program's own name
 */
export async function main(argv: readonly string[], terminal: Terminal): Promise<number> {
  const context = createContext(terminal);
  let exitCode = 0;
  const program = new Command('iomap')
    .description('Reads, writes, makes and checks disk images. IMAGE is a file or device, IMAGE@2 its second partition, IMAGE:/path a file inside.')
    .version(packageVersion())
    .exitOverride()
    .showSuggestionAfterError(true)
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.err(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'iomap: ').replace(/\n(?=.)/g, ' ')),
    });
  for (const spec of COMMANDS) {
    addCommand(program, spec, async (args, options) => {
      exitCode = await runCommand(spec, context, args, options);
    });
  }
  const known = COMMANDS.find((spec) => spec.name === argv[0]);
  try {
    if (argv.length === 0) {
      terminal.err(program.helpInformation());
      return USAGE;
    }
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : (known?.usageExit ?? USAGE);
    throw error;
  }
}

function addCommand(program: Command, spec: CommandSpec, action: (args: string[], options: Options) => Promise<void>): void {
  const command = program.command(`${spec.name} ${spec.args}`).description(spec.summary);
  for (const [flags, text] of spec.options) command.option(flags, text);
  command.action(async (...given: unknown[]) => {
    // commander passes each argument, then the options, then the command.
    const args = given.slice(0, -2).flat().filter((arg) => typeof arg === 'string');
    await action(args, command.opts());
  });
}

async function runCommand(spec: CommandSpec, context: Context, args: readonly string[], options: Options): Promise<number> {
  try {
    const { run } = await spec.load();
    const code = await run(context, args, options);
    return code ?? (context.problems > 0 ? 1 : 0);
  } catch (error) {
    if (error instanceof UsageError) {
      context.terminal.err(`iomap: ${spec.name}: ${error.message}\n`);
      return spec.usageExit ?? USAGE;
    }
    // The reader of a pipe went away: nothing is left to say, and nobody to say it to.
    if (codeOf(error) === 'EPIPE') return 1;
    context.terminal.err(`${errorLine(error)}\n`);
    return spec.name === 'fsck' ? 8 : exitOf(error);
  }
}

const exitOf = (error: unknown): number =>
  error instanceof Error && 'exitCode' in error && typeof error.exitCode === 'number' ? error.exitCode : 1;
