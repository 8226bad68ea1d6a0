import { expect, it } from 'vitest';
import { type LeavableContract, leavingSources, leavingView } from '../../src/daemon/leaving.ts';
import { EH, makeBonds, makeTerms } from '../channel/fixtures.ts';

/** 100 EH at 500 sats, of which 60 are delivered and 58 signed for. */
const CONTRACT: LeavableContract = {
  terms: makeTerms({
    ...{ priceMsatPerEh: 500_000n, workTotalHashes: 100n * EH, budgetSat: 60_000n },
    bonds: makeBonds('auditor', { collateralSat: 9_000n, makerBondSat: 5_000n }),
  }),
  ...{ stream: 'live', deliveredHashes: 60n * EH, signedHashes: 58n * EH },
};

const valued = (msatPerEh: bigint | undefined) => ({ value: { msatPerEh } }) as never;

it('is said of contracts that run, once hashes have a value', () => {
  expect(leavingView(CONTRACT, valued(600_000n))).toMatchObject({
    miner: { gainSat: 4_000n, forfeitSat: 4_780n, bondNeededSat: 3_000n },
    maker: { gainSat: 0n },
  });
  expect(leavingView({ ...CONTRACT, stream: 'paused' }, valued(1n))).toMatchObject({ pays: 'maker' });
  for (const stream of ['pending', 'ending', 'ended'] as const)
    expect(leavingView({ ...CONTRACT, stream }, valued(1n))).toBeNull();
  expect(leavingView(CONTRACT, valued(undefined))).toBeNull();
  expect(leavingView(CONTRACT, undefined)).toBeNull();
  expect(leavingView(undefined, valued(1n))).toBeNull();
});

it('is summed over contracts in the metrics, and counted where it pays', () => {
  const at = (msatPerEh: bigint) => leavingView(CONTRACT, valued(msatPerEh));
  const sources = leavingSources(() => [at(600_000n), null, at(700_000n), at(100_000n)], valued(600_000n));
  expect(sources.contract_leaving_gain_sats()).toEqual({ miner: 12_000, maker: 17_000 });
  expect(sources.contract_leaving_forfeit_sats()).toEqual({ miner: 3 * 4_780, maker: 6_300 });
  expect(sources.contract_leaving_bond_needed_sats()).toEqual({ miner: 10_000, maker: 17_000 });
  expect(sources.contract_leaving_pays()).toEqual({ miner: 1, maker: 1 });
  expect(sources.hash_value_msat_per_eh()).toBe(600_000);
  const none = leavingSources(() => [null], valued(undefined));
  expect(none.contract_leaving_pays()).toEqual({});
  expect(none.hash_value_msat_per_eh()).toBeUndefined();
});
