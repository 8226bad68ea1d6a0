import { type ChildProcess, fork } from 'node:child_process';

/** What a parent may ask a process of the bench; each name has one handler there. */
export type Handlers = Readonly<Record<string, (argument: never) => unknown>>;

type Question = { readonly ask: number; readonly name: string; readonly argument: unknown };
type Answer = { readonly answer: number; readonly value?: unknown; readonly error?: string };

/** A process of the bench: apart, so that the operating system accounts its CPU time apart. */
export class BenchChild {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<
    number,
    { resolve: (value: never) => void; reject: (error: Error) => void }
  >();
  readonly #exited: Promise<void>;
  #asked = 0;
  #isStopping = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once('exit', () => resolve()));
    child.on('message', (message: Answer) => {
      const { resolve, reject } = this.#waiting.get(message.answer)!;
      this.#waiting.delete(message.answer);
      if (message.error === undefined) resolve(message.value as never);
      else reject(new Error(message.error));
    });
    child.once('exit', (code) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`a bench process ended: ${code}`));
      if (!this.#isStopping && code !== 0) process.stderr.write(`a bench process ended with ${code}\n`);
    });
  }

  /** @param file beside this one; @param nodeFlags e.g. `--cpu-prof` */
  static start(file: string, words: readonly string[], nodeFlags: readonly string[] = []): BenchChild {
    const path = new URL(file, import.meta.url);
    return new BenchChild(fork(path, words, { execArgv: [...nodeFlags], stdio: ['ignore', 2, 2, 'ipc'] }));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  ask<T>(name: string, argument: unknown = null): Promise<T> {
    this.#asked += 1;
    const question: Question = { ask: this.#asked, name, argument };
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(question.ask, { resolve, reject });
      this.#child.send(question);
    });
  }

  /** An orderly end: the child hears that its parent is gone. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#child.connected) this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 20_000);
    await this.#exited;
    clearTimeout(timer);
  }
}

/** In a child: answers its parent's questions, and ends with it. */
export function serveParent(handlers: Handlers, end: () => Promise<void> | void): void {
  process.on('message', (question: Question) => void reply(handlers, question));
  process.once('disconnect', () => {
    void Promise.resolve(end()).then(() => process.exit(0));
  });
}

async function reply(handlers: Handlers, { ask, name, argument }: Question): Promise<void> {
  let answer: Answer;
  try {
    answer = { answer: ask, value: await handlers[name]!(argument as never) };
  } catch (error) {
    answer = { answer: ask, error: String((error as Error).stack) };
  }
  if (process.connected) process.send!(answer);
}

export type Usage = { readonly cpuMicros: number; readonly residentBytes: number };

/** CPU time of all threads of this process since its start, as the operating system counts it. */
export function usage(): Usage {
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  return { cpuMicros: userCPUTime + systemCPUTime, residentBytes: process.memoryUsage.rss() };
}
