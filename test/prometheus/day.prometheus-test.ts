import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readQuery } from '../ops/promql.ts';
import { boardQueries } from './boards.ts';
import { playDay } from './day.ts';
import { Prometheus } from './prometheus.ts';
import { alertsOf, type ScaledNumber, scaledRules } from './scaled-rules.ts';
import { type Script, tableOf } from './scenes.ts';

/** A second of the day is a minute of the rules. */
const FACTOR = 60;
const RULES = readFileSync(
  new URL('../../config/prometheus/rules/sharestream.yml', import.meta.url),
  'utf8',
);

/** What fires by what the machine is like that the test runs on, whatever the script does. */
const OF_THE_MACHINE = new Set(['EventLoopSaturated', 'LedgerCommitSlow', 'DiskLow']);

/** Times of the script rather than of the rules. */
const SCALED: readonly ScaledNumber[] = [
  { alert: 'JobStale', from: '> 120', to: '> 12' },
  // A slow machine takes half a minute for three starts.
  { alert: 'DaemonRestarting', from: '[30s]', to: '[60s]' },
];

/** What fires by how fast the day passes, beside where the script means it. */
const OF_THE_SPEED = new Set([
  // Its clock runs twenty times as fast, so that a job is soon old by it.
  'JobStale promised',
  // Blocks come two hundred times as often as in life, and some shares are late for each.
  ...['UpstreamDisagrees proxy', 'UpstreamDisagrees maker', 'RejectRatioHigh proxy'],
  // A maker that signs two seconds late, on a machine with much to do, is two minutes late by the rules.
  'UnsignedExposureHigh proxy',
]);

/** Held by promtool alone, and why the day cannot bring them about. */
const NOT_LIVE: Readonly<Record<string, string>> = {
  BeadsLost: 'a node that steals is played by test/e2e/bead-theft',
  ChannelBroken: 'no side of ours signs two contents; test/e2e/hostile has one that does',
  DeliveryShort:
    'silence is in cure at once, and a shortfall that is slow enough to be in doubt first outlasts the day',
  DiskFilling: 'the forecast is made of ten minutes at least',
  DiskLow: 'needs a disk with less than 256 MiB; test:small-disk has one',
  EventLoopSaturated: 'needs a machine of one instance alone',
  LadderExpiryNear: 'the watch has closed the channel by then, and each node of the day takes the close',
  LeavingPays: 'the value of hashes is that of a whole buried day of the chain',
  LedgerCommitSlow: 'needs a disk that is slow to sync',
  LuckUnlikely: 'odds of one in ten thousand take tens of expected blocks',
  MetricsFailing: 'is a fault of the program',
  SealingFails: 'rows are sealed an hour after they were written',
};

/** Expressions of boards that had no data, and why the day cannot give them any. */
const EMPTY: Readonly<Record<string, string>> = {
  'chain, Disk full in A': 'the forecast is made of ten minutes at least',
  'contracts, Jobs refused A': 'no maker of the day breaks the terms; test/e2e/hostile has one',
  'maker, Refused requests A': 'no miner of the day asks for what is refused; test/e2e/hostile has some',
  'miners, Hashrate, by destination B': 'no proxy of the day splits its hashrate',
};

/** Series that the day has not, for the same reasons. */
const MISSING = new Set([
  'sharestream_braidpool_shares_total',
  'sharestream_disk_full_seconds',
  'sharestream_upstream_wanted_hashes_per_second',
  'sharestream_work_jobs_refused_total',
]);

describe('a day before a real Prometheus', () => {
  const directory = mkdtempSync(join(tmpdir(), 'prometheus-'));
  const cleanups: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
  afterAll(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });
  const undo = (step: () => Promise<unknown>): void => void cleanups.push(step);
  let prometheus: Prometheus;
  let script: Script;
  let fromMs = 0;
  let toMs = 0;

  beforeAll(async () => {
    const rules = scaledRules(RULES, FACTOR, SCALED);
    prometheus = await Prometheus.start({ directory: join(directory, 'prometheus'), rules }, undo);
    fromMs = Date.now();
    script = await playDay({ directory, prometheus, undo });
    toMs = Date.now();
    process.stdout.write(`\n${tableOf(script.rows)}\n\nIn ${Math.round((toMs - fromMs) / 1000)} s.\n`);
  });

  it('has each alert fire, or says why the day cannot have it so', () => {
    const scripted = new Set(['Watchdog', ...script.rows.map(({ alert }) => alert)]);
    expect([...scripted, ...Object.keys(NOT_LIVE)].toSorted()).toEqual(alertsOf(RULES).toSorted());
  });

  it('has no alert fire when nobody meant it', async () => {
    expect(
      await script.unmeant(fromMs, toMs, new Set(['Watchdog', ...OF_THE_MACHINE, ...OF_THE_SPEED])),
    ).toEqual([]);
  });

  it('has every series that rules and boards name', async () => {
    const names = await prometheus.names();
    const rules = [...RULES.matchAll(/expr: (?:\|-\n)?([\s\S]*?)\n\s+for:/g)].map(([, expr]) => expr!);
    const boards = boardQueries(prometheus.targets).map(({ expr }) => expr);
    const asked = new Set([...rules, ...boards].flatMap((expr) => readQuery(expr).selectors));
    const missing = new Set([...asked].map(({ metric }) => metric).filter((metric) => !names.has(metric)));
    expect(missing).toEqual(MISSING);
  });

  it('has data in every panel of every board, and in its marks', async () => {
    const empty: string[] = [];
    for (const { name, expr } of boardQueries(prometheus.targets)) {
      const series = await prometheus.queryRange(expr, fromMs, toMs);
      if (series.length === 0) empty.push(name);
    }
    expect(empty).toEqual(Object.keys(EMPTY));
  });
});
