import { describe, expect, it } from 'vitest';
import type { Offer } from '../../src/contract/offer.ts';
import { isOfferValid } from '../../src/operator/maker-offer.ts';

describe('an offer', () => {
  it('holds from five minutes before it was made, for clocks differ, up to its end', () => {
    const offer = { issuedAt: 1000, validUntil: 2000 } as Offer;
    const times = [699, 700, 1000, 1999, 2000];
    expect(times.map((now) => isOfferValid(offer, now))).toEqual([false, true, true, true, false]);
  });
});
