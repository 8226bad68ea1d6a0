import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import {
  isPausedAt,
  LEAD_BLOCKS,
  NO_NOTICES,
  type NoticeEvent,
  type NoticeOptions,
  type Notices,
  noticedEnd,
  transition,
} from '../../src/contract/notices.ts';
import { NOTICES, type Said, TERMS_WITH_NOTICE } from './notice-stand.ts';
import { makeTermsV3 } from './terms-v3-fixtures.ts';

const HEIGHT = 900_000;
const miner: NoticeOptions = { terms: makeTermsV3(TERMS_WITH_NOTICE), role: 'miner' };
const maker: NoticeOptions = { ...miner, role: 'maker' };
const free: NoticeOptions = { terms: makeTermsV3({}), role: 'miner' };

const said = (options: NoticeOptions, events: readonly NoticeEvent[], height = HEIGHT): Notices =>
  events.reduce((state, event) => transition(options, state, event, height).state, NO_NOTICES);
const refusal = (options: NoticeOptions, state: Notices, event: NoticeEvent, height = HEIGHT) => {
  try {
    transition(options, state, event, height);
    return undefined;
  } catch (error) {
    return codeOf(error);
  }
};
const pause = (changes: object = {}): NoticeEvent => ({ type: 'pause', reason: 'maintenance', ...changes });

describe('a pause', () => {
  it('without rules of delivery is at once, until it is resumed', () => {
    const paused = said(free, [pause()]);
    expect([HEIGHT - 1, HEIGHT, HEIGHT + 10_000].map((at) => isPausedAt(paused, at))).toEqual([
      false,
      true,
      true,
    ]);
    expect(paused.untold).toBeUndefined();
    expect(isPausedAt(said(free, [pause(), { type: 'resume' }]), HEIGHT)).toBe(false);
  });

  it('of a miner that promised a rate is by notice, ahead, and within what the terms allow (I28)', () => {
    expect(refusal(miner, NO_NOTICES, pause())).toBe('notice_refused');
    expect(refusal(miner, NO_NOTICES, pause({ blocks: 61 }))).toBe('notice_refused');
    expect(refusal(miner, NO_NOTICES, pause({ blocks: 60, fromHeight: HEIGHT + 2 }))).toBe(
      'notice_refused',
    );
    const noticed = said(miner, [pause({ blocks: 60 })]);
    expect(noticed.untold).toEqual({ fromHeight: HEIGHT + LEAD_BLOCKS, blocks: 60 });
    const from = HEIGHT + LEAD_BLOCKS;
    expect([from - 1, from, from + 59, from + 60].map((at) => isPausedAt(noticed, at))).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  it('is counted once its notice is in the log, and not where it was taken back before', () => {
    const back = said(miner, [pause({ blocks: 40 }), { type: 'resume' }]);
    expect(refusal(miner, back, pause({ blocks: 60 }))).toBeUndefined();
    const notice = { fromHeight: HEIGHT + LEAD_BLOCKS, blocks: 40 };
    const told = said(miner, [pause({ blocks: 40 }), { type: 'notice_told', notice }, { type: 'resume' }]);
    expect(refusal(miner, told, pause({ blocks: 21 }))).toBe('notice_refused');
    // Nothing is due in the blocks of the first one: the next begins after them.
    expect(transition(miner, told, pause({ blocks: 20 }), HEIGHT).state.untold).toEqual({
      fromHeight: HEIGHT + LEAD_BLOCKS + 40,
      blocks: 20,
    });
  });

  it('is one at a time, and of the maker whenever it says', () => {
    expect(refusal(free, said(free, [pause()]), pause())).toBe('wrong_status');
    expect(refusal(free, NO_NOTICES, { type: 'resume' })).toBe('wrong_status');
    expect(isPausedAt(said(maker, [pause()]), HEIGHT)).toBe(true);
    // What the other side says of itself is believed.
    const heard = said(miner, [
      { type: 'peer_paused', pause: { reason: 'pool_down', fromHeight: HEIGHT, untilHeight: undefined } },
    ]);
    expect(isPausedAt(heard, HEIGHT)).toBe(true);
    expect(isPausedAt(said(miner, [{ type: 'peer_resumed' }]), HEIGHT)).toBe(false);
  });
});

describe('a notice of the end', () => {
  const sign = (height: number): string => height.toString(16).padStart(128, '0');
  const given: NoticeEvent = { type: 'end_given', sign };

  it('counts once the other side has it, and is given once', () => {
    const waiting = said(miner, [given]);
    expect(noticedEnd(waiting)).toBe(Number.POSITIVE_INFINITY);
    const taken = transition(miner, waiting, { type: 'end_taken' }, HEIGHT + 1).state;
    expect(noticedEnd(taken)).toBe(HEIGHT + 100);
    expect(transition(miner, taken, given, HEIGHT + 50).state).toBe(taken);
    expect(refusal(maker, taken, given, HEIGHT)).toBe('wrong_status');
  });

  it('is heard where it is as far ahead as the terms say, within what two tips differ', () => {
    const heard = (height: number): NoticeEvent => ({
      ...{ type: 'end_heard', height, signature: sign(height) },
    });
    expect(refusal(maker, NO_NOTICES, heard(HEIGHT + 97))).toBe('notice_refused');
    const taken = said(maker, [heard(HEIGHT + 98)]);
    expect(noticedEnd(taken)).toBe(HEIGHT + 98);
    // Told again after a restart of the other side, however late; another one is not taken.
    expect(transition(maker, taken, heard(HEIGHT + 98), HEIGHT + 97).state).toBe(taken);
    expect(refusal(maker, taken, heard(HEIGHT + 99))).toBe('wrong_status');
  });

  it('is refused in terms that know none', () => {
    expect(refusal(free, NO_NOTICES, given)).toBe('notice_refused');
    expect(refusal(free, NO_NOTICES, { type: 'end_heard', height: HEIGHT * 2, signature: sign(1) })).toBe(
      'notice_refused',
    );
  });
});

describe('all notices', () => {
  it('never let the allowance be passed, an end be taken back, or what was given up come back (I36)', () => {
    const anySaid = fc.array(fc.constantFrom(...NOTICES), { maxLength: 30 });
    fc.assert(
      fc.property(anySaid, fc.constantFrom('miner' as const, 'maker' as const), (all, role) => {
        const options = { ...miner, role };
        let state = NO_NOTICES;
        let height = HEIGHT;
        for (const each of all as readonly Said[]) {
          height += each.blocks;
          const before = state;
          try {
            state = transition(options, state, each.event(height, state), height).state;
          } catch (error) {
            expect(['notice_refused', 'wrong_status']).toContain(codeOf(error));
          }
          expect(state.noticedBlocks + (state.untold?.blocks ?? 0)).toBeLessThanOrEqual(60);
          expect(noticedEnd(state)).toBeLessThanOrEqual(noticedEnd(before));
          expect(state.curtailedBlocks).toBeGreaterThanOrEqual(before.curtailedBlocks);
          if (before.writtenOffSat !== undefined) expect(state.writtenOffSat).toBe(before.writtenOffSat);
        }
      }),
    );
  });
});
