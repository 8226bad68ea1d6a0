import { Transaction } from 'bitcoinjs-lib';
import { expect } from 'vitest';
import { equal } from '../../src/base/bytes.ts';
import { owedSat } from '../../src/base/units.ts';
import { capacitySat } from '../../src/channel/amounts.ts';
import { SHARE } from '../maker/world.ts';
import { recordEnd } from './rows.ts';
import { MAKER_COIN_SAT, MINER_COIN_SAT, type NodeWorld } from './world.ts';

/** Virtual bytes of a spend of the channel to two P2WPKH outputs, and of the refund to one. */
export const SPLIT_VBYTES = 179n;
export const REFUND_VBYTES = 130n;

export function feeSat(vbytes: bigint, satPerKvb: number): bigint {
  return (vbytes * BigInt(satPerKvb) + 999n) / 1000n;
}

/** `a_n` of so many shares, from the contract's price alone. */
export function paySat(world: NodeWorld, shares: number): bigint {
  return owedSat(BigInt(shares) * SHARE.workHashes, world.terms.priceMsatPerEh);
}

/** What the parties' nodes estimate unless a row says otherwise. */
export const ESTIMATE = 2_000;
/** The fee of the rung above it. */
export const RUNG_FEE_SAT = feeSat(SPLIT_VBYTES, 5_000);

export type Balances = { readonly minerSat: bigint; readonly makerSat: bigint };

/** Who should have what of the channel when it was split after these shares, before the fee. */
export function splitOf(world: NodeWorld, shares: number): Balances {
  const { minerReserveSat, reserveSat, budgetSat } = world.terms;
  const paidSat = paySat(world, shares);
  return { minerSat: minerReserveSat + paidSat, makerSat: reserveSat + budgetSat - paidSat };
}

/** What of a channel with bonds or a seal went elsewhere than to the payout scripts. */
export type Rest = {
  /** Bonds that are still where the close put them. */
  readonly lockedSat?: bigint;
  /** Fees of what moved bonds and the seal. */
  readonly stakeFeesSat?: bigint;
  /** The maker's next seal. */
  readonly sealSat?: bigint;
};

/**
 * Asserts, from the node's unspent outputs alone, that each side was paid exactly this out of the channel,
 * that the wallets hold what the funding left them, and that every sat is accounted for.
 */
export async function expectBalances(
  world: NodeWorld,
  paid: Balances,
  channelFeeSat: bigint,
  rest: Rest = {},
): Promise<void> {
  const { minerParty, makerParty, terms } = world;
  const actual = {
    minerSat: await world.balanceSat(minerParty.payoutScript),
    makerSat: await world.balanceSat(makerParty.payoutScript),
  };
  expect(actual).toEqual(paid);
  const wallets = {
    minerSat: await world.balanceSat(minerParty.walletScript),
    makerSat: await world.balanceSat(makerParty.walletScript),
  };
  const { funding } = await world.channel();
  const transaction = Transaction.fromHex(await world.node.hexOf(funding.txid));
  const changeTo = (script: Uint8Array): bigint =>
    transaction.outs.find((output) => equal(output.script, script))?.value ?? 0n;
  expect(wallets).toEqual({
    minerSat: changeTo(minerParty.walletScript),
    makerSat: changeTo(makerParty.walletScript),
  });
  expect(transaction.outs[funding.vout]!.value).toBe(capacitySat(terms));
  const outSat = transaction.outs.reduce((sum, output) => sum + output.value, 0n);
  const fundingFeeSat = MAKER_COIN_SAT + MINER_COIN_SAT - outSat;
  expect(fundingFeeSat).toBe(funding.feeSat);
  const heldSat = actual.minerSat + actual.makerSat + wallets.minerSat + wallets.makerSat;
  const lockedSat = rest.lockedSat ?? 0n;
  const feesSat = channelFeeSat + (rest.stakeFeesSat ?? 0n);
  const sealSat = rest.sealSat ?? 0n;
  expect(heldSat + lockedSat + sealSat + fundingFeeSat + feesSat).toBe(MAKER_COIN_SAT + MINER_COIN_SAT);
  const makerSat = actual.makerSat + sealSat;
  recordEnd({ minerSat: actual.minerSat, makerSat, feesSat, ...(lockedSat > 0n ? { lockedSat } : {}) });
}

/** The channel was split after so many shares; the miner paid the fee. */
export async function expectSplit(world: NodeWorld, shares: number, channelFeeSat: bigint): Promise<void> {
  const { minerSat, makerSat } = splitOf(world, shares);
  await expectBalances(world, { minerSat: minerSat - channelFeeSat, makerSat }, channelFeeSat);
}

/** What the close that waits pays: a rung of the ladder, by how many blocks it waited for. */
export async function rungSat(world: NodeWorld): Promise<bigint> {
  const close = await world.spenderOfChannel();
  const outSat = close?.outs.reduce((sum, { value }) => sum + value, 0n) ?? 0n;
  const paidSat = capacitySat(world.terms) - outSat;
  const rungs = world.terms.feeLadderSatPerKvb.map((rate) => feeSat(SPLIT_VBYTES, rate));
  expect(rungs).toContain(paidSat);
  return paidSat;
}

/** The maker took everything back after the expiry. */
export async function expectRefund(world: NodeWorld, satPerKvb: number = ESTIMATE): Promise<void> {
  await expectRefundOf(world, feeSat(REFUND_VBYTES, satPerKvb));
}

/** The same, by a refund that no block took for a while: it climbed, to half of the channel at most. */
export async function expectClimbedRefund(world: NodeWorld): Promise<void> {
  const paidSat = capacitySat(world.terms) - (await world.balanceSat(world.makerParty.payoutScript));
  expect(paidSat).toBeGreaterThanOrEqual(feeSat(REFUND_VBYTES, ESTIMATE));
  expect(paidSat).toBeLessThanOrEqual(capacitySat(world.terms) / 2n);
  await expectRefundOf(world, paidSat);
}

async function expectRefundOf(world: NodeWorld, paidSat: bigint): Promise<void> {
  const makerSat = capacitySat(world.terms) - paidSat;
  await expectBalances(world, { minerSat: 0n, makerSat }, paidSat);
}
