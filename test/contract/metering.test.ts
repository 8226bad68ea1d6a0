import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type MeteringEffect,
  type MeteringEvent,
  type MeteringState,
  NOTHING_METERED,
  transition,
} from '../../src/contract/metering.ts';
import { checkTerms } from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import { makeTerms } from '../channel/fixtures.ts';

const TERMS = { workTotalHashes: 100n, stepHashes: 10n, expiryHeight: 50 };

function run(events: readonly MeteringEvent[], from: MeteringState = NOTHING_METERED) {
  const effects: MeteringEffect[] = [];
  let state = from;
  for (const event of events) {
    const step = transition(TERMS, state, event, 0);
    state = step.state;
    effects.push(...step.effects);
  }
  return { state, effects };
}

const work = (workHashes: bigint): MeteringEvent => ({ type: 'work', workHashes });
const signed = (n: number, workHashes: bigint): MeteringEvent => ({ type: 'total_signed', n, workHashes });

describe('a metering', () => {
  it('offers a total at a whole step, to the hash, and only while connected', () => {
    expect(run([{ type: 'connected' }, work(9n)]).effects).toEqual([]);
    expect(run([work(10n)]).effects).toEqual([]);
    const offer = { type: 'offer_total', n: 1, workHashes: 10n };
    expect(run([{ type: 'connected' }, work(10n)]).effects).toEqual([offer]);
    expect(run([work(10n), { type: 'connected' }]).effects).toEqual([offer]);
  });

  it('ends exactly at the total, and at the height; what is beyond the total is in none', () => {
    expect(run([work(99n)]).state.status).toBe('live');
    expect(run([work(100n)]).state).toMatchObject({ status: 'ending', reason: 'work_total' });
    expect(run([{ type: 'connected' }, work(107n)]).effects.at(-1)).toMatchObject({ workHashes: 100n });
    expect(run([{ type: 'height', height: 49 }]).state.status).toBe('live');
    expect(run([{ type: 'height', height: 50 }]).state).toMatchObject({
      status: 'ending',
      reason: 'expiry',
    });
  });

  it('offers the rest at its end, and nothing after a refusal until the next connection', () => {
    const before: MeteringEvent[] = [{ type: 'connected' }, work(13n), signed(1, 13n), work(14n)];
    expect(run([...before, { type: 'end_asked' }]).effects.at(-1)).toEqual({
      ...{ type: 'offer_total', n: 2, workHashes: 14n },
    });
    const refused = run([...before, { type: 'end_asked' }, { type: 'total_refused' }, work(15n)]);
    expect(refused.state.isOffered).toBe(false);
    expect(run([{ type: 'connected' }], refused.state).effects).toEqual([
      { type: 'offer_total', n: 2, workHashes: 15n },
    ]);
  });

  it('comes in several totals where there is more than one may be of, and each is signed', () => {
    const most = { ...TERMS, mostHashes: 4n };
    let state = transition(most, NOTHING_METERED, { type: 'connected' }, 0).state;
    const totals: bigint[] = [];
    // A step of ten is more than one total may be of.
    let step = transition(most, state, work(3n), 0);
    expect(step.effects).toEqual([]);
    for (const event of [work(11n), { type: 'end_asked' } as const]) {
      step = transition(most, step.state, event, 0);
      for (;;) {
        const offer = step.effects.find((effect) => effect.type === 'offer_total');
        if (offer === undefined) break;
        totals.push(offer.workHashes);
        step = transition(most, step.state, signed(offer.n, offer.workHashes), 0);
      }
      state = step.state;
    }
    expect(totals).toEqual([4n, 8n, 11n]);
    expect(state).toMatchObject({ status: 'ending', isOffered: false, signed: { n: 3, workHashes: 11n } });
  });

  it('has one total in flight, each one above the last signed, and none after its end', () => {
    const event = fc.oneof(
      fc.bigInt({ min: 0n, max: 130n }).map(work),
      fc.integer({ min: 0, max: 60 }).map((height): MeteringEvent => ({ type: 'height', height })),
      fc
        .constantFrom<'connected' | 'disconnected' | 'end_asked' | 'finished' | 'total_refused'>(
          'connected',
          'disconnected',
          'end_asked',
          'finished',
          'total_refused',
        )
        .map((type): MeteringEvent => ({ type })),
      fc.constant<'sign'>('sign'),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        let state = NOTHING_METERED;
        let open: { n: number; workHashes: bigint } | undefined;
        for (const each of events) {
          if (each === 'sign' && open === undefined) continue;
          const step = transition(
            TERMS,
            state,
            each === 'sign' ? signed(open!.n, open!.workHashes) : each,
            0,
          );
          const wasEnded = state.status === 'ended';
          expect(step.state.workHashes >= state.workHashes).toBe(true);
          expect(step.state.signed.workHashes >= state.signed.workHashes).toBe(true);
          if (wasEnded) expect(step.state.status).toBe('ended');
          if (!step.state.isOffered) open = undefined;
          for (const effect of step.effects) {
            if (effect.type !== 'offer_total') continue;
            expect(wasEnded || !step.state.isConnected).toBe(false);
            expect(state.isOffered && each !== 'sign' && each.type !== 'connected').toBe(false);
            expect(effect.n).toBe(step.state.signed.n + 1);
            expect(effect.workHashes > step.state.signed.workHashes).toBe(true);
            expect(effect.workHashes <= TERMS.workTotalHashes).toBe(true);
            open = effect;
          }
          state = step.state;
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('terms of metering', () => {
  const FREE = { priceMsatPerEh: 0n, budgetSat: 0n, reserveSat: 0n, minerReserveSat: 0n };
  const metering = termsV3From({ ...makeTerms(), ...FREE }, 918_600, { type: 'none' });
  const payout = termsV3From(
    makeTerms({ binding: { type: 'coinbase', scriptHex: `0014${'ab'.repeat(20)}` } }),
    918_600,
  );

  it('have no money in them, and no other binding is without', () => {
    checkTerms(metering);
    for (const money of ['budgetSat', 'reserveSat', 'minerReserveSat'] as const)
      expect(() => checkTerms({ ...metering, [money]: 1n })).toThrow('where no binding is agreed');
    const priced = { ...metering, price: { type: 'fixed', msatPerEh: 1n } } as const;
    expect(() => checkTerms(priced)).toThrow('price.msat_per_eh');
    const free = { ...payout, price: { type: 'fixed', msatPerEh: 0n } } as const;
    expect(() => checkTerms(free)).toThrow('price must be positive');
  });
});
