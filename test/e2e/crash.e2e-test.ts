import { randomBytes, randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { compactOfTarget } from '../../src/bitcoin/target.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import { act, readStatus } from '../../src/daemon/status-client.ts';
import { startAsics } from '../../src/devnet/asic.ts';
import { demoAsics, type Stage, startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { makerJobKey } from '../../src/maker/maker-book.ts';
import { evidenceOf, until } from './evidence.ts';
import { payOf } from './recompute.ts';

const KILLS = 10;
const PRICE = 2n * 10n ** 18n;
const directory = mkdtempSync(join(tmpdir(), 'sharestream-crash-test-'));
const cleanups: (() => Promise<unknown>)[] = [
  () => Promise.resolve(rmSync(directory, { recursive: true })),
];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

async function startAll(): Promise<{ stage: Stage; proxy: DaemonProcess; maker: DaemonProcess }> {
  const random = { bytes: (size: number) => new Uint8Array(randomBytes(size)) };
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
    { clock: systemClock, random, log: silentLogger },
  );
  cleanups.push(() => stage.close());
  const daemon = (role: 'proxy' | 'maker') => {
    const { configFile } = stage[role];
    const child = new DaemonProcess({ role, configFile, logFile: join(directory, `${role}.log`) });
    cleanups.push(() => child.kill());
    return child;
  };
  const maker = daemon('maker');
  await maker.start();
  const proxy = daemon('proxy');
  await proxy.start();
  return { stage, proxy, maker };
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
    for (let kill = 0; kill < 2 * KILLS; kill += 1) {
      const victim = kill % 2 === 0 ? proxy : maker;
      await sleep(randomInt(50, 1_500));
      await victim.kill();
      await sleep(randomInt(0, 300));
      await victim.start();
      if (kill % 5 === 4) n = await until(`a state after kill ${kill + 1}`, above(n));
    }
    n = await until('states after the last kill', above(n + 1));
    await fleet.stop();
    const acknowledged = fleet.acceptedHashes();
    await act(stage.proxy.metricsUrl, stage.proxy.dataDir, 'channel/close');
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
  }, 240_000);
});
