import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { compactOfTarget } from '../../src/bitcoin/target.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import { readStatus } from '../../src/daemon/status-client.ts';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import { demoAsics, type Stage, startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { makerJobKey } from '../../src/maker/maker-store.ts';
import { requestAction } from '../../src/operator/daemon-action.ts';
import { seededRandom } from '../seed.ts';
import { evidenceOf, until } from './evidence.ts';
import { payOf } from './recompute.ts';

/** In each both daemons are killed so often, each at moments of its own, and then a state must come. */
const ROUNDS = 5;
const KILLS_OF_A_ROUND = 2;
const PRICE = 2n * 10n ** 18n;
const directory = mkdtempSync(join(tmpdir(), 'sharestream-crash-test-'));
const cleanups: (() => Promise<unknown>)[] = [
  () => Promise.resolve(rmSync(directory, { recursive: true })),
];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

async function startAll(): Promise<{ stage: Stage; proxy: DaemonProcess; maker: DaemonProcess }> {
  const stage = await startStage(
    {
      directory,
      stratum: { host: '127.0.0.1', port: 0 },
      bits: compactOfTarget((1n << 256n) / 2n ** 20n),
      blockIntervalMs: 3_000,
      shareDifficulty: 2 ** -16,
      stepHashes: 2n ** 18n,
      workTotalHashes: 2n ** 18n * 100_000n,
      priceMsatPerEh: PRICE,
    },
    { clock: systemClock, random: systemRandom, log: silentLogger },
  );
  cleanups.push(() => stage.close());
  const daemon = (role: 'proxy' | 'maker') => {
    const { configFile } = stage[role];
    const child = new DaemonProcess(
      { role, configFile, logFile: join(directory, `${role}.log`) },
      { timers: systemTimers },
    );
    cleanups.push(() => child.kill());
    return child;
  };
  const maker = daemon('maker');
  await maker.start();
  const proxy = daemon('proxy');
  await proxy.start();
  return { stage, proxy, maker };
}

const random = seededRandom();

/** How long a daemon lives, and how long it is away then, in ms, for each kill. */
const drawKills = (): { livesMs: number; awayMs: number }[] =>
  Array.from({ length: KILLS_OF_A_ROUND }, () => ({
    ...{ livesMs: 50 + random.below(1_450), awayMs: random.below(300) },
  }));

async function strike(victim: DaemonProcess, kills: ReturnType<typeof drawKills>): Promise<void> {
  for (const { livesMs, awayMs } of kills) {
    await sleep(livesMs);
    await victim.kill();
    await sleep(awayMs);
    await victim.start();
  }
}

describe('kill -9', () => {
  it('of proxy and maker at random moments loses no acknowledged share, credits none twice, and the stream goes on', async () => {
    const { stage, proxy, maker } = await startAll();
    const stateNumber = async (): Promise<number> => {
      const status = await readStatus(stage.proxy.metricsUrl);
      return status?.contract?.live === true ? status.contract.channel.state_number : -1;
    };
    const above = (n: number) => async () => ((await stateNumber()) > n ? await stateNumber() : undefined);
    await until('opening the channel', above(-1));
    const fleet = await startAsics(demoAsics(stage.stratum), { trackAccepted: true });
    cleanups.push(() => fleet.stop());
    let n = await until('the first states', above(1));
    for (let round = 1; round <= ROUNDS; round += 1) {
      await Promise.all([proxy, maker].map((victim) => strike(victim, drawKills())));
      n = await until(`a state after round ${round} of kills`, above(n));
    }
    n = await until('states after the last kill', above(n + 1));
    await fleet.stop();
    const acknowledged = fleet.acceptedHashes();
    await requestAction(stage.proxy.metricsUrl, stage.proxy.dataDir, 'channel/close');
    const closed = await until('the close', async () => {
      const status = await readStatus(stage.proxy.metricsUrl);
      const contract = status?.contract ?? undefined;
      return contract !== undefined && contract.channel.close_confirmations > 0 ? contract : undefined;
    });
    expect(await proxy.stop()).toBe(0);
    expect(await maker.stop()).toBe(0);

    const streams = await evidenceOf(stage.proxy.dataDir);
    const hashes = [...streams.values()].flatMap((stream) => stream.hashes);
    const credited = new Set(hashes);
    expect(credited.size).toBe(hashes.length);
    expect(acknowledged.length).toBeGreaterThan(0);
    expect(acknowledged.filter((hash) => !credited.has(hash))).toEqual([]);

    const own = streams.get(closed.id)!;
    const bought = (await evidenceOf(stage.maker.dataDir, { jobKey: makerJobKey })).get(closed.id)!;
    expect(new Set(bought.hashes).size).toBe(bought.shares);
    expect(bought.hashes.filter((hash) => !credited.has(hash))).toEqual([]);
    const signedWork = BigInt(closed.channel.signed_work_hashes);
    expect(signedWork).toBe(bought.workHashes);
    expect(signedWork).toBeLessThanOrEqual(own.workHashes);
    expect(BigInt(closed.channel.paid_sat)).toBe(payOf(signedWork, PRICE));
    expect(closed.channel.state_number).toBeGreaterThanOrEqual(n);
  });
});
