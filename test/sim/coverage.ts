import { methods } from '../../src/peer/messages.ts';
import { STRATEGIES } from './strategies/strategies.ts';

/** A run, as a child tells it. */
export type Told = {
  readonly strategy: string;
  readonly seed: number;
  readonly problem: string | undefined;
  readonly findings: number;
  readonly statuses: readonly string[];
  /** See `SimWorld.heard`. */
  readonly heard: readonly string[];
  /** Where a side died; empty or absent where none did. */
  readonly point?: string;
};

const STATUSES = ['none', 'opening', 'funding', 'open', 'closing', 'closed', 'failed'] as const;
const PROGRESS_MS = 10_000;

/** What many runs came to: progress while they run, and a table of strategies and statuses in the end. */
export class Coverage {
  failed = 0;
  /** Undefined where it is not known beforehand. */
  readonly #runs: number | undefined;
  readonly #say: (line: string) => void;
  readonly #seen = new Map<string, Map<string, number>>();
  /** In how many lives each was heard. */
  readonly #heard = new Map<string, number>();
  readonly #startMs = performance.now();
  #toldMs = 0;
  #count = 0;

  constructor(runs: number | undefined, say: (line: string) => void) {
    this.#runs = runs;
    this.#say = say;
  }

  add({ strategy, seed, problem, statuses, heard, point = '' }: Told): void {
    this.#count += 1;
    const row = this.#seen.get(strategy) ?? new Map<string, number>();
    this.#seen.set(strategy, row);
    for (const status of ['runs', ...statuses]) row.set(status, (row.get(status) ?? 0) + 1);
    for (const each of heard) this.#heard.set(each, (this.#heard.get(each) ?? 0) + 1);
    if (problem !== undefined) {
      this.failed += 1;
      this.#say(`FAILED  ${strategy}: ${problem}`);
      const crash = point === '' ? '' : ` --crash ${point}`;
      this.#say(`replay: npm run test:sim -- --seed ${seed} --strategy ${strategy}${crash}`);
    }
    const ms = performance.now() - this.#startMs;
    if (ms - this.#toldMs < PROGRESS_MS) return;
    this.#toldMs = ms;
    this.#say(
      `${this.#count} of ${this.#runs ?? 'many'} runs, ${this.failed} failed, ${this.#perMinute()} seeds a minute`,
    );
  }

  tell(): void {
    this.#say(
      `\n${'strategy'.padEnd(26)}${'runs'.padStart(6)}${STATUSES.map((each) => each.padStart(9)).join('')}`,
    );
    for (const name of Object.keys(STRATEGIES)) {
      const row = this.#seen.get(name);
      if (row === undefined) continue;
      const cells = STATUSES.map((each) => String(row.get(each) ?? '-').padStart(9)).join('');
      this.#say(`${name.padEnd(26)}${String(row.get('runs')).padStart(6)}${cells}`);
    }
    this.#tellHeard();
    this.#say(`${this.#count} runs, ${this.failed} failed, ${this.#perMinute()} seeds a minute`);
  }

  /** What each side was asked for, and how often in which status; what it never was stands there too. */
  #tellHeard(): void {
    const names = ['session.hello', 'session.auth', 'ping', ...Object.keys(methods)];
    for (const side of ['miner', 'maker'] as const) {
      this.#say(
        `\n${`asked of the ${side}`.padEnd(26)}${STATUSES.map((each) => each.padStart(9)).join('')}`,
      );
      for (const name of names) {
        const counts = STATUSES.map((status) => this.#heard.get(`${side} ${name} ${status}`));
        const cells = counts.map((count) => String(count ?? '-').padStart(9)).join('');
        this.#say(`${name.padEnd(26)}${cells}`);
      }
    }
  }

  #perMinute(): number {
    return Math.round((this.#count * 60_000) / (performance.now() - this.#startMs));
  }
}
