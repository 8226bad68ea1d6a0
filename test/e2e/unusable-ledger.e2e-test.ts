import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readStatus } from '../../src/daemon/status-client.ts';
import { expectClosedBy, expectTakenBackBy, ladderOf, paidLife } from './close-by-file.ts';
import type { CrashLife } from './crash-life.ts';
import { until } from './evidence.ts';

const directory = mkdtempSync(join(tmpdir(), 'sharestream-unusable-'));
const cleanups: (() => Promise<unknown>)[] = [
  () => Promise.resolve(rmSync(directory, { recursive: true, force: true })),
];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

/** A life with a paid state, whose daemons are killed then. */
async function killed(name: string): Promise<{ life: CrashLife; contract: string; ledger: string }> {
  const { life, contract } = await paidLife(join(directory, name), (step) => cleanups.push(step));
  await life.kill('proxy');
  await life.kill('maker');
  return { life, contract, ledger: join(life.stage.proxy.dataDir, 'ledger.sqlite') };
}

/** The proxy serves miners, sells nothing, says why, and closes by the ladder file in time, to the sat. */
async function expectCloseOnly(life: CrashLife, contract: string, code: string): Promise<void> {
  const { proxy } = life.stage;
  const before = ladderOf(life, contract);
  const accepted = await life.acceptedCount();
  await until('miners are served', async () => (await life.acceptedCount()) > accepted || undefined);
  const status = (await readStatus(proxy.metricsUrl))!;
  expect(status.contracts).toEqual([]);
  expect(status.closing_only.reason?.code).toBe(code);
  expect(status.closing_only.channels).toMatchObject([{ contract, n: before.n, state: 'waiting' }]);
  expect((await fetch(`${proxy.metricsUrl}/readyz`)).ok).toBe(false);
  const metrics = await (await fetch(`${proxy.metricsUrl}/metrics`)).text();
  expect(metrics).toContain('sharestream_close_only 1');
  expect(metrics).toContain('sharestream_close_only_ladders 1');
  await expectClosedBy(life, before);
}

/** A maker with a torn ledger serves nobody, says why, and takes the channel back in time, to the sat. */
async function expectTakenBack(life: CrashLife, contract: string): Promise<void> {
  const { maker } = life.stage;
  const ledger = join(maker.dataDir, 'ledger.sqlite');
  for (const file of [`${ledger}-wal`, `${ledger}-shm`]) rmSync(file, { force: true });
  truncateSync(ledger, 12_288);
  expect(await life.begin('maker')).toMatchObject({ peer: null });
  const status = await until('the files are read', async () => {
    const answer = await readStatus(maker.metricsUrl);
    return answer?.closing_only.channels.length === 1 ? answer : undefined;
  });
  expect(status).toMatchObject({
    contracts: [],
    closing_only: { reason: { code: 'ledger_corrupt' }, channels: [{ contract, state: 'waiting' }] },
  });
  expect((await fetch(`${maker.metricsUrl}/readyz`)).ok).toBe(false);
  const metrics = await (await fetch(`${maker.metricsUrl}/metrics`)).text();
  expect(metrics).toContain('sharestream_close_only 1');
  await expectTakenBackBy(life, ladderOf(life, contract, 'maker'));
  await life.kill('maker');
}

describe('a daemon that starts with a ledger it cannot use', () => {
  it.each([
    ['garbage', 'ledger_schema', (path: string) => writeFileSync(path, 'x'.repeat(20_000))],
    ['torn', 'ledger_corrupt', (path: string) => truncateSync(path, 12_288)],
  ])('%s: closes from the ladder file and serves its miners', async (name, code, spoil) => {
    const { life, contract, ledger } = await killed(name);
    // What the last life did not bring into the file is lost with it.
    for (const file of [`${ledger}-wal`, `${ledger}-shm`]) rmSync(file, { force: true });
    spoil(ledger);
    expect(await life.begin('proxy')).toMatchObject({ contract: null });
    await expectCloseOnly(life, contract, code);
    await life.kill('proxy');
  });

  it('on a full disk: the same', async ({ skip }) => {
    const hasTool = spawnSync('prlimit', ['--version']).error === undefined;
    skip(!hasTool, 'prlimit is not installed (apt-get install util-linux)');
    const { life, contract } = await killed('full');
    const proxy = life.another('proxy', join(directory, 'full.log'));
    // The limit of this process is that of its child.
    const setLimit = (bytes: string): unknown =>
      execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:unlimited`]);
    setLimit('8192');
    const started = proxy.start();
    setLimit('unlimited');
    expect(await started).toMatchObject({ contract: null });
    await expectCloseOnly(life, contract, 'ledger_io');
    await proxy.kill();
  });

  it('that another one has open: it ends, and says so; a maker takes its channel back by its file', async () => {
    const { life, contract } = await killed('locked');
    await life.begin('proxy');
    const second = life.another('proxy', join(directory, 'second.log'));
    await expect(second.start()).rejects.toThrow('ledger_locked');
    expect(await second.exited).not.toBe(0);
    await life.kill('proxy');
    // The life goes on without it, and its maker has a ledger that it cannot use.
    await expectTakenBack(life, contract);
  });
});
