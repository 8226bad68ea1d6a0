import { spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemRandom } from '../../src/base/random.ts';
import { freePorts } from '../../src/devnet/net/free-ports.ts';
import { until } from '../e2e/evidence.ts';

/** The name of the job that all instances have. */
export const JOB = 'sharestream';
/** Between two scrapes, and two evaluations of the rules. */
export const SCRAPE_SECONDS = 1;

/** A daemon that is scraped: its name is its `instance`. */
export type Target = { readonly instance: string; readonly role: string; readonly url: string };

/** A series of an answer, with its samples: seconds since the epoch, and the value. */
export type Series = {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [seconds: number, value: string])[];
};

type Answer<T> = { readonly status: string; readonly data: T; readonly error?: string };
type Result = { readonly result: readonly (Series & { readonly value?: Series['values'][number] })[] };

/** A Prometheus of this machine as a process, with rules of ours and targets that come and go. */
export class Prometheus {
  readonly #url: string;
  readonly #targetsFile: string;
  readonly #targets = new Map<string, Target>();
  readonly #gone = new Set<string>();

  private constructor(url: string, targetsFile: string) {
    this.#url = url;
    this.#targetsFile = targetsFile;
  }

  /** Resolves when it answers; it has no target yet. */
  static async start(
    { directory, rules }: { readonly directory: string; readonly rules: string },
    undo: (step: () => Promise<unknown>) => void,
  ): Promise<Prometheus> {
    mkdirSync(directory, { recursive: true });
    const file = (name: string): string => join(directory, name);
    const [port] = await freePorts(1, systemRandom);
    writeFileSync(file('rules.yml'), rules);
    writeFileSync(file('targets.json'), '[]');
    writeFileSync(file('prometheus.yml'), configuration());
    const log = openSync(file('log'), 'a');
    const listen = `127.0.0.1:${port}`;
    const words = [
      `--config.file=${file('prometheus.yml')}`,
      `--storage.tsdb.path=${file('data')}`,
      `--web.listen-address=${listen}`,
      '--log.level=warn',
    ];
    const child = spawn('prometheus', words, { stdio: ['ignore', log, log] });
    let failure: Error | undefined;
    child.once('error', (error) => {
      failure = error;
    });
    const ended = new Promise((resolve) => {
      child.once('exit', resolve);
    });
    undo(async () => {
      child.kill('SIGTERM');
      if (failure === undefined) await ended;
    });
    const made = new Prometheus(`http://${listen}`, file('targets.json'));
    made.#write();
    await until('Prometheus', async () => {
      if (failure !== undefined || child.exitCode !== null)
        throw new Error(
          `prometheus did not start: ${failure?.message ?? readFileSync(file('log'), 'utf8')}`,
        );
      const answer = await fetch(`${made.#url}/-/ready`).catch(() => undefined);
      return answer?.ok === true ? true : undefined;
    });
    return made;
  }

  /** From now on they are scraped. */
  add(...targets: readonly Target[]): void {
    for (const target of targets) this.#targets.set(target.instance, target);
    this.#write();
  }

  /** Resolves when it is scraped no more: what it had ends with it. */
  async remove({ instance }: Target): Promise<void> {
    this.#gone.add(instance);
    this.#write();
    await until(`the end of ${instance} at Prometheus`, async () =>
      (await this.query(`up{instance="${instance}"}`)).length === 0 ? true : undefined,
    );
  }

  /** All there were. */
  get targets(): readonly Target[] {
    return [...this.#targets.values()];
  }

  /** The labels of what an expression has now. */
  async query(expr: string): Promise<readonly Readonly<Record<string, string>>[]> {
    const { result } = await this.#ask<Result>('query', { query: expr });
    return result.map(({ metric }) => metric);
  }

  /** What an expression had from one moment to another, ms since the epoch, at each scrape. */
  async queryRange(expr: string, fromMs: number, toMs: number): Promise<readonly Series[]> {
    const range = { start: String(fromMs / 1000), end: String(toMs / 1000), step: String(SCRAPE_SECONDS) };
    return (await this.#ask<Result>('query_range', { query: expr, ...range })).result;
  }

  /** The names of all series there were. */
  async names(): Promise<ReadonlySet<string>> {
    return new Set(await this.#ask<readonly string[]>('label/__name__/values', {}));
  }

  async #ask<T>(path: string, words: Readonly<Record<string, string>>): Promise<T> {
    const response = await fetch(`${this.#url}/api/v1/${path}?${new URLSearchParams(words)}`);
    const { status, data, error } = (await response.json()) as Answer<T>;
    if (status !== 'success') throw new Error(`${path}: ${error} in ${words['query']}`);
    return data;
  }

  /** At once for who reads it: a part of the list would be another list. */
  #write(): void {
    const present = this.targets.filter(({ instance }) => !this.#gone.has(instance));
    const groups = present.map(({ instance, role, url }) => ({
      targets: [new URL(url).host],
      labels: { instance, role },
    }));
    writeFileSync(`${this.#targetsFile}.new`, JSON.stringify(groups));
    renameSync(`${this.#targetsFile}.new`, this.#targetsFile);
  }
}

function configuration(): string {
  const every = `${SCRAPE_SECONDS}s`;
  return `global:
  scrape_interval: ${every}
  scrape_timeout: ${every}
  evaluation_interval: ${every}
rule_files: [rules.yml]
scrape_configs:
  - job_name: ${JOB}
    file_sd_configs:
      - files: [targets.json]
        refresh_interval: ${every}
`;
}
