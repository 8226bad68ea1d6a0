import * as childProcess from 'node:child_process';
import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import type { PostgresOptions } from '../../../src/ledger/postgres/address.ts';
import { verifyPostgresFleet } from '../../../src/ledger/postgres/verify-fleet.ts';
import { until } from './postgres-server.ts';
import { postgresStand } from './stand.ts';

const OWNER = new URL('./fixtures/owner.ts', import.meta.url).pathname;
const LEASE_MS = 1_500;
const stand = postgresStand();

/** One line of an instance: what, under which token, of which state. */
type Line = { readonly what: string; readonly token: number; readonly n: number; readonly text: string };

class OwnerProcess {
  readonly lines: Line[] = [];
  readonly options: PostgresOptions;
  readonly #child: childProcess.ChildProcess;
  #rest = '';

  constructor(options: PostgresOptions, resource: string) {
    this.options = options;
    const words = [OWNER, JSON.stringify({ options, resource, leaseMs: LEASE_MS })];
    this.#child = childProcess.spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = `${this.#rest}${chunk}`.split('\n');
      this.#rest = lines.pop()!;
      for (const text of lines) {
        const [what = '', token, n] = text.split(' ');
        this.lines.push({ what, token: Number(token), n: Number(n), text });
      }
    });
  }

  /** It says so, behind so many lines. */
  async says(what: string, from = 0): Promise<void> {
    await until(() => Promise.resolve(this.lines.slice(from).some((line) => line.what === what)));
  }

  /** By its own words it acts for the channel. */
  get isActing(): boolean {
    return this.lines.findLast(({ what }) => what === 'own' || what === 'stop')?.what === 'own';
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async end(signal?: NodeJS.Signals): Promise<void> {
    const ended = once(this.#child, 'close');
    this.#child.stdin!.end();
    if (signal !== undefined) this.#child.kill(signal);
    if (this.#child.exitCode === null && this.#child.signalCode === null) await ended;
  }
}

const started: OwnerProcess[] = [];
afterEach(async () => {
  for (const each of started.splice(0)) await each.end('SIGKILL').catch(() => {});
});

async function start(resource: string, count: number): Promise<OwnerProcess[]> {
  const all = Array.from({ length: count }, () => new OwnerProcess(stand.options(), resource));
  started.push(...all);
  await Promise.all(all.map((each) => each.says('ready')));
  return all;
}

/** Some owner's state is acknowledged that none was before. Returns who acts. */
async function goesOn(all: readonly OwnerProcess[]): Promise<OwnerProcess> {
  const newest = (): number =>
    Math.max(
      0,
      ...all
        .flatMap(({ lines }) => lines)
        .filter(({ what }) => what === 'ack')
        .map(({ n }) => n),
    );
  const before = newest();
  await until(() => Promise.resolve(newest() > before + 2 && all.some((each) => each.isActing)));
  return all.find((each) => each.isActing)!;
}

/**
 * Each state was acknowledged once, by one owner; each owner began behind all that was acknowledged before;
 * and the chains tell the same.
 */
async function expectOneOwner(all: readonly OwnerProcess[]): Promise<void> {
  const lines = all.flatMap((each) => each.lines);
  expect(lines.filter(({ what }) => what === 'error')).toEqual([]);
  const acks = lines
    .filter(({ what }) => what === 'ack')
    .toSorted((a, b) => a.token - b.token || a.n - b.n);
  expect(new Set(acks.map(({ n }) => n)).size).toBe(acks.length);
  expect(acks.map(({ n }) => n)).toEqual(acks.map(({ n }) => n).toSorted((a, b) => a - b));
  for (const { token, n } of lines.filter(({ what }) => what === 'own'))
    for (const ack of acks) expect(ack.token < token ? ack.n <= n : ack.n > 0).toBe(true);
  const { chains, problem } = await verifyPostgresFleet(all[0]!.options);
  expect([problem, chains.every(({ verification }) => verification.ok)]).toEqual([undefined, true]);
}

it('an owner that slept beyond its lease signs nothing when it wakes up, and another has gone on', async () => {
  const all = await start('channel/slept', 2);
  for (let round = 0; round < 3; round += 1) {
    const owner = await goesOn(all);
    const other = all.find((each) => each !== owner)!;
    owner.signal('SIGSTOP');
    const from = other.lines.length;
    await until(() => Promise.resolve(other.isActing));
    await other.says('ack', from);
    const slept = owner.lines.length;
    owner.signal('SIGCONT');
    await until(() => Promise.resolve(!owner.isActing));
    // What was on its way when it fell asleep may still be told: it is on the ledger, or was refused.
    const woken = owner.lines.slice(slept);
    const stop = woken.findIndex(({ what }) => what === 'stop');
    expect(woken.slice(0, stop).filter(({ what }) => what === 'sign' || what === 'own')).toEqual([]);
  }
  for (const each of all) await each.end();
  await expectOneOwner(all);
});

it('one that dies is followed by another, and one that leaves at once', async () => {
  const all = await start('channel/dies', 3);
  const first = await goesOn(all);
  await first.end('SIGKILL');
  const left = all.filter((each) => each !== first);
  const second = await goesOn(left);
  await second.end();
  const third = left.find((each) => each !== second)!;
  await goesOn([third]);
  await third.end();
  await expectOneOwner(all);
});

it('two go on, one at a time, when the primary dies and its standby takes its place', async () => {
  const all = await start('channel/failover', 2);
  await goesOn(all);
  await stand.primary.kill();
  await stand.failOver();
  await stand.addStandby();
  await goesOn(all);
  const owner = await goesOn(all);
  await owner.end();
  await goesOn(all.filter((each) => each !== owner));
  for (const each of all) await each.end();
  await expectOneOwner(all);
});
