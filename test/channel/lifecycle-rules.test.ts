import { describe, expect, it } from 'vitest';
import { closingOf, isDelivering, isSettled, isTooLateToOpen } from '../../src/channel/lifecycle.ts';
import {
  type Fault,
  type LifecycleEvent,
  type LifecycleRole,
  type LifecycleState,
  UNSIGNED,
} from '../../src/channel/lifecycle-state.ts';
import { EH } from './fixtures.ts';
import {
  built,
  EXPIRY,
  isAct,
  Life,
  MARGINS,
  opened,
  opening,
  optionsFor,
  START,
  spent,
  stored,
  TERMS,
  tip,
  unspent,
  workOf,
} from './lifecycle-model.ts';

const ROLES = ['miner', 'maker'] as const;

function live(role: LifecycleRole): Life {
  const life = new Life(optionsFor(role));
  life.run(opened(role));
  return life;
}

/** The acts of some events. */
function acts(life: Life, ...events: readonly LifecycleEvent[]): string[] {
  return events.flatMap((event) => {
    life.step(event);
    return life.last.filter(isAct).map(({ type }) => type);
  });
}

const broken = (code: string): LifecycleEvent => ({ type: 'broken', code });
const suspended = (code: string): LifecycleEvent => ({ type: 'suspended', code });
const STALL = suspended('chain_stalled');
/** The first block that cannot make a funding deep in time: 15 before the expiry nothing begins. */
const LATE = EXPIRY - 15 - 1 - TERMS.minDepth + 1;

describe('a fault', () => {
  /** Of which of two faults, one after the other, the code is kept. */
  const kept = (...faults: readonly LifecycleEvent[]): string | undefined => {
    const life = live('miner');
    life.run(faults);
    return life.state.fault?.code;
  };

  it('is the first of its kind; a proof comes before what is ours, and anything before a stall', () => {
    expect(kept(suspended('a'), suspended('b'))).toBe('a');
    expect(kept(broken('a'), broken('b'))).toBe('a');
    expect(kept(broken('a'), suspended('b'))).toBe('a');
    expect(kept(suspended('a'), broken('b'))).toBe('b');
    expect(kept(STALL, suspended('b'))).toBe('b');
    expect(kept(STALL, broken('b'))).toBe('b');
    expect(kept(broken('a'), STALL)).toBe('a');
  });

  it('is over once that is said of it, or of any; a proof never', () => {
    const resumed = (code?: string): LifecycleEvent => ({
      type: 'resumed',
      ...(code === undefined ? {} : { code }),
    });
    expect(kept(suspended('a'), resumed())).toBeUndefined();
    expect(kept(suspended('a'), resumed('a'))).toBeUndefined();
    expect(kept(suspended('a'), resumed('b'))).toBe('a');
    expect(kept(broken('a'), resumed(), resumed('a'))).toBe('a');
  });

  it('of a chain that stands still stops no payment by the maker, and has the miner do nothing', () => {
    const maker = live('maker');
    maker.step(STALL);
    expect(acts(maker, workOf(EH))).toEqual(['sign_state']);
    expect(acts(maker, stored(1, EH))).toContain('offer_state');
    const other = live('maker');
    other.step(suspended('ledger_io'));
    expect(acts(other, workOf(EH))).toEqual([]);
    const miner = live('miner');
    miner.step(STALL);
    expect(acts(miner, workOf(EH), stored(1, EH), { type: 'close_requested' })).toEqual(['persist']);
    const metered = new Life(optionsFor('maker', { hasChannel: false }));
    metered.run([{ type: 'contract_signed' }, { type: 'connected' }]);
    metered.step(STALL);
    expect(acts(metered, { type: 'peer_ready' }, workOf(EH))).toEqual([]);
  });
});

describe('when a miner closes', () => {
  const close = (change: Partial<LifecycleState>, height: number, coinDepth?: number) =>
    closingOf(optionsFor('miner'), { ...live('miner').state, ...change }, height, coinDepth);
  const suspension: Fault = { type: 'suspended', code: 'ledger_io' };

  it('a funding that came late, once it is in a block and not before', () => {
    for (const status of ['opening', 'funding'] as const) {
      expect(close({ status }, LATE, undefined)).toBeUndefined();
      expect(close({ status }, LATE, 0)).toBeUndefined();
      expect(close({ status }, LATE + 1, 1)).toBe('now');
      expect(close({ status }, LATE - 9, 1)).toBeUndefined();
    }
    expect(close({ status: 'open' }, LATE + 1, 1)).toBeUndefined();
  });

  it('what was asked for, once its time is over; while it is suspended only where it would ask', () => {
    const askedHeight = START;
    const over = START + MARGINS.patienceBlocks;
    expect(close({ askedHeight }, over - 1)).toBeUndefined();
    expect(close({ askedHeight }, over)).toBe('overdue');
    expect(close({ askedHeight: undefined }, over)).toBeUndefined();
    expect(close({ askedHeight, isCurrent: false }, over)).toBeUndefined();
    expect(close({ askedHeight, fault: suspension }, over)).toBe('asking');
    expect(close({ fault: { type: 'broken', code: 'x' } }, START)).toBe('now');
  });

  it('is counted from where it was asked for, by the miner alone, and not beyond the end', () => {
    const together = built('together', 700n, 0);
    for (const role of ROLES) {
      const life = live(role);
      life.step({ type: 'disconnected' });
      life.step(together);
      expect(life.state.askedHeight).toBe(role === 'miner' ? START + 2 : undefined);
      life.step(tip(START + 9, spent(0)));
      expect(life.state).toMatchObject({
        status: 'closing',
        stream: { status: expect.not.stringMatching('ended') },
      });
      expect(life.state.askedHeight).toBe(role === 'miner' ? START + 2 : undefined);
      life.step(tip(START + 12, spent(3)));
      expect(life.state).toMatchObject({ status: 'closed', stream: { status: 'ended' } });
      expect(life.state.askedHeight).toBeUndefined();
    }
  });
});

describe('a close that the maker refuses', () => {
  it('lets the stream go on as if nobody had asked, in an open contract', () => {
    const life = live('miner');
    life.step({ type: 'evidence', isDrained: true });
    expect(acts(life, { type: 'close_requested' })).toEqual(['ask_close']);
    expect(life.state).toMatchObject({ askedHeight: START + 2, link: { isCloseAsked: true } });
    expect(isDelivering(life.options, life.state)).toBe(false);
    life.step({ type: 'close_refused' });
    expect(life.state).toMatchObject({ askedHeight: undefined, link: { isCloseAsked: false } });
    expect(isDelivering(life.options, life.state)).toBe(true);
  });

  it('changes nothing once something was signed for the end', () => {
    const life = live('miner');
    life.run([{ type: 'close_requested' }, { type: 'close_signed', n: 0, feeSat: 700n }]);
    const before = life.state;
    life.step({ type: 'close_refused' });
    expect(life.state).toEqual(before);
  });
});

describe('a start', () => {
  it('takes a channel for one whose end is still watched, unless its record says that it is over', () => {
    const life = live('miner');
    expect(life.restarted().state.watch.isOver).toBe(false);
    life.run([tip(START + 3, spent(3)), tip(START + 11, spent(10))]);
    expect(life.state.watch.isOver).toBe(true);
    expect(life.restarted().state.watch.isOver).toBe(true);
  });

  it('is not too late for anything before it has seen a tip', () => {
    for (const role of ROLES) {
      const options = optionsFor(role);
      const { state } = live(role).restarted();
      expect(state.tipHeight).toBeUndefined();
      expect(isTooLateToOpen(options, state)).toBe(false);
      expect(isTooLateToOpen(options, { ...state, tipHeight: EXPIRY - 15 })).toBe(true);
    }
  });
});

describe('before there is a state', () => {
  it('nothing is offered to who connects, and nothing is owed', () => {
    for (const role of ROLES) {
      const life = new Life(optionsFor(role));
      expect(acts(life, { type: 'connected' }, { type: 'contract_signed' })).toEqual([]);
      expect(isSettled(life.options, life.state)).toBe(true);
      expect(life.state.link).toMatchObject({ offeredN: undefined });
    }
    expect(isSettled(optionsFor('maker'), UNSIGNED)).toBe(true);
    expect(isSettled(optionsFor('maker'), { ...live('maker').state, ackedN: -1 })).toBe(false);
  });
});

describe('the maker', () => {
  it('has paid all where the miner will not sign for the seal, over the link on which it said so', () => {
    const life = live('maker');
    life.run([{ type: 'state_acked', n: 0 }, workOf(EH + EH / 2n)]);
    life.run([stored(1, EH), { type: 'state_acked', n: 1 }, { type: 'close_requested' }]);
    expect(life.state.stream.status).toBe('ending');
    expect(isSettled(life.options, life.state)).toBe(false);
    life.step({ type: 'claim_refused' });
    expect(isSettled(life.options, life.state)).toBe(true);
    life.run([{ type: 'disconnected' }, { type: 'claim_refused' }, { type: 'connected' }]);
    expect(isSettled(life.options, life.state)).toBe(false);
    life.step({ type: 'seal_lost' });
    expect(isSettled(life.options, life.state)).toBe(true);
  });

  it('stores the state that was on its way when it signed a close, which the miner may not', () => {
    for (const role of ROLES) {
      const life = live(role);
      life.step(workOf(EH));
      life.step({ type: 'close_signed', n: 0, feeSat: 700n });
      const late = (): unknown => life.step(stored(1, EH));
      if (role === 'miner') expect(late).toThrow('the close is by state 0; state 1 comes too late');
      else expect(late).not.toThrow();
    }
  });

  it('is held back by no bound of the proxy', () => {
    for (const role of ROLES) {
      const life = live(role);
      life.step({ type: 'work', workHashes: 0n, isHeld: true });
      expect(life.state.stream.status).toBe(role === 'miner' ? 'paused' : 'live');
      life.step({ type: 'work', workHashes: 0n });
      expect(life.state).toMatchObject({ isHeld: false, stream: { status: 'live' } });
    }
  });
});

describe('nothing opens', () => {
  it('in the step that begins a close, however deep the funding is', () => {
    for (const [event, begun] of [
      [tip(START + 2, unspent(2)), ['send_ready']],
      [{ type: 'close_alone', height: START + 2, view: unspent(2) }, ['close_alone']],
    ] as const) {
      const life = new Life(optionsFor('miner'));
      life.run([...opening(), { type: 'funding_signed' }, tip(START, unspent(0)), { type: 'connected' }]);
      expect(acts(life, event)).toEqual(begun);
    }
  });

  it('without a channel before the other side is there, and all ends with it', () => {
    for (const role of ROLES) {
      const life = new Life(optionsFor(role, { hasChannel: false }));
      life.run([{ type: 'contract_signed' }, { type: 'connected' }]);
      expect(life.state.status).toBe('proposed');
      expect(isDelivering(life.options, life.state)).toBe(false);
      life.step({ type: 'peer_ready' });
      expect(life.state.status).toBe('open');
      life.step({ type: 'close_requested' });
      expect(life.state).toMatchObject({ status: 'closed', stream: { status: 'ended' } });
    }
  });
});
