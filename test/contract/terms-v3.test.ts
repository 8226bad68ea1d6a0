import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { isRecord, type Json } from '../../src/base/json.ts';
import { targetToHex } from '../../src/bitcoin/target.ts';
import { contractIdOf, parseTerms, type TermsV3, termsToJson } from '../../src/contract/terms.ts';
import { notYetServed } from '../../src/contract/terms-access.ts';
import { makeBonds, makeTerms, SEAL } from '../channel/fixtures.ts';
import { anyTermsV3, makeTermsV3, makeWholeTermsV3 } from './terms-v3-fixtures.ts';

/** The path that terms are refused at, `taken` where they are not. */
function refusedAt(value: unknown): string {
  try {
    parseTerms(value);
    return 'taken';
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'bad_terms') throw error;
    return String(error.meta['path']);
  }
}

type Place = { readonly path: string; readonly of: (value: Json) => Json };

/** Every place in a JSON value, and what replaces or removes what is there. */
function placesOf(
  json: Json,
  path = '',
  put: (value: Json | undefined) => Json = (v) => v ?? null,
): Place[] {
  if (Array.isArray(json)) {
    return (json as readonly Json[]).flatMap((each, index) =>
      placesOf(each, path === '' ? `${index}` : `${path}.${index}`, (value) =>
        put((json as readonly Json[]).map((old, at) => (at === index ? (value ?? null) : old))),
      ),
    );
  }
  if (!isRecord(json)) return [{ path, of: put }];
  return Object.entries(json as { readonly [key: string]: Json }).flatMap(([key, each]) =>
    placesOf(each, path === '' ? key : `${path}.${key}`, (value) => {
      const { [key]: _old, ...rest } = json as { readonly [key: string]: Json };
      return put(value === undefined ? rest : { ...rest, [key]: value });
    }),
  );
}

/** The same value with one of its leaves another, for each leaf but the tags, which say what there is. */
function alterations(value: unknown): unknown[] {
  if (typeof value === 'bigint') return [value + 1n];
  if (typeof value === 'number') return [value + 1];
  if (typeof value === 'boolean') return [!value];
  if (typeof value === 'string') return [`${value}0`];
  if (Array.isArray(value)) {
    return value.flatMap((each, index) =>
      alterations(each).map((other) => value.toSpliced(index, 1, other)),
    );
  }
  return Object.entries(value as object)
    .filter(([key]) => key !== 'type' && key !== 'bondMode' && key !== 'version')
    .flatMap(([key, each]) => alterations(each).map((other) => ({ ...(value as object), [key]: other })));
}

const whole = termsToJson(makeWholeTermsV3());

describe('terms of version 3', () => {
  it('survive the round trip through JSON, in whatever order, and keep their id', () => {
    fc.assert(
      fc.property(anyTermsV3, (terms) => {
        const json = JSON.parse(JSON.stringify(termsToJson(terms))) as Record<string, Json>;
        expect(parseTerms(json)).toEqual(terms);
        const turned = Object.fromEntries(Object.entries(json).toReversed());
        expect(contractIdOf(parseTerms(turned))).toBe(contractIdOf(terms));
      }),
    );
    expect(parseTerms(whole)).toEqual(makeWholeTermsV3());
  });

  it('have another id when anything differs, however deep', () => {
    const terms = makeWholeTermsV3();
    const altered = alterations(terms) as readonly TermsV3[];
    expect(altered.length).toBeGreaterThan(70);
    const ids = [terms, ...altered].map(contractIdOf);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('are refused by the path of a member that is missing, null, unknown or no shape of its own', () => {
    for (const { path, of } of placesOf(whole)) {
      if (path === 'version') continue;
      for (const value of [null, {}, [], 'x', -1, 1.5, -0] as const) {
        if (value === 'x' && path.endsWith('label')) continue;
        expect(refusedAt(of(value as Json)), `${path} = ${JSON.stringify(value)}`).toBe(path);
      }
    }
    for (const key of Object.keys(whole)) {
      const { [key]: _gone, ...rest } = whole;
      const isOptional =
        /^(rate|start|duration_blocks|delivery|bonds|seal|splits|text_hash|predecessor|stream)$/.test(key);
      if (key !== 'version' && !isOptional) expect(refusedAt(rest)).toBe(key);
    }
    expect(refusedAt({ ...whole, more: 1 })).toBe('more');
    expect(refusedAt({ ...whole, target: { ...(whole['target'] as object), more: 1 } })).toBe(
      'target.more',
    );
    expect(refusedAt({ ...whole, price: { type: 'fixed' } })).toBe('price.msat_per_eh');
    expect(refusedAt({ ...whole, price: { type: 'free', msat_per_eh: '1' } })).toBe('price.type');
    expect(refusedAt({ ...whole, nonce: 'AB'.repeat(16) })).toBe('nonce');
    expect(refusedAt({ ...whole, budget_sat: '0600000' })).toBe('budget_sat');
  });

  it('let no share of a range be worth more than a step', () => {
    const of = (hardest: bigint, easiest = 1n << 240n) => {
      const target = { easiestHex: targetToHex(easiest), hardestHex: targetToHex(hardest) };
      const terms = makeTermsV3({ stepHashes: 1n << 60n, workTotalHashes: 1n << 62n, target });
      return refusedAt(termsToJson(terms));
    };
    expect(of((1n << 196n) - 1n)).toBe('taken');
    expect(of((1n << 196n) - (1n << 137n))).toBe('target.hardest');
    // Where every share has one target, both chose it.
    expect(of(1n << 190n, 1n << 190n)).toBe('taken');
  });

  it.each<[string, Partial<TermsV3>]>([
    ['price', { price: { type: 'fixed', msatPerEh: 0n } }],
    ['budget_sat', { budgetSat: 485_059n }],
    ['binding.outputs', { binding: payout([['51', 999_999]]) }],
    [
      'binding.outputs',
      {
        binding: payout([
          ['51', 500_000],
          ['51', 500_000],
        ]),
      },
    ],
    ['target.hardest', { target: { easiestHex: '00'.repeat(32), hardestHex: '00'.repeat(32) } }],
    [
      'target.hardest',
      { target: { easiestHex: `00${'11'.repeat(31)}`, hardestHex: `01${'11'.repeat(31)}` } },
    ],
    ['target.easiest', { target: { easiestHex: 'ff'.repeat(32), hardestHex: '11'.repeat(32) } }],
    ['fee_caps', { feeCaps: [{ blocksLeft: 1, ppm: 10 }] }],
    [
      'fee_caps.1.ppm',
      {
        feeCaps: [
          { blocksLeft: 10, ppm: 10 },
          { blocksLeft: 0, ppm: 9 },
        ],
      },
    ],
    ['funding_by_height', { fundingByHeight: 920_000 }],
    ['duration_blocks', { durationBlocks: 2000 }],
    ['start.not_after_height', { start: { notBeforeHeight: 2, notAfterHeight: 1 } }],
    ['delivery', { delivery: makeWholeTermsV3().delivery! }],
    ['maker_fault', { makerFault: { type: 'standby', msatPerEh: 1n } }],
    ['rate.max_hps', { rate: { min: 1n, committed: 3n, max: 2n } }],
    ['bonds.collateral_sat', { bonds: { ...makeWholeTermsV3().bonds!, collateralSat: 89_999n } }],
    ['splits.0.seed_sat', { splits: [{ scriptHex: '51', ppm: 1, seedSat: 545n, label: '' }] }],
    ['splits', { splits: [{ scriptHex: '51', ppm: 900_001, seedSat: 546n, label: '' }] }],
    ['seal', { seal: SEAL, binding: bead('as_is') }],
    ['seal', { seal: SEAL, binding: bead('weak') }],
    ['budget_sat', { binding: { type: 'none' }, price: { type: 'fixed', msatPerEh: 0n } }],
    ['price.msat_per_eh', { binding: { type: 'none' } }],
    ['fee_ladder_sat_per_kvb', { feeLadderSatPerKvb: [1000, 1000] }],
  ])('are refused at %s where they are not sound: %#', (path, changes) => {
    expect(refusedAt(termsToJson(makeTermsV3(changes)))).toBe(path);
  });

  it('may sell nothing, for an audit', () => {
    const audit = makeTermsV3({
      binding: { type: 'none' },
      price: { type: 'fixed', msatPerEh: 0n },
      budgetSat: 0n,
      reserveSat: 0n,
      minerReserveSat: 0n,
    });
    expect(refusedAt(termsToJson(audit))).toBe('taken');
    expect(notYetServed(audit)).toBeUndefined();
  });
});

it('ids are what they were (each version its own spelling)', () => {
  const both = { bonds: makeBonds('auditor'), seal: SEAL };
  expect([makeTerms(), makeTerms(both), makeTermsV3(), makeWholeTermsV3()].map(contractIdOf)).toEqual(IDS);
});

const IDS = [
  'b80acb496b5ae6dc160465a52135e7cfaeea5a7348fea3d386ccaa7b7b5d2b25',
  '7e96bdcc00cabacfc0a647e745bc0a7eceb3d065b238ee92553be2fe950118c5',
  '7375c97731469196bfa7d4873349928567c8a84587b2ed20553f3d6fd740d336',
  '41099a3114c931a9ce9cc86137f29ff9f892ffc8e844bc2b854683a2c5995e7d',
];

function bead(profile: 'as_is' | 'weak' | 'spec'): TermsV3['binding'] {
  return { type: 'bead', scriptHex: '51', profile, stopPpb: 1000, maxLossSat: 1000n };
}

function payout(outputs: readonly (readonly [string, number])[]): TermsV3['binding'] {
  return {
    type: 'payout',
    outputs: outputs.map(([scriptHex, ppm]) => ({ scriptHex, ppm })),
    minFeesPpm: 0,
    samplePpm: 0,
    sampleSeconds: 10,
  };
}
