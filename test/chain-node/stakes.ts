import { Transaction } from 'bitcoinjs-lib';
import { expect } from 'vitest';
import { equal, toHex } from '../../src/base/bytes.ts';
import {
  type BondCoin,
  type BondSignatory,
  bondCoins,
  finalizeBondSpend,
  signBondSpend,
} from '../../src/channel/bonds.ts';
import type { SeedSigner } from '../../src/channel/signer.ts';
import { type SignedState, stateAmounts } from '../../src/channel/states.ts';
import type { BondTerms } from '../../src/contract/bond-terms.ts';
import type { TermsV1or2 } from '../../src/contract/terms.ts';
import { SHARE } from '../maker/world.ts';
import { type Balances, feeSat } from './accounts.ts';
import { AUDITOR, type NodeWorld } from './world.ts';

export const COLLATERAL_SAT = 60_000n;
export const MAKER_BOND_SAT = 40_000n;
export const CSV_BLOCKS = 2_016;
export const RATE = 2_000;
export const SEAL_SAT = 2_000n;
export const BY_TWO_FEE_SAT = feeSat(157n, RATE);
export const BY_OWNER_FEE_SAT = feeSat(139n, RATE);
export const CLAIM_FEE_SAT = feeSat(195n, RATE);
/** Of a state with both bonds, at the second rung. */
export const BONDED_FEE_SAT = feeSat(265n, 5_000);

/** Ten steps of four shares, with bonds that vest over all of them. */
export function bondedTerms(bondMode: BondTerms['bondMode'] = 'auditor'): Partial<TermsV1or2> {
  const amounts = { makerBondSat: MAKER_BOND_SAT, collateralSat: COLLATERAL_SAT };
  const auditorKeyHex = toHex(AUDITOR.publicKey('auditor'));
  return {
    workTotalHashes: 40n * SHARE.workHashes,
    // 1000 sat a hash: all the work is worth more than the maker's bond.
    priceMsatPerEh: 1_000_000n * 10n ** 18n,
    bonds:
      bondMode === 'auditor'
        ? { bondMode, ...amounts, bondCsvBlocks: CSV_BLOCKS, auditorKeyHex }
        : { bondMode, ...amounts },
  };
}

export const SEALED_TERMS: Partial<TermsV1or2> = {
  seal: { sealSat: SEAL_SAT, claimFeeRateSatPerKvb: RATE },
};

/** A close as a block holds it: what both have at once, and what is still at stake. */
export type BondedClose = {
  readonly atOnce: Balances;
  readonly minerBond: BondCoin;
  readonly makerBond: BondCoin;
};

/** Mines the state that waits, and says what it gave to whom, from its terms alone. */
export async function confirmState(world: NodeWorld, state: SignedState, rung = 1): Promise<BondedClose> {
  const { params } = await world.channel();
  await world.until('state broadcast', async () => (await world.spenderOfChannel()) !== undefined);
  const spender = await world.spenderOfChannel();
  const bonds = bondCoins(params, state.workHashes, rung);
  expect(bonds.map(({ txid }) => txid)).toEqual([spender!.getId(), spender!.getId()]);
  await world.mine(1);
  const { minerSat, makerSat } = stateAmounts(params.terms, state.workHashes);
  const [minerBond, makerBond] = bonds;
  const atOnce = { minerSat: minerSat - BONDED_FEE_SAT, makerSat };
  expect(await world.balanceSat(world.minerParty.payoutScript)).toBe(atOnce.minerSat);
  expect(await world.balanceSat(world.makerParty.payoutScript)).toBe(atOnce.makerSat);
  return { atOnce, minerBond: minerBond!, makerBond: makerBond! };
}

/** Two of miner, maker and auditor send a bond to a side. */
export async function award(
  world: NodeWorld,
  coin: BondCoin,
  payee: 'miner' | 'maker',
  by: readonly BondSignatory[],
): Promise<void> {
  const { params, channelIndex } = await world.channel();
  const signers: Readonly<Record<BondSignatory, SeedSigner>> = {
    miner: world.minerParty.signer.forChannel(channelIndex),
    maker: world.makerParty.signer.forChannel(channelIndex),
    auditor: AUDITOR,
  };
  const spend = { coin, payee, feeRateSatPerKvb: RATE };
  const signatures = by.map((name) => [name, signBondSpend(params, spend, name, signers[name])] as const);
  const { hex } = finalizeBondSpend(params, spend, Object.fromEntries(signatures));
  await world.minerParty.source.broadcast(hex);
}

/** The data output of what spends the seal, and what it pays on. */
export async function sealSpend(world: NodeWorld): Promise<{ data: Uint8Array; valueSat: bigint }> {
  const { params } = await world.channel();
  const { txid } = params.funding;
  const spender = await world.minerParty.source.spender(txid, params.seal!.vout, 20);
  if (spender === undefined) throw new Error('nothing spends the seal');
  const [data, next] = Transaction.fromHex(spender.hex).outs;
  expect(equal(next!.script, world.makerParty.nextSealScript)).toBe(true);
  return { data: data!.script, valueSat: next!.value };
}
