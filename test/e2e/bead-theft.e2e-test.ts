import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { compactOfTarget } from '../../src/bitcoin/target.ts';
import { mostBeadParts } from '../../src/contract/bead-odds.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import { fetchStatus, readStatus } from '../../src/daemon/status-client.ts';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import type { BraidpoolProfileName } from '../../src/devnet/braidpool/braidpool-profile.ts';
import {
  DEVNET_PRICE_MSAT_PER_EH,
  DEVNET_SHARE_DIFFICULTY,
  DEVNET_STEP_HASHES,
} from '../../src/devnet/devnet.ts';
import { demoAsics, type Stage, startStage } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { BEAD_DOUBT } from '../../src/maker/bead-credit.ts';
import type { BeadStatus } from '../../src/maker/job-binding.ts';
import { until as untilSeen } from './evidence.ts';

/** A bead, which is a block, each 2^19 hashes, and eight shares in one. */
const BITS = compactOfTarget((1n << 256n) / 2n ** 19n);

const root = mkdtempSync(join(tmpdir(), 'bead-theft-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const until = <T>(what: string, look: () => Promise<T | undefined>): Promise<T> =>
  untilSeen(what, look, 90_000);

type MakerRow = {
  readonly beads: BeadStatus;
  readonly verified_work_hashes: string;
  readonly refused: Readonly<Record<string, number>>;
};

async function contractOf({ maker }: Stage): Promise<MakerRow | undefined> {
  const status = await fetchStatus(maker.metricsUrl).catch(() => undefined);
  return (status as { contracts?: MakerRow[] } | undefined)?.contracts?.[0];
}

/** Two daemons, a chain, a Braidpool node and miners; `play` has them while the contract runs. */
async function playStage(
  nodeProfile: BraidpoolProfileName,
  play: (stage: Stage) => Promise<void>,
): Promise<{ readonly makerLog: string }> {
  const directory = mkdtempSync(join(root, `${nodeProfile}-`));
  const stage = await startStage(
    {
      ...{ directory, nodeProfile, bits: BITS, blockIntervalMs: 3_000 },
      stratum: { host: '127.0.0.1', port: 0 },
      ...{ shareDifficulty: DEVNET_SHARE_DIFFICULTY / 2, stepHashes: DEVNET_STEP_HASHES },
      ...{ workTotalHashes: DEVNET_STEP_HASHES * 400n, priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH },
    },
    { clock: systemClock, random: systemRandom, log: silentLogger },
  );
  const logOf = (role: string): string => join(directory, `${role}.log`);
  const daemons = (['maker', 'proxy'] as const).map((role) => {
    const words = { role, configFile: stage[role].configFile, logFile: logOf(role) };
    return new DaemonProcess(words, { timers: systemTimers });
  });
  try {
    for (const daemon of daemons) await daemon.start();
    await until('the channel is open', async () => {
      return (await readStatus(stage.proxy.metricsUrl))?.contract?.live === true ? true : undefined;
    });
    const fleet = await startAsics(demoAsics(stage.stratum));
    try {
      await play(stage);
    } finally {
      await fleet.stop();
    }
  } finally {
    for (const daemon of daemons.reverse()) await daemon.stop();
    await stage.close();
  }
  return { makerLog: readFileSync(logOf('maker'), 'utf8') };
}

/** What is credited is worth no more beads than the rule allows for those that pay. */
function expectBounded({ beads }: MakerRow): void {
  const counted = beads.paid + Math.min(beads.open, BEAD_DOUBT.doubtBeads);
  // One share more than that: the rule looks before it credits.
  expect(beads.worth).toBeLessThanOrEqual(Number(mostBeadParts(counted, 1000)) / 1e18 + 0.2);
}

describe.concurrent.each(['asIs', 'of2025'] as const)('beads of a node as %s', (profile) => {
  it('that pay the maker are bought, and no share is refused for them', async () => {
    const { makerLog } = await playStage(profile, async (stage) => {
      const row = await until('four beads pay the maker', async () => {
        const found = await contractOf(stage);
        return found !== undefined && found.beads.paid >= 4 ? found : undefined;
      });
      expect(row.beads.stolen).toBeUndefined();
      expectBounded(row);
      expect(row.refused).not.toHaveProperty('share_beads');
      expect(row.refused).not.toHaveProperty('share_unbound');
      const paid = stage.node.beads().filter(({ payoutAddress }) => payoutAddress.startsWith('bcrt1'));
      expect(new Set(paid.map(({ payoutAddress }) => payoutAddress)).size).toBe(1);
    });
    expect(makerLog).not.toContain('bead_wrong_payout');
  });

  it.each([0.1, 0.5, 1])(
    'F5: of which %d pay another end the contract at the first of them',
    async (part) => {
      const { makerLog } = await playStage(profile, async (stage) => {
        stage.node.theft = { part, payoutAddress: 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080.rig' };
        const row = await until('the maker sees a stolen bead', async () => {
          const found = await contractOf(stage);
          return found?.beads.stolen === undefined ? undefined : found;
        });
        expectBounded(row);
        const before = row.verified_work_hashes;
        // The node stops stealing: that mends nothing.
        stage.node.theft = undefined;
        const after = await until('work is refused for it, and goes to the own pool', async () => {
          const found = await contractOf(stage);
          const proxy = await readStatus(stage.proxy.metricsUrl);
          const isMoved = proxy?.contract?.live === false;
          return isMoved && (found?.refused['share_unbound'] ?? 0) > 0 ? found : undefined;
        });
        // What was in the batch that brought the bead, and no more.
        const more = BigInt(after!.verified_work_hashes) - BigInt(before);
        expect(more).toBeLessThan(2n * 2n ** 20n);
        expectBounded(after!);
      });
      expect(makerLog).toContain('a bead of a share that was sold pays another: no more is credited');
    },
  );
});

describe.concurrent('beads of a node as spec, whose jobs commit to their payee', () => {
  const THIEF = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080.rig';

  it('F5: a redirected job is neither mined nor paid, and the next good one is', async () => {
    const { makerLog } = await playStage('spec', async (stage) => {
      const workOf = async (): Promise<bigint> =>
        BigInt((await contractOf(stage))?.verified_work_hashes ?? 0);
      await until('work is credited', async () => ((await workOf()) > 0n ? true : undefined));
      stage.node.theft = { part: 1, payoutAddress: THIEF };
      stage.node.announce();
      const ownShares = await until('the proxy sees it', async () => {
        const status = await readStatus(stage.proxy.metricsUrl);
        return status?.contract?.unpaid_job?.includes('pay another') ? stage.pool.stats.shares : undefined;
      });
      await until('the hashrate is at the own pool', async () =>
        stage.pool.stats.shares > ownShares + 4 ? true : undefined,
      );
      const before = await workOf();
      stage.node.theft = undefined;
      stage.node.announce();
      await until('work is credited again', async () => ((await workOf()) > before ? true : undefined));
      expect((await contractOf(stage))?.refused).not.toHaveProperty('share_unbound');
      expect(stage.node.beads().filter(({ payoutAddress }) => payoutAddress === THIEF)).toEqual([]);
    });
    expect(makerLog).not.toContain('a job is not paid');
  });
});
