import { type ChildProcess, spawn } from 'node:child_process';

const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 10_000;
const KEPT_CHARS = 4_000;

/** The program of a node, started by this process and ended by its pid, at the latest with this process. */
export class NodeProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    const killAtExit = (): void => void child.kill('SIGKILL');
    process.once('exit', killAtExit);
    this.#ended = new Promise<void>((resolve) => {
      child.once('exit', () => {
        process.off('exit', killAtExit);
        resolve();
      });
    });
  }

  /** Starts it and waits for a line of its output; what that matched. Rejects with the end of its output. */
  static async start(
    program: string,
    options: readonly string[],
    ready: RegExp,
  ): Promise<{ readonly process: NodeProcess; readonly match: RegExpExecArray }> {
    const child = spawn(program, options, { stdio: ['ignore', 'pipe', 'pipe'] });
    const started = new NodeProcess(child);
    return { process: started, match: await outputOf(child, program, ready) };
  }

  /** Sends a signal, to stand still, to go on, or to die at once. */
  signal(name: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    this.#child.kill(name);
  }

  get ended(): Promise<void> {
    return this.#ended;
  }

  async stop(signal: 'SIGTERM' | 'SIGINT' = 'SIGTERM'): Promise<void> {
    this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.#ended;
    clearTimeout(timer);
  }
}

/** Its output goes on unread after the match. */
function outputOf(child: ChildProcess, program: string, ready: RegExp): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let output = '';
    const fail = (why: string): void => {
      child.kill('SIGKILL');
      reject(new Error(`${program} ${why}: ${output.slice(-1000)}`));
    };
    const timer = setTimeout(() => fail('does not say that it is ready'), START_TIMEOUT_MS);
    const onExit = (): void => {
      clearTimeout(timer);
      fail('ended');
    };
    child.once('error', (error) => fail(String(error)));
    // After the last of its output.
    child.once('close', onExit);
    const read = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-KEPT_CHARS);
      const match = ready.exec(output);
      if (match === null) return;
      clearTimeout(timer);
      child.off('close', onExit);
      child.stdout?.off('data', read).resume();
      child.stderr?.off('data', read).resume();
      resolve(match);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
  });
}
