import { CodedError } from '../base/errors.ts';

/** With this in the environment a fault of the program is shown with its stack. */
const STACK_VARIABLE = 'SHARESTREAM_STACK';

/**
 * What went wrong, for whoever typed the command: a code, the reason, and on the next line what to do.
 * Never a stack, which says nothing to them, unless they ask for it.
 */
export function wordsOf(error: unknown, env: NodeJS.ProcessEnv = process.env): string {
  const coded = codedOf(error);
  if (coded !== undefined) return `${coded.message}\n${coded.hint}`;
  if (error instanceof Error && env[STACK_VARIABLE] !== undefined)
    return `internal: ${error.stack ?? error.message}`;
  const message = error instanceof Error ? error.message : String(error);
  return `internal: ${message}\nthis is a fault of the program: please report it, with what ${STACK_VARIABLE}=1 shows`;
}

/** What the system refused is no fault of the program. */
function codedOf(error: unknown): CodedError | undefined {
  if (error instanceof CodedError) return error;
  if (!(error instanceof Error)) return undefined;
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return undefined;
  const what = path === undefined ? syscall : `${path} cannot be used: ${syscall}`;
  return new CodedError('file_unusable', `${what}: ${code}`);
}
