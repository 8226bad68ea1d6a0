import { describe, expect, it } from 'vitest';
import '../seed.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { owedSat } from '../../src/base/units.ts';
import { signAndFinalizeRefund } from '../../src/channel/refund.ts';
import { type Accounting, accountingOf } from '../../src/contract/accounting.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { MinerContract } from '../../src/miner/miner-contract.ts';
import { snapshotOf } from '../../src/operator/channel-report.ts';
import { loadContract } from '../../src/settlement/records.ts';
import { random } from '../peer/tls-pair.ts';
import { seededRandom } from '../seed.ts';
import { closedTogether } from './courses.ts';
import { SHARE, until, World } from './world.ts';

/** The accounts of a contract, each side's by what it has on its disk. */
function accountsOf(world: World, contractId: string): { miner: Accounting; maker: Accounting } {
  const { priceMsatPerEh, budgetSat } = world.terms;
  const row = world.maker.status.find((each) => each.contractId === contractId)!;
  const of = (workHashes: bigint, paidSat: bigint): Accounting =>
    accountingOf({
      ...{ owedSat: owedSat(workHashes, priceMsatPerEh), depositedSat: budgetSat },
      ...{ paidSat, refundedSat: 0n },
    });
  const { ownWorkHashes, signed } = world.miner.status;
  return {
    miner: of(ownWorkHashes, signed?.paidSat ?? 0n),
    maker: of(row.verifiedWorkHashes, row.paidSat),
  };
}

/** Until so much work is judged, and whole steps of it are signed and acked. */
async function settled(world: World, workHashes: bigint): Promise<void> {
  await until('judged, signed and acked', () => {
    const row = world.maker.status[0]!;
    return (
      row.verifiedWorkHashes === workHashes &&
      row.unsignedWorkHashes < world.terms.stepHashes &&
      row.ackedN === row.n &&
      world.miner.status.signed?.n === row.n
    );
  });
}

describe('the deposit of a contract, over its whole life', () => {
  const draw = seededRandom();
  const lives = Array.from({ length: 4 }, () => ({
    shares: 1 + draw.below(30),
    restarts: draw.once(2),
  }));

  it.each(lives)(
    'gives back what is refundable, lowers no pay, and nothing before the end without the miner: %o (I35)',
    async ({ shares, restarts }) => {
      const world = new World();
      await world.open();
      await world.work(shares);
      await settled(world, BigInt(shares) * SHARE.workHashes);
      const before = accountsOf(world, world.contractId);
      expect(before.miner).toEqual(before.maker);
      expect(before.maker.uncoveredSat).toBe(0n);
      const paidBefore = world.maker.status[0]!.paidSat;

      // The maker alone: its refund is good for no block before the expiry.
      const stored = (await loadContract(world.makerStore, world.contractId))!;
      const signer = world.makerSigner.forChannel(stored.contract.channelIndex);
      const refund = signAndFinalizeRefund(snapshotOf(stored).params!, 2_000, signer);
      expect(() => world.chain.broadcast(refund.hex)).toThrow(/final/);

      if (restarts) {
        await world.restartMaker();
        await world.restartMiner();
        await until('live again', () => world.miner.status.live);
        expect(accountsOf(world, world.contractId)).toEqual(before);
      }
      const closing = world.miner.close();
      const { minerSat, makerSat, feeSat } = await closedTogether(world);
      await closing;
      // What was earned and not yet in a state is paid by the close; the rest, and no more, goes back.
      const { budgetSat, reserveSat, minerReserveSat, priceMsatPerEh } = world.terms;
      const earnedSat = owedSat(BigInt(shares) * SHARE.workHashes, priceMsatPerEh);
      expect(earnedSat).toBeGreaterThanOrEqual(paidBefore);
      expect(minerSat).toBe(earnedSat + minerReserveSat - feeSat);
      expect(makerSat - reserveSat).toBe(before.maker.refundableSat);
      expect(makerSat - reserveSat).toBe(budgetSat - earnedSat);
      await world.stop();
    },
  );

  it('is topped up by a second on the same terms: less is uncovered, neither debt nor pay moves (I33)', async () => {
    // Twelve shares are all that the first can pay.
    const workTotalHashes = 12n * SHARE.workHashes;
    const priceMsatPerEh = 500_000n * 10n ** 18n;
    const budgetSat = owedSat(workTotalHashes, priceMsatPerEh);
    const world = new World({
      terms: { workTotalHashes, budgetSat, priceMsatPerEh },
      policy: { maxPriceMsatPerEh: priceMsatPerEh },
    });
    await world.open();
    await world.work(9);
    await settled(world, 9n * SHARE.workHashes);
    const before = accountsOf(world, world.contractId);
    /** What the seller means to deliver in all is worth, against what is locked up for it. */
    const wanted = (deposits: readonly bigint[]): Accounting => {
      const rows = world.maker.status;
      return accountingOf({
        owedSat: owedSat(20n * SHARE.workHashes, world.terms.priceMsatPerEh),
        depositedSat: deposits.reduce((sum, each) => sum + each, 0n),
        paidSat: rows.reduce((sum, { paidSat }) => sum + paidSat, 0n),
        refundedSat: 0n,
      });
    };
    const short = wanted([budgetSat]);
    expect(short.uncoveredSat).toBe(owedSat(8n * SHARE.workHashes, world.terms.priceMsatPerEh));

    const terms = { ...world.terms, nonceHex: 'ff'.repeat(16) };
    const second = contractIdOf(terms);
    const startSecond = async (): Promise<MinerContract> => {
      const side = new MinerContract(
        {
          ...{ terms, host: '127.0.0.1', port: world.port, batchIntervalMs: 0 },
          ...{ reconnectMinMs: 10, reconnectMaxMs: 50 },
          margins: { askBlocks: 288, broadcastBlocks: 144, urgentBlocks: 36, finalDepth: 2 },
        },
        {
          ...{ timers: systemTimers, clock: systemClock, random, log: silentLogger },
          ...{ ledger: world.minerLedger, blobFiles: world.minerBlobs },
          ...{ chain: world.source, signer: world.minerSigner },
        },
      );
      await side.start();
      return side;
    };
    let next = await startSecond();
    await until('its funding', () => world.chain.mempoolEntries().length > 0);
    world.chain.generate(world.terms.minDepth);
    await until('its deposit', () => next.status.live);
    // The debt and the pay of the first are what they were, on both sides.
    expect(accountsOf(world, world.contractId)).toEqual(before);
    const covered = wanted([budgetSat, budgetSat]);
    const topUp = budgetSat < short.uncoveredSat ? budgetSat : short.uncoveredSat;
    expect(covered).toMatchObject({ uncoveredSat: short.uncoveredSat - topUp, debtSat: short.debtSat });

    // And over a start of both.
    await world.restartMaker();
    void next.stop();
    await world.restartMiner();
    next = await startSecond();
    await until('both live again', () => next.status.live && world.miner.status.live);
    expect(accountsOf(world, world.contractId)).toEqual(before);
    expect(wanted([budgetSat, budgetSat])).toEqual(covered);

    // The first is used up to its last hash, the rest goes to the second: all of it is paid.
    await world.work(3);
    await until('all of the first', () => world.miner.status.signed?.workHashes === workTotalHashes);
    const rest = world.find(world.job({ stream: second }), 8);
    await world.meters.commit(world.minerLedger, rest);
    next.onDurable(second, world.meters.total(second), 0n);
    await until('the rest', () => next.status.signed?.workHashes === 8n * SHARE.workHashes);
    expect(world.miner.status.signed!.paidSat + next.status.signed!.paidSat).toBe(
      owedSat(20n * SHARE.workHashes, world.terms.priceMsatPerEh),
    );
    await next.stop();
    await world.stop();
  });
});
