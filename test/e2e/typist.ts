import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readDocument } from '../ops/documents.ts';

export type Typed = { readonly code: number | null; readonly text: string };

/** The lines of the `sh` blocks of a document, without what stands there as a comment. */
export function commandsOf(path: string): string[] {
  const blocks = readDocument(path).matchAll(/^```sh\n([\s\S]*?)^```$/gm);
  return [...blocks].flatMap((block) =>
    block[1]!
      .split('\n')
      .map((line) => line.replace(/\s+# .*$/, '').trim())
      .filter((line) => line !== ''),
  );
}

/** Somebody at a shell in one folder, who keeps what was typed and answers come back to. */
export class Typist {
  readonly #options: { readonly folder: string; readonly env: Readonly<Record<string, string>> };
  readonly #left: Terminal[] = [];

  constructor(options: { readonly folder: string; readonly env: Readonly<Record<string, string>> }) {
    this.#options = options;
  }

  /** Resolves when the command has ended. */
  async type(command: string): Promise<Typed> {
    const terminal = this.#open(command);
    return { code: await terminal.ended, text: terminal.text };
  }

  /** Starts what runs until Ctrl+C, and resolves once it has printed `ready`. Throws where it ends before. */
  async leave(command: string, ready: RegExp): Promise<Terminal> {
    const terminal = this.#open(command);
    this.#left.push(terminal);
    await terminal.printed(ready);
    return terminal;
  }

  /** Ends whatever still runs. */
  async close(): Promise<void> {
    for (const terminal of this.#left.reverse()) await terminal.ctrlC();
  }

  #open(command: string): Terminal {
    const { folder, env } = this.#options;
    const options = { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'] };
    // A shell at a terminal outlives Ctrl+C, and tells how the command ended.
    const words = ['-c', `trap : INT\n${command}`];
    return new Terminal(command, spawn('/bin/sh', words, { ...options, detached: true }));
  }
}

/** A window with one command in it. */
export class Terminal {
  readonly ended: Promise<number | null>;
  readonly #command: string;
  readonly #child: ChildProcess;
  readonly #waiting = new Set<() => void>();
  #text = '';
  #hasEnded = false;

  constructor(command: string, child: ChildProcess) {
    this.#command = command;
    this.#child = child;
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.#text += chunk;
        for (const look of this.#waiting) look();
      });
    }
    this.ended = once(child, 'close').then(([code]) => {
      this.#hasEnded = true;
      for (const look of this.#waiting) look();
      return code as number | null;
    });
  }

  get text(): string {
    return this.#text;
  }

  /** Resolves once this was printed. Throws where the command ends before. */
  printed(pattern: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const isThere = pattern.test(this.#text);
        if (!isThere && !this.#hasEnded) return;
        this.#waiting.delete(look);
        if (isThere) resolve();
        else reject(new Error(`${this.#command} ended without ${String(pattern)}:\n${this.#text}`));
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** To all of the terminal, as a terminal does it; resolves to the exit code. */
  async ctrlC(): Promise<number | null> {
    if (!this.#hasEnded) process.kill(-this.#child.pid!, 'SIGINT');
    return this.ended;
  }
}
