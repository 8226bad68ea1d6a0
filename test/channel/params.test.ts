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
import { anyParams, code, keys, makeParams, makeTerms, PAYOUTS } from './fixtures.ts';

const params = makeParams();

/** The JSON of the parameters with one field, named by its path, replaced or (undefined) removed. */
function changed(path: readonly string[], value: unknown): unknown {
  const copy = structuredClone(channelParamsToJson(params)) as Record<string, unknown>;
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
    ];
    for (const of of bad) {
      expect(code(() => channelFacts(of))).toMatch(/^(unknown_channel|bad_terms)$/);
    }
  });
});
