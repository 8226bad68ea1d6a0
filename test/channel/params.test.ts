import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import {
  type ChannelParams,
  capacitySat,
  channelFacts,
  channelIdOf,
  channelParamsToJson,
  parseChannelParams,
} from '../../src/channel/params.ts';
import { signState } from '../../src/channel/states.ts';
import {
  anyBondedParams,
  anyParams,
  code,
  EH,
  keys,
  makeBonds,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
  PAYOUTS,
  SEAL,
} from './fixtures.ts';

const params = makeParams();
const bonded = makeParams({}, makeTerms({ bonds: makeBonds('auditor'), seal: SEAL }));

/** The JSON of the parameters with one field, named by its path, replaced or (undefined) removed. */
function changed(path: readonly string[], value: unknown, of: ChannelParams = params): unknown {
  const copy = structuredClone(channelParamsToJson(of)) as Record<string, unknown>;
  if (path.length === 0) return copy;
  let at = copy;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string, unknown>;
  if (value === undefined) delete at[path.at(-1)!];
  else at[path.at(-1)!] = value;
  return copy;
}

describe('channel parameters', () => {
  it('survive the round trip through JSON, id and all', () => {
    fc.assert(
      fc.property(anyParams, (of) => {
        const first = of.terms.feeLadderSatPerKvb[0]!;
        fc.pre(of.terms.minerReserveSat > 1000n && first > 0);
        const parsed = parseChannelParams(JSON.parse(JSON.stringify(channelParamsToJson(of))));
        expect(parsed).toEqual(of);
        expect(channelIdOf(parsed)).toBe(channelIdOf(of));
      }),
    );
  });

  it('with bonds and a seal survive the round trip too, under version 2', () => {
    fc.assert(
      fc.property(anyBondedParams, (of) => {
        const parsed = parseChannelParams(JSON.parse(JSON.stringify(channelParamsToJson(of))));
        expect(parsed).toEqual(of);
        expect(channelIdOf(parsed)).toBe(channelIdOf(of));
        expect(channelParamsToJson(of)['version']).toBe(2);
      }),
    );
  });

  it('without bonds have the id they had before there were any', () => {
    expect(channelIdOf(params)).toBe('58dfd74387d2f7a8e3e956faeaaffcddc7c1a149fc92632f146efc57e9819074');
    const { receiptSignature, signatures } = signState(params, 1, EH, makerSigner);
    expect(receiptSignature.slice(0, 32)).toBe('bdf84d878034e7ffdc66292ff6062a5c');
    expect(signatures[0]!.slice(0, 32)).toBe('b85405920bb92708f442208f31214abf');
  });

  it('hold B + R + r0', () => {
    expect(capacitySat(params.terms)).toBe(485_060n + 1000n + 6000n);
  });

  it('have another id when anything differs (I1)', () => {
    const ids = [
      params,
      makeParams({ funding: { ...params.funding, vout: 0 } }),
      makeParams({ minerPayoutScript: PAYOUTS.p2tr('x') }),
      makeParams({ makerPayoutScript: PAYOUTS.p2tr('x') }),
      makeParams({ keys: { ...keys, minerChannel: keys.makerChannel, makerChannel: keys.minerChannel } }),
      makeParams({}, makeTerms({ nonceHex: '0'.repeat(32) })),
    ].map(channelIdOf);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids[0]).toMatch(/^[0-9a-f]{64}$/);
  });

  it.each([
    [['version'], 2, 'protocol'],
    [['version'], undefined, 'protocol'],
    [['terms', 'price_msat_per_eh'], '0', 'bad_terms'],
    [['terms', 'budget_sat'], '1', 'bad_terms'],
    [['terms', 'nonce'], '00', 'bad_terms'],
    [['terms', 'nonce'], '11'.repeat(16), 'unknown_channel'],
    [['contract_id'], '00'.repeat(32), 'unknown_channel'],
    [['contract_id'], '00', 'protocol'],
    [['keys', 'miner_channel'], undefined, 'protocol'],
    [['keys', 'miner_channel'], '02', 'protocol'],
    [['keys', 'miner_channel'], toHex(keys.makerChannel), 'bad_terms'],
    [['keys', 'maker_refund'], toHex(keys.makerChannel), 'bad_terms'],
    [['keys', 'maker_refund'], `02${'ff'.repeat(32)}`, 'bad_terms'],
    [['keys', 'other'], toHex(keys.makerChannel), 'protocol'],
    [['miner_payout_script'], '', 'bad_terms'],
    [['miner_payout_script'], '6a00', 'bad_terms'],
    [['miner_payout_script'], `76a914${'00'.repeat(20)}88ac`, 'bad_terms'],
    [['miner_payout_script'], `a914${'00'.repeat(20)}87`, 'bad_terms'],
    [['maker_payout_script'], `5220${'00'.repeat(32)}`, 'bad_terms'],
    [['maker_payout_script'], '00'.repeat(10_001), 'protocol'],
    [['maker_payout_script'], toHex(PAYOUTS.p2wpkh('x')).toUpperCase(), 'protocol'],
    [['funding', 'txid'], 'FF'.repeat(32), 'protocol'],
    [['funding', 'txid'], '00'.repeat(31), 'protocol'],
    [['funding', 'vout'], -1, 'protocol'],
    [['funding', 'vout'], '1', 'protocol'],
    [['funding', 'vout'], 2 ** 32, 'protocol'],
    [['funding'], null, 'protocol'],
    [['more'], 1, 'protocol'],
  ] as const)('with %j = %j are refused: %s', (path, value, expected) => {
    expect(code(() => parseChannelParams(changed(path, value)))).toBe(expected);
  });

  it.each([
    [['version'], 1, 'protocol'],
    [['version'], 3, 'protocol'],
    [['terms', 'version'], 1, 'bad_terms'],
    [['terms', 'bonds', 'collateral_sat'], '60001', 'unknown_channel'],
    [['keys', 'miner_bond'], undefined, 'bad_terms'],
    [['keys', 'maker_exit'], undefined, 'bad_terms'],
    [['keys', 'miner_seal_exit'], undefined, 'bad_terms'],
    [['keys', 'miner_bond'], '02', 'protocol'],
    [['keys', 'maker_bond'], toHex(bonded.keys.minerBond!), 'bad_terms'],
    [['keys', 'maker_seal'], toHex(bonded.keys.makerRefund), 'bad_terms'],
    [['keys', 'maker_seal_exit'], toHex(minerSigner.publicKey('node')), 'protocol'],
    [['seal'], undefined, 'bad_terms'],
    [['seal'], null, 'protocol'],
    [['seal', 'vout'], 1, 'bad_terms'],
    [['seal', 'vout'], -1, 'protocol'],
    [['seal', 'next_script'], '6a', 'bad_terms'],
    [['seal', 'next_script'], 'zz', 'protocol'],
    [['seal', 'more'], 1, 'protocol'],
  ] as const)('with bonds and a seal, with %j = %j are refused: %s', (path, value, expected) => {
    expect(code(() => parseChannelParams(changed(path, value, bonded)))).toBe(expected);
    expect(code(() => parseChannelParams(changed([], undefined, bonded)))).not.toBe(expected);
  });

  it('that are not JSON objects at all are refused', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(code(() => parseChannelParams(value))).toBe('protocol');
      }),
    );
  });

  it('made without parsing are checked all the same before use', () => {
    const bad: ChannelParams[] = [
      { ...params, contractId: '00'.repeat(32) },
      { ...params, terms: makeTerms({ expiryHeight: 1_000_000 }) },
      { ...params, minerPayoutScript: new Uint8Array(0) },
      { ...params, funding: { txid: 'x', vout: 0 } },
      { ...params, funding: { ...params.funding, vout: 0.5 } },
      makeParams({}, makeTerms({ feeLadderSatPerKvb: [40_000] })),
      makeParams({}, makeTerms({ budgetSat: 1n })),
      makeParams({}, makeTerms({ bonds: makeBonds('auditor'), feeLadderSatPerKvb: [21_500] })),
      makeParams({}, makeTerms({ seal: { sealSat: 1000n, claimFeeRateSatPerKvb: 3610 } })),
      { ...params, seal: { vout: 5, nextScript: PAYOUTS.p2wpkh('x') } },
    ];
    const rate = (feeLadderSatPerKvb: number[]): ChannelParams =>
      makeParams({}, makeTerms({ bonds: makeBonds('auditor'), feeLadderSatPerKvb }));
    expect(channelFacts(rate([21_400])).bonds).toBeDefined();
    for (const of of bad) {
      expect(code(() => channelFacts(of))).toMatch(/^(unknown_channel|bad_terms)$/);
    }
  });
});
