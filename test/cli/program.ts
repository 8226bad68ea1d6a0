import { spawn } from 'node:child_process';
import { once } from 'node:events';

export type Ran = {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line of standard output as JSON. */
  readonly json: () => Record<string, unknown>;
};

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;

const { PATH = '', NODE_COMPILE_CACHE = '' } = process.env;

/**
 * `sharestream ...` as a process of its own, with no environment but what it needs.
 * @param options.main the program of another copy of the project
 */
export async function sharestream(
  words: readonly string[],
  options: { stdout?: number; main?: string } = {},
): Promise<Ran> {
  const child = spawn(process.execPath, [options.main ?? MAIN, ...words], {
    stdio: ['ignore', options.stdout ?? 'pipe', 'pipe'],
    env: { PATH, HOME: '/nonexistent', NODE_COMPILE_CACHE },
  });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr!.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return {
    code: code ?? -1,
    stdout,
    stderr,
    json: () => JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, unknown>,
  };
}

/** The same, which must go well: its JSON. */
export async function answer<T = Record<string, unknown>>(words: readonly string[]): Promise<T> {
  const { code, json, stderr } = await sharestream([...words, '--json']);
  if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}: ${stderr}`);
  return json() as T;
}

/** The same, which must not: its exit code and the code of its error. */
export async function refusal(words: readonly string[]): Promise<string> {
  const { code, stderr, stdout } = await sharestream([...words, '--json']);
  if (stdout !== '') throw new Error(`${words.join(' ')} said ${stdout}`);
  return `${code} ${/^[a-z_]+/.exec(stderr)?.[0] ?? stderr}`;
}
