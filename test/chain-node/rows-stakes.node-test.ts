import { describe, expect } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { capacitySat } from '../../src/channel/amounts.ts';
import { signAndFinalizeRefund } from '../../src/channel/refund.ts';
import { sealCommitment, signAndFinalizeSealRefund } from '../../src/channel/seal.ts';
import { sealExpiryHeight } from '../../src/contract/bond-terms.ts';
import type { LedgerEntry } from '../../src/ledger/ledger.ts';
import { loadSeal } from '../../src/maker/maker-seal.ts';
import { ESTIMATE, expectBalances, expectRefund, feeSat, paySat, SPLIT_VBYTES } from './accounts.ts';
import { row } from './rows.ts';
import { setStage } from './stage.ts';
import {
  award,
  BONDED_FEE_SAT,
  BY_OWNER_FEE_SAT,
  BY_TWO_FEE_SAT,
  bondedTerms,
  CLAIM_FEE_SAT,
  COLLATERAL_SAT,
  CSV_BLOCKS,
  confirmState,
  MAKER_BOND_SAT,
  SEAL_SAT,
  SEALED_TERMS,
  sealSpend,
} from './stakes.ts';
import { NODE_KIND } from './suite.ts';
import { MINER_RESERVE_SAT, type NodeWorld } from './world.ts';

const stage = setStage();
/** Of the bonds at half of the work. */
const C_U = COLLATERAL_SAT / 2n;
const D_U = MAKER_BOND_SAT / 2n;
const writes =
  (status: string) =>
  (entries: readonly LedgerEntry[]): boolean =>
    entries.some(
      (entry) => entry.type !== 'log' && entry.kind === 'channel' && entry.body.includes(status),
    );

/** Half of the work is paid; the state that says so is the newest. */
async function half(options: Parameters<typeof stage.open>[0] = {}): Promise<NodeWorld> {
  const world = await stage.open({ ...options, terms: { ...bondedTerms(), ...options.terms } });
  await world.stream(5);
  return world;
}

describe(`rows on ${NODE_KIND}, bond mode auditor`, () => {
  row('Miner stops, then closes', 'the auditor rules for the maker: both bonds', async () => {
    const world = await half();
    await world.miner!.closeAlone();
    const { atOnce, minerBond, makerBond } = await confirmState(world, await world.lastState());
    await award(world, minerBond, 'maker', ['maker', 'auditor']);
    await award(world, makerBond, 'maker', ['maker', 'auditor']);
    await world.mine(6);
    await world.untilClosed();
    const makerSat = atOnce.makerSat + C_U + D_U - 2n * BY_TWO_FEE_SAT;
    const rest = { stakeFeesSat: 2n * BY_TWO_FEE_SAT };
    await expectBalances(world, { ...atOnce, makerSat }, BONDED_FEE_SAT, rest);
  });

  row('Miner stops and vanishes', 'the maker has the collateral too', async () => {
    const world = await half();
    await world.stopMiner();
    await world.mineTo(world.terms.expiryHeight);
    await world.until('refund broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    await world.mine(6);
    await world.untilClosed();
    await expectRefund(world);
  });

  row('MM stops signing / refuses', 'the auditor rules for the miner: both bonds', async () => {
    const world = await half();
    world.makerParty.ledger.holds = (entries) =>
      entries.some((entry) => entry.type !== 'log' && entry.kind === 'state');
    await world.deliver(12);
    await world.until('the miner leaves', () => world.miner!.status.live === false);
    await world.miner!.closeAlone();
    const { atOnce, minerBond, makerBond } = await confirmState(world, await world.lastState());
    world.makerParty.ledger.release();
    await award(world, minerBond, 'miner', ['miner', 'auditor']);
    await award(world, makerBond, 'miner', ['miner', 'auditor']);
    await world.mine(6);
    await world.untilClosed();
    const minerSat = atOnce.minerSat + C_U + D_U - 2n * BY_TWO_FEE_SAT;
    const rest = { stakeFeesSat: 2n * BY_TWO_FEE_SAT };
    await expectBalances(world, { ...atOnce, minerSat }, BONDED_FEE_SAT, rest);
  });

  row('MM offline', 'the auditor rules for the miner: both bonds', async () => {
    const world = await half();
    await world.stopMaker();
    await world.miner!.closeAlone();
    const { atOnce, minerBond, makerBond } = await confirmState(world, await world.lastState());
    await award(world, minerBond, 'miner', ['miner', 'auditor']);
    await award(world, makerBond, 'miner', ['miner', 'auditor']);
    await world.mine(6);
    await world.untilClosed();
    const minerSat = atOnce.minerSat + C_U + D_U - 2n * BY_TWO_FEE_SAT;
    const rest = { stakeFeesSat: 2n * BY_TWO_FEE_SAT };
    await expectBalances(world, { ...atOnce, minerSat }, BONDED_FEE_SAT, rest);
  });

  row(
    'P broadcasts old state',
    'more of its collateral is at stake, and the auditor takes it',
    async () => {
      const world = await stage.open({ terms: bondedTerms() });
      await world.stream(1);
      const old = await world.lastState();
      await world.stream(5);
      await world.minerParty.source.broadcast((await world.stateTransaction(old, 1)).toHex());
      const { atOnce, minerBond, makerBond } = await confirmState(world, old);
      expect(minerBond.valueSat).toBe(54_000n);
      await award(world, minerBond, 'maker', ['maker', 'auditor']);
      await award(world, makerBond, 'maker', ['maker', 'auditor']);
      await world.mine(6);
      await world.untilClosed();
      const makerSat = atOnce.makerSat + 54_000n + 36_000n - 2n * BY_TWO_FEE_SAT;
      const rest = { stakeFeesSat: 2n * BY_TWO_FEE_SAT };
      await expectBalances(world, { ...atOnce, makerSat }, BONDED_FEE_SAT, rest);
    },
  );

  row('Auditor rules', 'for each side its own bond', async () => {
    const world = await half();
    await world.miner!.closeAlone();
    const { atOnce, minerBond, makerBond } = await confirmState(world, await world.lastState());
    await award(world, minerBond, 'miner', ['miner', 'auditor']);
    await award(world, makerBond, 'maker', ['maker', 'auditor']);
    await world.mine(6);
    await world.untilClosed();
    const paid = {
      minerSat: atOnce.minerSat + C_U - BY_TWO_FEE_SAT,
      makerSat: atOnce.makerSat + D_U - BY_TWO_FEE_SAT,
    };
    await expectBalances(world, paid, BONDED_FEE_SAT, { stakeFeesSat: 2n * BY_TWO_FEE_SAT });
  });

  row('Auditor offline', 'each has its own bond after 2016 blocks, not one before', async () => {
    const world = await half();
    await world.miner!.closeAlone();
    const { atOnce, minerBond, makerBond } = await confirmState(world, await world.lastState());
    await world.mine(CSV_BLOCKS - 2);
    await world.untilClosed();
    expect(await world.node.mempool()).toEqual([]);
    await world.mine(1);
    await world.until('both bonds move', async () => {
      const spent = [minerBond, makerBond].map(({ txid, vout }) => world.node.spender(txid, vout));
      return (await Promise.all(spent)).every((txid) => txid !== undefined);
    });
    await world.mine(1);
    const paid = {
      minerSat: atOnce.minerSat + C_U - BY_OWNER_FEE_SAT,
      makerSat: atOnce.makerSat + D_U - BY_OWNER_FEE_SAT,
    };
    await expectBalances(world, paid, BONDED_FEE_SAT, { stakeFeesSat: 2n * BY_OWNER_FEE_SAT });
  });

  row('Auditor colludes', 'with the maker: what did not vest is lost, what was paid is not', async () => {
    const world = await half();
    await world.miner!.closeAlone();
    const { atOnce, minerBond } = await confirmState(world, await world.lastState());
    await award(world, minerBond, 'maker', ['maker', 'auditor']);
    await world.mine(6);
    await world.untilClosed();
    const makerSat = atOnce.makerSat + C_U - BY_TWO_FEE_SAT;
    const rest = { stakeFeesSat: BY_TWO_FEE_SAT, lockedSat: D_U };
    await expectBalances(world, { ...atOnce, makerSat }, BONDED_FEE_SAT, rest);
    expect(atOnce.minerSat).toBe(MINER_RESERVE_SAT + paySat(world, 20) + C_U - BONDED_FEE_SAT);
  });

  row('Both close together', 'early, each with its own bond', async () => {
    const world = await half({ earlyClose: 'returned' });
    const closed = world.miner!.close();
    await world.until('close broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    await world.mine(6);
    await closed;
    await world.untilClosed();
    const fee = feeSat(SPLIT_VBYTES, ESTIMATE);
    const paidSat = paySat(world, 20);
    const { reserveSat, budgetSat } = world.terms;
    const paid = {
      minerSat: MINER_RESERVE_SAT + paidSat + COLLATERAL_SAT - fee,
      makerSat: reserveSat + budgetSat - paidSat + MAKER_BOND_SAT,
    };
    await expectBalances(world, paid, fee);
  });

  row('MM refuses coop close at the end', 'all bonds vested: nothing to dispute', async () => {
    const world = await stage.open({ terms: bondedTerms() });
    world.makerParty.ledger.holds = writes('"closing"');
    await world.stream(10);
    await world.until('asked', () => world.miner!.status.lastError === 'peer_timeout');
    await world.node.generate(36);
    await world.until('state broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    world.makerParty.ledger.release();
    await world.mine(6);
    await world.untilClosed();
    const fee = feeSat(SPLIT_VBYTES, 5_000);
    const paidSat = paySat(world, 40);
    const minerSat = MINER_RESERVE_SAT + paidSat + COLLATERAL_SAT - fee;
    await expectBalances(world, { minerSat, makerSat: capacitySat(world.terms) - minerSat - fee }, fee);
  });
});

describe(`rows on ${NODE_KIND}, the other bond modes`, () => {
  row('Other bond modes', 'hostage: both bonds are locked until both sign', async () => {
    const world = await half({ terms: bondedTerms('hostage') });
    await world.miner!.closeAlone();
    const { params } = await world.channel();
    await world.until('state broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    const close = (await world.spenderOfChannel())!;
    // Each asks the other for its own bond, in vain, until nobody is there.
    await world.stopMaker();
    await world.mine(CSV_BLOCKS + 10);
    await world.untilClosed();
    const fee = capacitySat(params.terms) - close.outs.reduce((sum, { value }) => sum + value, 0n);
    const [minerSat, makerSat] = close.outs.map(({ value }) => value);
    expect(minerSat).toBe(MINER_RESERVE_SAT + paySat(world, 20) + C_U - fee);
    await expectBalances(world, { minerSat: minerSat!, makerSat: makerSat! }, fee, {
      lockedSat: C_U + D_U,
    });
  });

  row('Other bond modes', 'hostage: each signs that the other has its own', async () => {
    const world = await half({
      terms: bondedTerms('hostage'),
      returnsBonds: true,
      miner: { returnsBonds: true },
    });
    await world.miner!.closeAlone();
    await world.until('state broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    const close = (await world.spenderOfChannel())!;
    await world.node.generate(7);
    await world.until('both bonds move', async () => {
      const spent = [2, 3].map((vout) => world.node.spender(close.getId(), vout));
      return (await Promise.all(spent)).every((txid) => txid !== undefined);
    });
    await world.node.generate(1);
    const fee = capacitySat(world.terms) - close.outs.reduce((sum, { value }) => sum + value, 0n);
    const [minerSat, makerSat] = close.outs.map(({ value }) => value);
    const bondFee = feeSat(138n, ESTIMATE);
    const paid = { minerSat: minerSat! + C_U - bondFee, makerSat: makerSat! + D_U - bondFee };
    await expectBalances(world, paid, fee, { stakeFeesSat: 2n * bondFee });
  });

  row('Other bond modes', 'forfeit_to_mm: each has the bond of the other at once', async () => {
    const world = await half({ terms: bondedTerms('forfeit_to_mm') });
    await world.miner!.closeAlone();
    await world.until('state broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    await world.mine(6);
    await world.untilClosed();
    const fee = feeSat(SPLIT_VBYTES, 5_000);
    const paidSat = paySat(world, 20);
    const minerSat = MINER_RESERVE_SAT + paidSat + C_U + D_U - fee;
    await expectBalances(world, { minerSat, makerSat: capacitySat(world.terms) - minerSat - fee }, fee);
  });
});

/** What the maker has of the seal after its claim. */
const CLAIMED = { stakeFeesSat: CLAIM_FEE_SAT, sealSat: SEAL_SAT - CLAIM_FEE_SAT };

describe(`rows on ${NODE_KIND}, the seal`, () => {
  row(
    'Miner double-sells the seal',
    'it cannot before T_seal; the maker claims it with the close',
    async () => {
      const world = await stage.open({ terms: SEALED_TERMS });
      await world.stream(3);
      const { params, channelIndex } = await world.channel();
      const miner = world.minerParty.signer.forChannel(channelIndex);
      // Below the rate of the claim, which replaces it where a node takes it before its time.
      const early = signAndFinalizeSealRefund(params, 1_200, miner);
      await world.minerParty.source.broadcast(early.hex).catch(() => undefined);
      await world.mine(1);
      await world.miner!.closeAlone();
      await world.until('state broadcast', async () => (await world.spenderOfChannel()) !== undefined);
      await world.mine(6);
      await world.untilClosed();
      const { data } = await sealSpend(world);
      const { claim } = (await loadSeal(world.makerParty.ledger, world.contractId))!;
      expect(claim.n).toBe(3);
      expect(toHex(data)).toContain(toHex(sealCommitment(params, claim)));
      const fee = feeSat(SPLIT_VBYTES, 5_000);
      const minerSat = MINER_RESERVE_SAT + paySat(world, 12) - fee;
      const makerSat = capacitySat(world.terms) - minerSat - fee;
      await expectBalances(world, { minerSat, makerSat }, fee, CLAIMED);
    },
  );

  row(
    'Miner re-sells by publishing old S_j',
    'the claim of all the work does not depend on it',
    async () => {
      const world = await stage.open({ terms: SEALED_TERMS });
      await world.stream(1);
      const old = await world.lastState();
      await world.stream(3);
      await world.minerParty.source.broadcast((await world.stateTransaction(old, 1)).toHex());
      await world.mine(7);
      await world.untilClosed();
      const { params } = await world.channel();
      const { claim } = (await loadSeal(world.makerParty.ledger, world.contractId))!;
      expect(claim.n).toBe(3);
      expect(toHex((await sealSpend(world)).data)).toContain(toHex(sealCommitment(params, claim)));
      const fee = feeSat(SPLIT_VBYTES, 5_000);
      const minerSat = MINER_RESERVE_SAT + paySat(world, 4) - fee;
      const makerSat = capacitySat(world.terms) - minerSat - fee;
      await expectBalances(world, { minerSat, makerSat }, fee, CLAIMED);
    },
  );

  row('Miner stops and vanishes', 'the maker has the channel and the seal', async () => {
    const world = await stage.open({ terms: SEALED_TERMS });
    await world.stream(2);
    await world.stopMiner();
    await world.mineTo(world.terms.expiryHeight);
    await world.until('refund broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    await world.mine(6);
    await world.untilClosed();
    const { params } = await world.channel();
    const { feeSat: fee } = signAndFinalizeRefund(
      params,
      ESTIMATE,
      world.makerParty.signer.forChannel((await world.channel()).channelIndex),
    );
    await expectBalances(world, { minerSat: 0n, makerSat: capacitySat(world.terms) - fee }, fee, CLAIMED);
  });

  row('MM offline', 'it never claims the seal: the miner has it back at T_seal', async () => {
    const world = await stage.open({ terms: SEALED_TERMS });
    await world.stream(2);
    await world.stopMaker();
    await world.miner!.closeAlone();
    await world.until('state broadcast', async () => (await world.spenderOfChannel()) !== undefined);
    const { params } = await world.channel();
    await world.mineTo(sealExpiryHeight(params.terms) - 1);
    const { txid } = params.funding;
    expect(await world.node.spender(txid, params.seal!.vout)).toBeUndefined();
    await world.mine(1);
    await world.until('the seal moves', async () => {
      return (await world.node.spender(txid, params.seal!.vout)) !== undefined;
    });
    await world.mine(1);
    const fee = feeSat(SPLIT_VBYTES, 5_000);
    const sealFee = feeSat(130n, ESTIMATE);
    const minerSat = MINER_RESERVE_SAT + paySat(world, 8) - fee;
    const makerSat = capacitySat(world.terms) - minerSat - fee;
    const paid = { minerSat: minerSat + SEAL_SAT - sealFee, makerSat };
    await expectBalances(world, paid, fee, { stakeFeesSat: sealFee });
  });
});
