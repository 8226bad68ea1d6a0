import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';

const STOP_MS = 15_000;

/**
 * One daemon of ours as a process of its own, the way an operator runs it. It is no part of the terminal's
 * process group, so that Ctrl+C stops it in order, and it ends by itself when this process dies.
 */
export class DaemonProcess {
  readonly #role: 'proxy' | 'maker' | 'auditor';
  readonly #configFile: string;
  readonly #logFile: string;
  readonly #timers: Timers;
  #child: ChildProcess | undefined;
  #exited: Promise<number | null> = Promise.resolve(null);

  constructor(
    options: { role: 'proxy' | 'maker' | 'auditor'; configFile: string; logFile: string },
    deps: { readonly timers: Timers },
  ) {
    this.#timers = deps.timers;
    this.#role = options.role;
    this.#configFile = options.configFile;
    this.#logFile = options.logFile;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /**
   * Starts it, with `env` added to the environment, and resolves with what it says when it is ready. Throws
   * `daemon_start` with the end of its log when it ends first.
   */
  async start(
    timeoutMs = 30_000,
    env: Readonly<Record<string, string>> = {},
  ): Promise<Record<string, unknown>> {
    const log = openSync(this.#logFile, 'a', 0o600);
    const main = new URL(import.meta.url.endsWith('.ts') ? '../main.ts' : '../main.js', import.meta.url);
    const words = [main.pathname, this.#role, '--config', this.#configFile, '--json', '--with-parent'];
    const child = spawn(process.execPath, words, {
      ...{ stdio: ['pipe', 'pipe', log], detached: true },
      env: { ...process.env, ...env },
    });
    closeSync(log);
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code) => resolve(code));
    });
    const lines = createInterface({ input: child.stdout! });
    const timer = this.#timers.after(timeoutMs, () => child.kill('SIGKILL'));
    try {
      for await (const line of lines) return JSON.parse(line) as Record<string, unknown>;
    } finally {
      timer.cancel();
    }
    const end = readFileSync(this.#logFile, 'utf8').trim().split('\n').slice(-4).join('\n');
    throw new CodedError(
      'daemon_start',
      `the ${this.#role} did not start; the end of ${this.#logFile}:\n${end}`,
    );
  }

  /** As a power cut: nothing is told, nothing is flushed. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  /** An orderly stop; resolves to the exit code. */
  async stop(): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return child?.exitCode ?? null;
    child.kill('SIGTERM');
    const timer = this.#timers.after(STOP_MS, () => child.kill('SIGKILL'));
    const code = await this.#exited;
    timer.cancel();
    return code;
  }

  /** Resolves when the process ends by itself or otherwise. */
  get exited(): Promise<number | null> {
    return this.#exited;
  }
}
