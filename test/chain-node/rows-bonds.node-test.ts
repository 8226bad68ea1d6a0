import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import type { BondCoin } from '../../src/channel/bonds.ts';
import {
  buildBondReturn,
  buildBondSpend,
  signAndFinalizeBondReturn,
  signBondSpend,
} from '../../src/channel/bonds.ts';
import { finalizeClose, signClose } from '../../src/channel/close.ts';
import { signAndFinalizeRefund } from '../../src/channel/refund.ts';
import { derSignature, twoKeysWitness } from '../../src/channel/scripts.ts';
import { signAndFinalizeSealRefund } from '../../src/channel/seal.ts';
import type { BondTerms } from '../../src/contract/bond-terms.ts';
import { sealExpiryHeight } from '../../src/contract/bond-terms.ts';
import { EH } from '../channel/fixtures.ts';
import { feeSat } from './accounts.ts';
import { Bank } from './bank.ts';
import type { TestNode } from './node.ts';
import { BOND_CSV_BLOCKS, COLLATERAL_SAT, MAKER_BOND_SAT, RATE, StakedChannel } from './staked-channel.ts';
import { NODE_KIND, startNode } from './suite.ts';

let node: TestNode;
let bank: Bank;
let channel: StakedChannel;

beforeAll(async () => {
  node = await startNode();
  bank = new Bank(node);
});
afterEach(() => channel?.close());
afterAll(() => node?.close());

const amounts = { makerBondSat: MAKER_BOND_SAT, collateralSat: COLLATERAL_SAT };

async function open(bondMode: BondTerms['bondMode']): Promise<void> {
  channel = await StakedChannel.open(node, bank, (auditorKeyHex) => ({
    bonds:
      bondMode === 'auditor'
        ? { bondMode, ...amounts, bondCsvBlocks: BOND_CSV_BLOCKS, auditorKeyHex }
        : { bondMode, ...amounts },
  }));
}

/** The half of 1000 EH at 485.06 sat, and what of both bonds it released. */
const HALF = 500n * EH;
const PAID_SAT = 242_530n;
const FREED = { collateralSat: 30_000n, makerBondSat: 20_000n };
const HELD = {
  collateralSat: COLLATERAL_SAT - FREED.collateralSat,
  makerBondSat: MAKER_BOND_SAT - FREED.makerBondSat,
};
const STATE_FEE_SAT = feeSat(265n, 5_000);
const BY_TWO_FEE_SAT = feeSat(157n, RATE);
const BY_OWNER_FEE_SAT = feeSat(139n, RATE);
/** What both have at once when the miner closes with the state at half. */
const MINER_AT_ONCE_SAT = 6_000n + PAID_SAT + FREED.collateralSat - STATE_FEE_SAT;
const MAKER_AT_ONCE_SAT = 1_000n + 485_060n - PAID_SAT + FREED.makerBondSat;

async function closeAtHalf(): Promise<{ minerBond: BondCoin; makerBond: BondCoin }> {
  const { bonds, feeSat: paidSat } = await channel.closeAlone(channel.state(2, HALF));
  expect(paidSat).toBe(STATE_FEE_SAT);
  expect(await channel.balances()).toEqual({ minerSat: MINER_AT_ONCE_SAT, makerSat: MAKER_AT_ONCE_SAT });
  const [minerBond, makerBond] = bonds;
  expect(minerBond).toMatchObject({ owner: 'miner', valueSat: HELD.collateralSat });
  expect(makerBond).toMatchObject({ owner: 'maker', valueSat: HELD.makerBondSat });
  return { minerBond: minerBond!, makerBond: makerBond! };
}

/** A transaction that is locked is not in the next block: bitcoind refuses it, btcd holds it back. */
async function expectLocked(hex: string, spends: { txid: string; vout: number }): Promise<void> {
  await channel.verdict(hex);
  await node.generate(1);
  expect(await channel.isUnspent(spends.txid, spends.vout)).toBe(true);
}

describe(`rows on ${NODE_KIND}, bond mode auditor`, () => {
  it('the miner stops and closes; the auditor rules for the maker', async () => {
    await open('auditor');
    const { minerBond, makerBond } = await closeAtHalf();
    await channel.send(channel.award(minerBond, 'maker', ['maker', 'auditor']));
    await channel.send(channel.award(makerBond, 'maker', ['maker', 'auditor']));
    await node.generate(1);
    expect(await channel.balances()).toEqual({
      minerSat: MINER_AT_ONCE_SAT,
      makerSat: MAKER_AT_ONCE_SAT + HELD.collateralSat + HELD.makerBondSat - 2n * BY_TWO_FEE_SAT,
    });
  });

  it('the maker stops signing; the auditor rules for the miner', async () => {
    await open('auditor');
    const { minerBond, makerBond } = await closeAtHalf();
    await channel.send(channel.award(minerBond, 'miner', ['miner', 'auditor']));
    await channel.send(channel.award(makerBond, 'miner', ['miner', 'auditor']));
    await node.generate(1);
    expect(await channel.balances()).toEqual({
      minerSat: MINER_AT_ONCE_SAT + HELD.collateralSat + HELD.makerBondSat - 2n * BY_TWO_FEE_SAT,
      makerSat: MAKER_AT_ONCE_SAT,
    });
  });

  it('the auditor is offline: each has its own bond after 2016 blocks, not one before', async () => {
    await open('auditor');
    const bonds = Object.values(await closeAtHalf());
    const returns = bonds.map((coin) =>
      signAndFinalizeBondReturn(channel.params, coin, RATE, channel.signers[coin.owner]),
    );
    // The block of the close counts as the first of the 2016.
    await node.generate(BOND_CSV_BLOCKS - 2);
    for (const { hex } of returns) expect(await channel.verdict(hex)).toBe('tx_refused');
    await node.generate(1);
    for (const { hex, feeSat: paidSat } of returns) {
      expect(paidSat).toBe(BY_OWNER_FEE_SAT);
      expect(await channel.verdict(hex)).toBe('taken');
    }
    await node.generate(1);
    expect(await channel.balances()).toEqual({
      minerSat: MINER_AT_ONCE_SAT + HELD.collateralSat - BY_OWNER_FEE_SAT,
      makerSat: MAKER_AT_ONCE_SAT + HELD.makerBondSat - BY_OWNER_FEE_SAT,
    });
  });

  it('the auditor colludes: it takes a bond with one side, alone it takes nothing, pay it never takes', async () => {
    await open('auditor');
    const { minerBond } = await closeAtHalf();
    const spend = { coin: minerBond, payee: 'maker', feeRateSatPerKvb: RATE } as const;
    const own = signBondSpend(channel.params, spend, 'auditor', channel.signers.auditor);
    const alone = buildBondSpend(channel.params, spend);
    const signature = derSignature(fromHex(own, 64));
    alone.setWitness(0, twoKeysWitness([signature, signature], minerBond.script));
    expect(await channel.verdict(alone.toHex())).toBe('tx_refused');
    await channel.send(channel.award(minerBond, 'maker', ['maker', 'auditor']));
    await node.generate(1);
    expect((await channel.balances()).minerSat).toBe(MINER_AT_ONCE_SAT);
  });

  it('the miner broadcasts an old state: it has less at once, and more of it is at stake', async () => {
    await open('auditor');
    const old = channel.state(1, 100n * EH);
    channel.state(2, HALF);
    const { bonds } = await channel.closeAlone(old);
    const oldPaidSat = 48_506n;
    expect(await channel.balances()).toEqual({
      minerSat: 6_000n + oldPaidSat + 6_000n - STATE_FEE_SAT,
      makerSat: 1_000n + 485_060n - oldPaidSat + 4_000n,
    });
    expect(bonds.map(({ valueSat }) => valueSat)).toEqual([54_000n, 36_000n]);
  });

  it('the miner vanishes: the maker has the whole channel at the expiry, not one block before', async () => {
    await open('auditor');
    channel.state(2, HALF);
    const { hex, feeSat: paidSat } = signAndFinalizeRefund(channel.params, RATE, channel.signers.maker);
    await node.generate(channel.params.terms.expiryHeight - 1 - (await node.height()));
    await expectLocked(hex, channel.params.funding);
    expect(await node.height()).toBe(channel.params.terms.expiryHeight);
    await channel.send(hex);
    await node.generate(1);
    expect(await channel.balances()).toEqual({ minerSat: 0n, makerSat: channel.capacitySat - paidSat });
  });

  it('the contract is fulfilled: nothing is at stake, the last state has two outputs', async () => {
    await open('auditor');
    const { bonds, feeSat: paidSat } = await channel.closeAlone(channel.state(2, 1000n * EH));
    expect(bonds).toEqual([]);
    expect(await channel.balances()).toEqual({
      minerSat: 6_000n + 485_060n + COLLATERAL_SAT - paidSat,
      makerSat: 1_000n + MAKER_BOND_SAT,
    });
  });

  it('both agree: the close gives the bonds back, at once', async () => {
    await open('auditor');
    const last = channel.state(2, HALF);
    const { params, signers } = channel;
    const fee = feeSat(179n, RATE);
    const signatures = {
      miner: signClose(params, last, fee, 'miner', signers.miner, 'returned'),
      maker: signClose(params, last, fee, 'maker', signers.maker, 'returned'),
    };
    await channel.send(finalizeClose(params, last, fee, signatures, 'returned').hex);
    await node.generate(1);
    expect(await channel.balances()).toEqual({
      minerSat: 6_000n + PAID_SAT + COLLATERAL_SAT - fee,
      makerSat: 1_000n + 485_060n - PAID_SAT + MAKER_BOND_SAT,
    });
  });
});

describe(`rows on ${NODE_KIND}, the other bond modes`, () => {
  it('hostage: no side has a bond without the other, and there is no time after which it has', async () => {
    await open('hostage');
    const { minerBond, makerBond } = await closeAtHalf();
    expect(() => buildBondReturn(channel.params, minerBond, RATE)).toThrow('bad_terms');
    await node.generate(BOND_CSV_BLOCKS);
    expect(await channel.isUnspent(minerBond.txid, minerBond.vout)).toBe(true);
    await channel.send(channel.award(minerBond, 'miner', ['miner', 'maker']));
    await channel.send(channel.award(makerBond, 'maker', ['miner', 'maker']));
    await node.generate(1);
    const fee = feeSat(138n, RATE);
    expect(await channel.balances()).toEqual({
      minerSat: MINER_AT_ONCE_SAT + HELD.collateralSat - fee,
      makerSat: MAKER_AT_ONCE_SAT + HELD.makerBondSat - fee,
    });
  });

  it('forfeit_to_mm: closing early gives each the bond of the other at once', async () => {
    await open('forfeit_to_mm');
    const { bonds, feeSat: paidSat } = await channel.closeAlone(channel.state(2, HALF));
    expect(bonds).toEqual([]);
    expect(await channel.balances()).toEqual({
      minerSat: 6_000n + PAID_SAT + FREED.collateralSat + HELD.makerBondSat - paidSat,
      makerSat: 1_000n + 485_060n - PAID_SAT + FREED.makerBondSat + HELD.collateralSat,
    });
  });
});

describe(`rows on ${NODE_KIND}, the seal`, () => {
  const SEAL_SAT = 2_000n;
  const CLAIM_FEE_SAT = feeSat(195n, RATE);

  async function openSealed(): Promise<{ txid: string; vout: number; nextScript: Uint8Array }> {
    channel = await StakedChannel.open(node, bank, () => ({
      seal: { sealSat: SEAL_SAT, claimFeeRateSatPerKvb: RATE },
    }));
    const { seal, funding } = channel.params;
    return { txid: funding.txid, nextScript: seal!.nextScript, vout: seal!.vout };
  }

  it('double sale: before T_seal the miner cannot spend it, and after the claim there is none', async () => {
    const seal = await openSealed();
    // Below the rate of the claim, which then replaces it where a node holds it back.
    const refund = signAndFinalizeSealRefund(channel.params, 1_200, channel.signers.miner);
    await node.generate(sealExpiryHeight(channel.params.terms) - 1 - (await node.height()));
    await expectLocked(refund.hex, seal);
    const claim = channel.claimTransaction(channel.claim(2, HALF));
    await channel.send(claim.toHex());
    await node.generate(1);
    expect(await channel.balanceSat(seal.nextScript)).toBe(claim.outs[1]!.value);
    expect(SEAL_SAT - claim.outs[1]!.value).toBe(CLAIM_FEE_SAT);
    expect(await channel.verdict(refund.hex)).toBe('tx_refused');
    expect(await channel.balanceSat(channel.params.minerPayoutScript)).toBe(0n);
  });

  it('re-sale by an old state: the claim of all the work does not depend on it', async () => {
    const seal = await openSealed();
    const old = channel.state(1, 100n * EH);
    channel.state(2, HALF);
    const newest = channel.claim(2, HALF);
    await channel.closeAlone(old);
    const claim = channel.claimTransaction(newest);
    await channel.send(claim.toHex());
    await node.generate(1);
    expect(await channel.balances()).toMatchObject({ makerSat: 1_000n + 485_060n - 48_506n });
    expect(await channel.balanceSat(seal.nextScript)).toBe(SEAL_SAT - CLAIM_FEE_SAT);
    expect(claim.outs[0]!.value).toBe(0n);
    expect([...claim.outs[0]!.script.subarray(0, 6)]).toEqual([0x6a, 0x24, ...Buffer.from('shsl')]);
  });

  it('the maker never claims: the miner has the seal back at T_seal', async () => {
    const seal = await openSealed();
    const { hex, feeSat: paidSat } = signAndFinalizeSealRefund(channel.params, RATE, channel.signers.miner);
    await node.generate(sealExpiryHeight(channel.params.terms) - (await node.height()));
    await channel.send(hex);
    await node.generate(1);
    expect(await channel.isUnspent(seal.txid, seal.vout)).toBe(false);
    expect((await channel.balances()).minerSat).toBe(SEAL_SAT - paidSat);
  });
});
