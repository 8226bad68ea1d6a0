import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  dueHeight,
  edgeAt,
  epochsWithin,
  isUnpriced,
  latestHashes,
  type PriceStep,
  type PriceView,
  priceStep,
} from '../../src/contract/index-price.ts';
import type { Price } from '../../src/contract/price.ts';
import type { Update } from '../../src/contract/update.ts';
import { makeTermsV3 } from './terms-v3-fixtures.ts';

const PRICE = {
  ...{ type: 'index', formula: 'hash_value_144', epoch: 'day', ttlBlocks: 36, premiumPpm: 0 },
  ...{ minMsatPerEh: 1n, maxMsatPerEh: 1000n },
} as const satisfies Price;
const EDGE = 144 * 6000;
const update = (changes: Partial<Update> = {}): Update => ({
  ...{ contractIdHex: '42'.repeat(32), previousHex: '42'.repeat(32), number: 1, fromHashes: 0n },
  ...{ nonceHex: '11'.repeat(16), ...changes },
});
const view = (changes: Partial<PriceView>): PriceView => ({
  ...{
    role: 'maker',
    tipHeight: EDGE + 20,
    edge: EDGE,
    sinceHeight: EDGE + 20,
    wantedMsatPerEh: 500n,
    signedMsatPerEh: 500n,
  },
  ...{ pending: undefined, latestHashes: 100n, ...changes },
});
const asked = (by: 'own' | 'peer', changes: Partial<Update>): PriceView['pending'] => ({
  ...{ by, update: update(changes) },
});
const step = (changes: Partial<PriceView>): PriceStep => priceStep(view(changes), PRICE);

describe('the epoch of a price', () => {
  it('begins once the last block of its value has six confirmations, and not before (I25)', () => {
    expect(dueHeight(EDGE)).toBe(EDGE + 4);
    expect(edgeAt(PRICE, EDGE + 3)).toBe(EDGE - 144);
    expect(edgeAt(PRICE, EDGE + 4)).toBe(EDGE);
    expect(edgeAt({ epoch: 'difficulty' }, 2016 * 400 + 3)).toBe(2016 * 399);
    expect(edgeAt(PRICE, 0)).toBe(0);
  });

  it('is one for all tips from its beginning to the next (I26)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 200, max: 1_000_000 }), (height) => {
        const edge = edgeAt(PRICE, height);
        expect(edge % 144).toBe(0);
        expect(height).toBeGreaterThanOrEqual(dueHeight(edge));
        expect(height).toBeLessThan(dueHeight(edge + 144));
      }),
    );
  });
});

describe('a side of a price that moves', () => {
  it('proposes what its own node says: the maker at once, the miner where it does not', () => {
    expect(step({ signedMsatPerEh: undefined })).toBe('propose');
    expect(step({ signedMsatPerEh: 499n })).toBe('propose');
    expect(step({})).toBe('none');
    const young = { role: 'miner', signedMsatPerEh: 499n, sinceHeight: EDGE + 19 } as const;
    expect(step(young)).toBe('none');
    expect(step({ ...young, tipHeight: EDGE + 21 })).toBe('propose');
  });

  it('does nothing while its node does not tell', () => {
    for (const pending of [undefined, asked('peer', { priceMsatPerEh: 500n })])
      expect(step({ wantedMsatPerEh: undefined, signedMsatPerEh: 499n, pending })).toBe('none');
  });

  it('confirms that price alone, and refuses any other', () => {
    const at = (changes: Partial<Update>) =>
      step({ signedMsatPerEh: 499n, pending: asked('peer', changes) });
    expect(at({ priceMsatPerEh: 500n })).toBe('confirm');
    for (const priceMsatPerEh of [499n, 501n, 1n]) expect(at({ priceMsatPerEh })).toBe('refuse');
    // A right price that holds from the end of the contract on is none.
    expect(at({ priceMsatPerEh: 500n, fromHashes: 100n })).toBe('confirm');
    expect(at({ priceMsatPerEh: 500n, fromHashes: 101n })).toBe('refuse');
    // With something else in it, it is no price of an epoch.
    expect(at({ priceMsatPerEh: 500n, stepHashes: 1n })).toBe('refuse');
    expect(at({ stepHashes: 1n })).toBe('none');
    // Once it is signed, no other is taken before the next edge.
    expect(step({ pending: asked('peer', { priceMsatPerEh: 501n }) })).toBe('refuse');
  });

  it('waits with a price that a tip two blocks ahead may call for', () => {
    const pending = asked('peer', { priceMsatPerEh: 501n });
    expect(step({ tipHeight: dueHeight(EDGE + 144) - 2, pending })).toBe('none');
    expect(step({ tipHeight: dueHeight(EDGE + 144) - 3, pending })).toBe('refuse');
    expect(step({ tipHeight: dueHeight(EDGE) + 1, pending })).toBe('none');
    expect(step({ tipHeight: dueHeight(EDGE) + 2, pending })).toBe('refuse');
  });

  it('takes an own price of an epoch before back', () => {
    expect(step({ signedMsatPerEh: 499n, pending: asked('own', { priceMsatPerEh: 500n }) })).toBe('none');
    expect(step({ signedMsatPerEh: 498n, pending: asked('own', { priceMsatPerEh: 499n }) })).toBe('refuse');
  });
});

describe('when a price has to hold', () => {
  it('is from the first hash on, and later within the steps that both may be apart', () => {
    const none = makeTermsV3({ price: PRICE });
    expect(latestHashes(none, 0n)).toBe(0n);
    const updates = [
      { update: update({ priceMsatPerEh: 9n, stepHashes: 10n }), minerSignature: '', makerSignature: '' },
    ];
    const signed = makeTermsV3({ price: PRICE, maxUnpaidSteps: 3, updates });
    expect(latestHashes(signed, 50n)).toBe(50n + 7n * 10n);
    expect([epochsWithin(PRICE, 1008), epochsWithin({ epoch: 'difficulty' }, 1008)]).toEqual([8, 2]);
  });
});

describe('work without a price', () => {
  const signed = (priceMsatPerEh: bigint) =>
    makeTermsV3({
      price: PRICE,
      updates: [{ update: update({ priceMsatPerEh }), minerSignature: '', makerSignature: '' }],
    });

  it('is that before the first is signed', () => {
    const none = makeTermsV3({ price: PRICE });
    expect(isUnpriced(none, { goodEdge: EDGE, tipHeight: EDGE + 10 })).toBe(true);
    expect(isUnpriced(makeTermsV3(), { goodEdge: undefined, tipHeight: EDGE + 10 })).toBe(false);
  });

  it('is that of an edge whose price is not signed for longer than the last one stands in', () => {
    const at = (goodEdge: number | undefined, tipHeight: number) =>
      isUnpriced(signed(500n), { goodEdge, tipHeight });
    expect(at(EDGE, dueHeight(EDGE) + 36)).toBe(false);
    expect(at(EDGE - 144, dueHeight(EDGE) + 35)).toBe(false);
    expect(at(EDGE - 144, dueHeight(EDGE) + 36)).toBe(true);
    expect(at(undefined, dueHeight(EDGE) + 36)).toBe(true);
    // Late work of the edge before, once the next has its price.
    expect(at(EDGE, dueHeight(EDGE) - 1)).toBe(false);
  });
});
