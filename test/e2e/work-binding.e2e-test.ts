import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import type { ProxyStatus } from '../../src/daemon/proxy-status.ts';
import { fetchStatus, readStatus, type Wired } from '../../src/daemon/status-client.ts';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import {
  DEVNET_BITS,
  DEVNET_PRICE_MSAT_PER_EH,
  DEVNET_SHARE_DIFFICULTY,
  DEVNET_STEP_HASHES,
} from '../../src/devnet/devnet.ts';
import { startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';

const directory = mkdtempSync(join(tmpdir(), 'work-binding-'));
const cleanups: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

/** Of the maker's pool: between the easiest and the hardest share of the contract. */
const POOL_DIFFICULTY = DEVNET_SHARE_DIFFICULTY * 2;

type Status = Wired<ProxyStatus>;
type MakerRow = { readonly verifiedWorkHashes: string; readonly refused: Readonly<Record<string, number>> };

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const endMs = systemClock.monotonicMs() + 90_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    expect(systemClock.monotonicMs(), what).toBeLessThan(endMs);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

it('work on jobs of the maker is paid, over restarts of either side and of its pool', async () => {
  const stage = await startStage(
    {
      ...{ directory, bits: DEVNET_BITS, blockIntervalMs: 5_000 },
      stratum: { host: '127.0.0.1', port: 0 },
      ...{ shareDifficulty: DEVNET_SHARE_DIFFICULTY, makerPoolDifficulty: POOL_DIFFICULTY },
      ...{ stepHashes: DEVNET_STEP_HASHES, workTotalHashes: DEVNET_STEP_HASHES * 4000n },
      priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH / 4n,
    },
    { clock: systemClock, random: systemRandom, log: silentLogger },
  );
  cleanups.push(() => stage.close());
  const pool = stage.makerPool!;
  const daemonOf = (role: 'proxy' | 'maker'): DaemonProcess => {
    const words = { role, configFile: stage[role].configFile, logFile: join(directory, `${role}.log`) };
    const daemon = new DaemonProcess(words, { timers: systemTimers });
    cleanups.push(() => daemon.stop());
    return daemon;
  };
  const [maker, proxy] = [daemonOf('maker'), daemonOf('proxy')];
  const seen = async (isSo: (status: Status) => boolean): Promise<Status | undefined> => {
    const status = await readStatus(stage.proxy.metricsUrl).catch(() => undefined);
    return status !== undefined && isSo(status) ? status : undefined;
  };
  const paid = ({ contract }: Status): number => contract?.channel.state_number ?? 0;
  const isSold = ({ contract, destination }: Status): boolean =>
    contract?.work?.up === true && destination.startsWith('maker-');
  const isFallback = ({ contract, destination }: Status): boolean =>
    contract?.work?.up === false && destination === 'own-pool';
  /** Some states more are paid for work on the maker's jobs. */
  const expectPaidOn = async (what: string): Promise<Status> => {
    const before = paid(await until(`sold ${what}`, () => seen(isSold)));
    return until(`paid ${what}`, () => seen((now) => isSold(now) && paid(now) >= before + 3));
  };
  const makerRow = async (): Promise<MakerRow> => {
    const status = await fetchStatus(stage.maker.metricsUrl);
    return (status as { contracts: MakerRow[] }).contracts[0]!;
  };

  await maker.start();
  await proxy.start();
  await until('the channel is open', () => seen(({ contract }) => contract?.live === true));
  const fleet = await startAsics([
    { ...stage.stratum, worker: 'farm.rig1', hashesPerSecond: 300_000 },
    { ...stage.stratum, worker: 'farm.rig2', hashesPerSecond: 200_000 },
    { ...stage.stratum, worker: 'farm.rig3', hashesPerSecond: 100_000, versionRolling: false },
  ]);

  const first = await expectPaidOn('at first');
  expect(first.contract!.work!.refused_jobs).toEqual({});
  expect(first.contract!.work!.solution_ms.p99).toBeGreaterThan(0);
  const blocks = pool.stats.blocks;
  await until('a block of the chain is found through a job of the maker', async () => {
    return pool.stats.blocks > blocks ? true : undefined;
  });

  await maker.kill();
  await until('the fallback has the hashrate while the maker is away', () => seen(isFallback));
  await maker.start();
  await expectPaidOn('after the maker was started again');

  await proxy.kill();
  await proxy.start();
  await expectPaidOn('after the proxy was started again');

  const restarted = pool.restart(8_000);
  const down = await until('the fallback has the hashrate while the pool of the maker is away', () =>
    seen(isFallback),
  );
  expect(down.contract!.work!.down_reason).toMatch(/^the market maker has no work: /);
  await restarted;
  await expectPaidOn("after the maker's pool was away");

  await fleet.stop();
  const row = await until('what was delivered is credited, but for races of blocks', async () => {
    const [found, status] = [await makerRow(), await seen(() => true)];
    const delivered = BigInt(status?.contract?.work_hashes ?? 0n);
    return BigInt(found.verifiedWorkHashes) * 100n >= delivered * 98n ? found : undefined;
  });
  const { share_stale: _stale = 0, stale_race: _race = 0, ...wrong } = row.refused;
  expect(wrong).toEqual({});
  expect(readFileSync(join(directory, 'proxy.log'), 'utf8')).toContain(
    'the market maker gives no work: the hashrate is at the fallback',
  );
}, 400_000);
