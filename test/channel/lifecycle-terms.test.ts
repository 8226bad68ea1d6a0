import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isDelivering, termEndOf, termPeriodOf } from '../../src/channel/lifecycle.ts';
import type { LifecycleRole } from '../../src/channel/lifecycle-state.ts';
import type { TermsV3 } from '../../src/contract/terms.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { EH } from './fixtures.ts';
import {
  EXPIRY,
  Life,
  opening,
  optionsFor,
  START,
  stored,
  tip,
  unspent,
  workOf,
} from './lifecycle-model.ts';

const TERMS = {
  expiryHeight: EXPIRY,
  fundingByHeight: START + 5,
  minDepth: 2,
  workTotalHashes: 10n * EH,
} as const;

function lifeOf(role: LifecycleRole, changes: Partial<TermsV3>): Life {
  return new Life(optionsFor(role, { terms: makeTermsV3({ ...TERMS, ...changes }) }));
}

/** Both ready at the height at which the funding is deep, START + 2. */
function ready(life: Life): Life {
  life.run(opening());
  life.run([{ type: 'funding_signed' }, { type: 'connected' }, tip(START + 2, unspent(2))]);
  life.run([{ type: 'ready_answered' }, { type: 'peer_ready' }]);
  expect(life.state.status).toBe('open');
  return life;
}

/** The tip at a height, with the funding as deep as it is there. */
const at = (height: number): ReturnType<typeof tip> => tip(height, unspent(height - START));

const start = { notBeforeHeight: START + 6, notAfterHeight: START + 10 };

describe('the start by the terms', () => {
  it.each(['miner', 'maker'] as const)(
    'is waited for by the %s, with nothing owed and nothing asked (I3)',
    (role) => {
      const life = ready(lifeOf(role, { start }));
      for (let height = START + 3; height < START + 6; height += 1) {
        life.step(at(height));
        life.step(workOf(EH / 2n));
        expect(life.state.stream).toMatchObject({ status: 'pending', verifiedWork: 0n, opened: false });
        expect(isDelivering(life.options, life.state)).toBe(false);
      }
    },
  );

  it('opens the stream at its height, and work that was credited before it is paid', () => {
    const maker = ready(lifeOf('maker', { start }));
    // The miner saw the first block before this side did.
    expect(maker.step(workOf(EH))).toEqual([]);
    expect(maker.step(at(START + 6))).toEqual(['opened', 'sign_due', 'sign_state']);
    expect(maker.state.stream).toMatchObject({ status: 'live', verifiedWork: EH });
  });

  it('comes once: no reorganisation makes it pending again, but none delivers below it (I4)', () => {
    const miner = ready(lifeOf('miner', { start }));
    miner.step(at(START + 6));
    expect(isDelivering(miner.options, miner.state)).toBe(true);
    miner.step(at(START + 5));
    expect(miner.state.stream.status).toBe('live');
    expect(isDelivering(miner.options, miner.state)).toBe(false);
    miner.step(at(START + 6));
    expect(isDelivering(miner.options, miner.state)).toBe(true);
  });

  it.each(['miner', 'maker'] as const)('is known to the %s after a start of the program', (role) => {
    const life = ready(lifeOf(role, { start }));
    life.step(at(START + 7));
    life.step(workOf(EH));
    if (role === 'maker') {
      life.step(stored(1, EH, life.options.terms));
      expect(life.restarted().state.stream).toMatchObject({ status: 'live', verifiedWork: EH });
    }
    const again = life.restarted();
    again.step(at(START + 7));
    again.step(workOf(EH));
    expect(again.state.stream).toMatchObject({ status: 'live', verifiedWork: EH });
  });

  it('that never came voids the contract: miner at once, maker two blocks later', () => {
    const miner = ready(lifeOf('miner', { start }));
    miner.step({ type: 'evidence', isDrained: true });
    miner.step(at(START + 10));
    expect(miner.state.stream.status).toBe('live');
    expect(miner.step(at(START + 11))).toEqual(['ending', 'settled', 'ask_close']);
    expect(miner.state.stream.endReason).toBe('not_begun');
    const maker = ready(lifeOf('maker', { start }));
    maker.run([at(START + 11), at(START + 12)]);
    expect(maker.state.stream.status).toBe('live');
    // What both would agree to by then.
    expect(termEndOf(maker.options, maker.state, 2)).toBe('not_begun');
    expect(maker.step(at(START + 13))).toEqual(['ending', 'settled']);
  });

  it('is never void with work', () => {
    for (const role of ['miner', 'maker'] as const) {
      const life = ready(lifeOf(role, { start }));
      life.step(at(START + 8));
      life.step(workOf(1n));
      life.step(at(START + 20));
      expect(life.state.stream.status).toBe('live');
    }
  });
});

describe('the end by the terms (I45)', () => {
  it.each(['miner', 'maker'] as const)(
    'comes to the %s so many blocks after the funding was deep',
    (role) => {
      const life = ready(lifeOf(role, { durationBlocks: 10 }));
      life.step(workOf(EH / 2n));
      expect(termPeriodOf(life.options, life.state)).toEqual({ from: 0, end: START + 12 });
      life.step(at(START + 11));
      expect(life.state.stream.status).toBe('live');
      const effects = life.step(at(START + 12));
      expect(life.state.stream).toMatchObject({ status: 'ending', endReason: 'duration_over' });
      // The rest is paid, less than a step as it is.
      if (role === 'maker') expect(effects).toContain('sign_state');
      expect(isDelivering(life.options, life.state)).toBe(false);
    },
  );

  it('credits what was found on the last block, however late it comes, and pays it (S20)', () => {
    const maker = ready(lifeOf('maker', { durationBlocks: 10 }));
    maker.step(at(START + 12));
    expect(maker.step(workOf(EH / 2n))).toEqual(['sign_due', 'sign_state']);
  });

  it('is that of the work where this comes first', () => {
    const life = ready(lifeOf('maker', { durationBlocks: 10 }));
    life.step(workOf(10n * EH));
    expect(life.state.stream.endReason).toBe('completed');
    life.step(at(START + 13));
    expect(life.state.stream.endReason).toBe('completed');
  });

  it('moves with the funding where a reorganisation moves it, and is unknown while no block has it (I60)', () => {
    const life = ready(lifeOf('maker', { durationBlocks: 10 }));
    life.step(tip(START + 3, unspent(0)));
    expect(termPeriodOf(life.options, life.state)).toBeUndefined();
    life.step(tip(START + 7, unspent(2)));
    expect(termPeriodOf(life.options, life.state)).toEqual({ from: 0, end: START + 17 });
  });

  it('is reached by both within the blocks by which their tips differ, whatever comes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: -1, max: 2 }), fc.integer({ min: -1, max: 1 })), {
          maxLength: 40,
        }),
        fc.integer({ min: 1, max: 20 }),
        (moves, durationBlocks) => {
          const sides = [lifeOf('miner', { durationBlocks }), lifeOf('maker', { durationBlocks })] as const;
          const [miner, maker] = sides;
          for (const side of sides) ready(side);
          let height = START + 2;
          let highest = height;
          for (const [by, apart] of moves) {
            height = Math.max(START + 2, Math.min(height + by, EXPIRY - 20));
            miner.step(at(height));
            maker.step(at(Math.max(START + 2, height + apart)));
            highest = Math.max(highest, height);
            const end = START + 2 + durationBlocks;
            if (highest >= end) expect(miner.state.stream.status).toBe('ending');
            else expect(miner.state.stream.status).toBe('live');
            // A close that the miner asks for is one that the maker agrees to.
            if (miner.state.stream.status === 'ending' && height >= end)
              expect(termEndOf(maker.options, maker.state, 2)).toBe('duration_over');
            expect(isDelivering(miner.options, miner.state)).toBe(highest < end);
          }
        },
      ),
    );
  });
});
