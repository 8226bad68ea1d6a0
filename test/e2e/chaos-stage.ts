import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { compactOfTarget } from '../../src/bitcoin/target.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import type { AsicSpec } from '../../src/devnet/asic/asic-spec.ts';
import { type DevnetPool, startDevnetPool } from '../../src/devnet/pool/pool.ts';
import { type Stage, startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { farmOf } from '../devnet/asic-farm.ts';

/** What the blocks of the second pool pay. */
export const SPARE_SCRIPT_HEX = `0014${'5a'.repeat(20)}`;

const MINERS = 500;
/** Of shares for the contract, and of the pools at the start. */
const SHARE_DIFFICULTY = 2 ** -20;
const START_DIFFICULTY = 2 ** -20;
const SHARES_PER_MINUTE = 12;
const STEP_HASHES = 2n ** 18n;
const BLOCK_HASHES = 2n ** 21n;

/** How much faster than the mean a miner is, by its place in the list. */
const SPEEDS = [0.25, 0.5, 1, 1.5, 1.75] as const;

export type ChaosStage = Stage & {
  readonly spare: DevnetPool;
  readonly daemons: { readonly proxy: DaemonProcess; readonly maker: DaemonProcess };
};

/**
 * A Braidpool node for the contract and two pools that share what is not sold; quick to come back to, so
 * that sessions move all the time.
 */
export async function startChaosStage(
  directory: string,
  undo: (step: () => Promise<unknown>) => void,
): Promise<ChaosStage> {
  const deps = { clock: systemClock, random: systemRandom, log: silentLogger };
  const stage = await startStage(
    {
      directory,
      stratum: { host: '127.0.0.1', port: 0 },
      bits: compactOfTarget((1n << 256n) / BLOCK_HASHES),
      blockIntervalMs: 6_000,
      shareDifficulty: SHARE_DIFFICULTY,
      stepHashes: STEP_HASHES,
      workTotalHashes: STEP_HASHES * 100_000n,
      priceMsatPerEh: 2n * 10n ** 18n,
    },
    deps,
  );
  undo(() => stage.close());
  const spare = await startDevnetPool(
    {
      name: 'spare-pool',
      difficulty: SHARE_DIFFICULTY,
      poolScriptHex: SPARE_SCRIPT_HEX,
      trackAccepted: true,
    },
    { ...deps, chain: stage.chain },
  );
  undo(() => spare.close());
  writeConfig(stage.proxy.configFile, spare);
  const daemon = (role: 'proxy' | 'maker'): DaemonProcess => {
    const { configFile } = stage[role];
    const child = new DaemonProcess(
      { role, configFile, logFile: join(directory, `${role}.log`) },
      { timers: systemTimers },
    );
    undo(() => child.kill());
    return child;
  };
  return { ...stage, spare, daemons: { maker: daemon('maker'), proxy: daemon('proxy') } };
}

/** Miners of all behaviours at several speeds, so that each has a difficulty of its own. */
export function chaosFarm(stage: Stage, seed: number): AsicSpec[] {
  const farm = farmOf({
    ...stage.stratum,
    count: MINERS,
    seed,
    difficulty: START_DIFFICULTY,
    sharesPerMinute: SHARES_PER_MINUTE,
  });
  return farm.map((spec, index) => ({
    ...spec,
    hashesPerSecond: (spec.hashesPerSecond ?? 0) * SPEEDS[index % SPEEDS.length]!,
  }));
}

function writeConfig(file: string, spare: DevnetPool): void {
  const toml = readFileSync(file, 'utf8')
    .replace(
      /^difficulty = .*$/m,
      `difficulty = { mode = "vardiff", start = ${START_DIFFICULTY}, min = ${2 ** -28}, max = 1 }`,
    )
    .replace('name = "own-pool"', 'name = "own-pool"\nweight = 2')
    .replace('[contract]\n', `${spareToml(spare)}\n[contract]\n`);
  writeFileSync(file, toml);
}

function spareToml({ host, port }: DevnetPool): string {
  return `[[destination]]
name = "spare-pool"
url = "stratum+tcp://${host}:${port}"
worker = "spare.farm"
weight = 1

[failover]
return_after = "1s"

[split]
min_stay = "2s"
slice = "10s"
`;
}
