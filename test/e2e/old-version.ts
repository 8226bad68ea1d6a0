import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { ROOT } from '../source-tree.ts';

/** The commit whose ledgers must stay good and whose daemons must stay good peers. */
const OLD_COMMIT = 'e9ec14f76b47d9a0fc17d7981e92676c8e083a6f';
const OLD_PATHS = ['src', 'package.json', 'tsconfig.json'];

const START_MS = 30_000;
const STOP_MS = 15_000;

/** A folder with the `src/main.ts` of one version of the program. */
export type Version = { readonly name: string; readonly folder: string };

export const CURRENT: Version = { name: 'the current', folder: ROOT };

/** Why the old version cannot be had here; undefined where it can. */
export function whyNoOldVersion(): string | undefined {
  const top = git('rev-parse', '--show-prefix');
  if (top.error !== undefined) return 'git is not installed (apt-get install git)';
  if (top.status !== 0 || top.stdout.toString().trim() !== '')
    return 'this is no clone: the history of the project is not here';
  const isThere = git('cat-file', '-e', `${OLD_COMMIT}^{commit}`).status === 0;
  return isThere
    ? undefined
    : `the history goes not as far as ${OLD_COMMIT.slice(0, 7)} (git fetch --unshallow)`;
}

/** Lays the old version into a folder, with the packages of this one. */
export function layOldVersion(folder: string): Version {
  mkdirSync(folder);
  const archive = git('archive', '--format=tar', OLD_COMMIT, ...OLD_PATHS);
  if (archive.status !== 0) throw new Error(`git archive: ${archive.stderr.toString()}`);
  const { status, stderr } = spawnSync('tar', ['--extract', '--directory', folder], {
    input: archive.stdout,
  });
  if (status !== 0) throw new Error(`tar: ${String(stderr)}`);
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return { name: `the ${OLD_COMMIT.slice(0, 7)}`, folder };
}

function git(...words: string[]) {
  return spawnSync('git', ['-C', ROOT, ...words], { maxBuffer: 2 ** 28 });
}

const mainOf = ({ folder }: Version): string => join(folder, 'src/main.ts');

/** A command of one version; resolves to the JSON it prints. Throws where it ends with a failure. */
export async function command<T>(version: Version, ...words: string[]): Promise<T> {
  const { stdout } = await promisify(execFile)(process.execPath, [mainOf(version), ...words, '--json']);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as T;
}

/** The same, which prints many lines. */
export async function textOf(version: Version, ...words: string[]): Promise<string> {
  const options = { maxBuffer: 2 ** 28 };
  const { stdout } = await promisify(execFile)(process.execPath, [mainOf(version), ...words], options);
  return stdout;
}

/** A daemon of one version as a process, run as an operator runs it; it ends when this process dies. */
export class VersionDaemon {
  readonly #child: ChildProcess;
  readonly #exited: Promise<readonly unknown[]>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#exited = once(child, 'exit');
  }

  /** Resolves when it says that it is ready. Throws the end of its log when it ends first. */
  static async start(
    version: Version,
    role: 'proxy' | 'maker',
    configFile: string,
  ): Promise<VersionDaemon> {
    const logFile = `${configFile}.log`;
    const log = openSync(logFile, 'a', 0o600);
    const words = [mainOf(version), role, '--config', configFile, '--json', '--with-parent'];
    const child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', log] });
    closeSync(log);
    const daemon = new VersionDaemon(child);
    const timer = setTimeout(() => child.kill('SIGKILL'), START_MS);
    try {
      for await (const _ of createInterface({ input: child.stdout! })) return daemon;
    } finally {
      clearTimeout(timer);
    }
    const end = readFileSync(logFile, 'utf8').trim().split('\n').slice(-4).join('\n');
    throw new Error(`${version.name} ${role} did not start:\n${end}`);
  }

  /** In order; resolves to the exit code. */
  async stop(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.kill(), STOP_MS);
    await this.#exited;
    clearTimeout(timer);
    return this.#child.exitCode;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}
