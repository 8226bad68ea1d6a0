import { describe, expect, it } from 'vitest';
import type { ChannelView } from '../../src/chain/watcher.ts';
import { isDelivering, isEnded, isSettled, isSpent, transition } from '../../src/channel/lifecycle.ts';
import type {
  LifecycleEffect,
  LifecycleEvent,
  LifecycleOptions,
} from '../../src/channel/lifecycle-state.ts';
import { LADDER } from '../chain/watch-model.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { code, EH, SEAL } from './fixtures.ts';
import {
  built,
  CANCEL,
  EMPTY_VIEW,
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

const acts = (effects: readonly LifecycleEffect[]): string[] =>
  effects.filter(isAct).map(({ type }) => type);

function live(role: 'miner' | 'maker'): Life {
  const life = new Life(optionsFor(role));
  life.run(opened(role));
  expect(life.state).toMatchObject({ status: 'open', fault: undefined });
  return life;
}

/** The acts of one event. */
function act(life: Life, event: LifecycleEvent): string[] {
  life.step(event);
  return acts(life.last);
}

/** From a spend in the mempool to the block from which nothing is watched. */
function watchToTheEnd(life: Life, from: number): void {
  expect(act(life, tip(from, spent(0)))).not.toContain('final');
  expect(isSpent(life.state)).toBe(true);
  expect(act(life, tip(from + 2, spent(2)))).not.toContain('final');
  expect(act(life, tip(from + 3, spent(3)))).toEqual(['persist', 'final']);
  expect(life.state).toMatchObject({ status: 'closed', stream: { status: 'ended' } });
  expect(isEnded(life.state)).toBe(true);
  expect(act(life, tip(from + 9, spent(9)))).toEqual([]);
  expect(act(life, tip(from + 10, spent(10)))).toEqual(['over']);
  expect(act(life, tip(from + 11, spent(11)))).toEqual([]);
}

describe('the opening', () => {
  it('of the miner: ready first, feeds once the maker is', () => {
    const life = new Life(optionsFor('miner'));
    expect(life.run(opening())).toEqual(['persist']);
    expect(act(life, { type: 'funding_signed' })).toEqual(['persist']);
    expect(act(life, { type: 'connected' })).toEqual([]);
    expect(act(life, tip(START, { ...EMPTY_VIEW, canResend: true }))).toEqual(['send_funding']);
    expect(act(life, tip(START + 1, unspent(1)))).toEqual([]);
    expect(act(life, tip(START + 2, unspent(2)))).toEqual(['send_ready']);
    expect(act(life, { type: 'ready_answered' })).toEqual([]);
    expect(isDelivering(life.options, life.state)).toBe(false);
    expect(act(life, { type: 'peer_ready' })).toEqual(['persist', 'start_feed']);
    expect(isDelivering(life.options, life.state)).toBe(true);
  });

  it('of the maker: open as soon as the miner is ready, and says so then', () => {
    const life = new Life(optionsFor('maker'));
    life.run(opening());
    life.run([{ type: 'funding_signed' }, { type: 'connected' }]);
    expect(act(life, tip(START + 2, unspent(2)))).toEqual([]);
    expect(act(life, { type: 'peer_ready' })).toEqual(['persist', 'send_ready']);
    expect(life.state.status).toBe('open');
  });

  it('is given up while nothing is signed, and not after', () => {
    for (const role of ['miner', 'maker'] as const) {
      const life = new Life(optionsFor(role));
      life.run(opening());
      expect(act(life, { type: 'opening_given_up', reason: 'too late' })).toEqual(['persist']);
      expect(life.state).toMatchObject({ status: 'failed', reason: 'too late' });
      expect(act(life, { type: 'connected' })).toEqual([]);
      expect(act(life, tip(EXPIRY, unspent(5)))).toEqual([]);
      expect(code(() => live(role).step({ type: 'opening_given_up', reason: '' }))).toBe('wrong_status');
    }
  });

  it('the chain may show the funding before the answer that signs it has come', () => {
    const life = new Life(optionsFor('miner'));
    life.run(opening());
    expect(act(life, tip(START, unspent(0)))).toEqual(['persist']);
    expect(life.state.status).toBe('funding');
    expect(act(life, { type: 'funding_signed' })).toEqual([]);
    expect(life.state.status).toBe('funding');
  });

  /** The first block that cannot make a funding deep in time: 15 before the expiry nothing begins. */
  const LATE = EXPIRY - 15 - 1 - TERMS.minDepth + 1;
  const withCancel = (view: ChannelView): ChannelView => ({ ...view, cancel: CANCEL });

  it('a maker that keeps its signatures back: the miner takes its coin back, and is done when that is deep', () => {
    const life = new Life(optionsFor('miner'));
    life.run(opening());
    expect(act(life, tip(LATE - 1, withCancel(EMPTY_VIEW)))).toEqual([]);
    expect(act(life, tip(LATE, withCancel(EMPTY_VIEW)))).toEqual(['cancel_funding']);
    expect(life.last).toContainEqual({ type: 'cancel_funding', feeSat: 220n });
    const view = (conflictDepth: number): ChannelView => ({ ...withCancel(EMPTY_VIEW), conflictDepth });
    expect(act(life, tip(LATE + 1, view(0)))).toEqual(['cancel_funding']);
    expect(act(life, tip(LATE + 2, view(2)))).toEqual([]);
    expect(act(life, tip(LATE + 3, view(3)))).toEqual(['persist']);
    expect(life.state).toMatchObject({
      status: 'closed',
      reason: 'a coin of the funding was spent elsewhere',
    });
    expect(act(life, tip(LATE + 4, view(4)))).toEqual([]);
    expect(act(life, tip(LATE + 10, view(10)))).toEqual(['over']);
  });

  it('a funding that waits too long is outbid, more each block, up to half of what is taken back', () => {
    for (const role of ['miner', 'maker'] as const) {
      const life = new Life(optionsFor(role));
      life.run([...opening(), { type: 'funding_signed' }]);
      const fees = [0, 1, 2, 3, 4, 5, 6, 7].map((later) => {
        life.step(tip(LATE + later, withCancel(unspent(0))));
        const effect = life.last.find(({ type }) => type === 'cancel_funding');
        return effect?.type === 'cancel_funding' ? effect.feeSat : undefined;
      });
      expect(fees).toEqual([710n, 1_065n, 1_598n, 2_398n, 3_597n, 5_000n, 5_000n, 5_000n]);
    }
  });

  it('a funding that the maker refuses to sign is cancelled whatever the height, by the miner', () => {
    const life = new Life(optionsFor('miner'));
    life.run(opening());
    expect(act(life, tip(START, withCancel(EMPTY_VIEW)))).toEqual([]);
    expect(act(life, { type: 'opening_refused' })).toEqual([]);
    expect(act(life, tip(START, withCancel(EMPTY_VIEW)))).toEqual(['cancel_funding']);
    // It has signed it all the same.
    expect(act(life, tip(START + 1, unspent(1)))).toEqual(['persist', 'close_alone']);
  });

  it('a funding that confirms all the same is closed by state 0 at once, and never opened', () => {
    const life = new Life(optionsFor('miner'));
    life.run(opening());
    expect(act(life, tip(LATE, withCancel(EMPTY_VIEW)))).toEqual(['cancel_funding']);
    expect(act(life, tip(LATE + 1, unspent(1)))).toEqual(['persist', 'close_alone']);
    const deep = new Life(optionsFor('miner'));
    deep.run([...opening(), { type: 'funding_signed' }, { type: 'connected' }]);
    expect(act(deep, tip(LATE + 2, unspent(2)))).toEqual(['close_alone']);
    expect(deep.state.status).not.toBe('open');
  });

  it('a channel is not opened near the expiry, however deep its funding is', () => {
    for (const role of ['miner', 'maker'] as const) {
      const life = new Life(optionsFor(role));
      life.run([...opening(), { type: 'funding_signed' }, tip(EXPIRY - 16, unspent(9))]);
      const before = life.state;
      const events: LifecycleEvent[] = [
        { type: 'connected' },
        { type: 'peer_ready' },
        { type: 'ready_answered' },
      ];
      for (const event of events) life.step(event);
      expect(life.state.status).toBe('open');
      const late = new Life(optionsFor(role), undefined, before);
      late.step(tip(EXPIRY - 15, unspent(10)));
      for (const event of events) expect(late.step(event)).not.toContain('send_ready');
      expect(late.state.status).toBe('funding');
    }
  });

  it('a funding that never confirms: the maker gives up at the expiry, and takes back what comes after', () => {
    const life = new Life(optionsFor('maker'));
    life.run(opening());
    life.step({ type: 'funding_signed' });
    expect(act(life, tip(EXPIRY - 1, EMPTY_VIEW))).toEqual([]);
    expect(act(life, tip(EXPIRY, EMPTY_VIEW))).toEqual(['persist']);
    expect(life.state).toMatchObject({ status: 'closed', reason: 'the funding never confirmed' });
    expect(act(life, tip(EXPIRY + 1, unspent(1)))).toEqual(['persist', 'reopened', 'refund']);
    expect(act(life, built('refund', 260n))).toEqual(['persist']);
    watchToTheEnd(life, EXPIRY + 2);
  });

  it('a funding that nobody used and the other side spent is closed like any other', () => {
    for (const role of ['miner', 'maker'] as const) {
      const life = new Life(optionsFor(role));
      life.run(opening());
      life.run([{ type: 'funding_signed' }, tip(START + 2, unspent(2))]);
      expect(act(life, tip(START + 3, spent(1, false)))).toEqual(['persist']);
      expect(life.state.status).toBe('closing');
      expect(act(life, tip(START + 5, spent(3, false)))).toEqual(['persist', 'final']);
    }
  });
});

describe('work and pay', () => {
  it('the maker signs a step, one at a time, and offers it until it is acked', () => {
    const life = live('maker');
    expect(act(life, workOf(EH - 1n))).toEqual([]);
    expect(act(life, workOf(EH))).toEqual(['sign_state']);
    expect(act(life, workOf(3n * EH))).toEqual([]);
    expect(act(life, stored(1, 3n * EH))).toEqual(['persist', 'offer_state']);
    expect(act(life, workOf(5n * EH))).toEqual([]);
    expect(act(life, { type: 'disconnected' })).toEqual([]);
    expect(act(life, { type: 'connected' })).toEqual(['send_ready', 'offer_state']);
    expect(act(life, { type: 'state_acked', n: 1 })).toEqual(['sign_state']);
    expect(life.last).toContainEqual({ type: 'sign_state', n: 2 });
  });

  it('where there is a seal its claim comes first; a refused one is asked for on the next connection', () => {
    const life = new Life(optionsFor('maker', { terms: { ...TERMS, seal: SEAL } }));
    life.run([...opening(), { type: 'claim_stored', n: 0 }, ...opened('maker').slice(opening().length)]);
    expect(act(life, workOf(EH))).toEqual(['ask_claim']);
    expect(act(life, { type: 'claim_refused' })).toEqual([]);
    expect(act(life, workOf(2n * EH))).toEqual([]);
    expect(isSettled(life.options, life.state)).toBe(true);
    life.step({ type: 'disconnected' });
    expect(act(life, { type: 'connected' })).toEqual(['send_ready', 'ask_claim']);
    expect(act(life, { type: 'claim_stored', n: 1 })).toEqual(['sign_state']);
    life.run([stored(1, 2n * EH), { type: 'state_acked', n: 1 }, { type: 'seal_lost' }]);
    expect(act(life, workOf(3n * EH))).toEqual([]);
  });

  it('the miner stops at three unpaid steps, and goes on when one is paid', () => {
    const life = live('miner');
    life.step(workOf(3n * EH - 1n));
    expect(isDelivering(life.options, life.state)).toBe(true);
    expect(life.step(workOf(3n * EH))).toEqual(['exposure_reached']);
    expect(isDelivering(life.options, life.state)).toBe(false);
    expect(life.step(stored(1, 2n * EH))).toEqual(['persist', 'exposure_cleared']);
    expect(isDelivering(life.options, life.state)).toBe(true);
    life.step({ ...workOf(3n * EH), isHeld: true } as LifecycleEvent);
    expect(isDelivering(life.options, life.state)).toBe(false);
  });

  it('the miner stops when a step is unpaid for too long', () => {
    const life = live('miner');
    life.step(workOf(EH));
    life.nowMs += 59_999;
    expect(life.step({ type: 'tick' })).toEqual([]);
    life.nowMs += 1;
    expect(life.step({ type: 'tick' })).toEqual(['exposure_reached']);
  });

  it('nothing is delivered while a reorganisation took the depth of the funding', () => {
    const life = live('miner');
    life.step(tip(START + 2, unspent(1)));
    expect(isDelivering(life.options, life.state)).toBe(false);
    life.step(tip(START + 3, unspent(2)));
    expect(isDelivering(life.options, life.state)).toBe(true);
  });
});

describe('the end', () => {
  it('together, as the miner sees it: asked for once all evidence is judged, once on each connection', () => {
    const life = live('miner');
    expect(act(life, { type: 'close_requested' })).toEqual([]);
    expect(act(life, { type: 'evidence', isDrained: true })).toEqual(['ask_close']);
    expect(act(life, { type: 'evidence', isDrained: true })).toEqual([]);
    expect(act(life, { type: 'close_signed', n: 0, feeSat: 200n })).toEqual(['persist']);
    expect(life.state).toMatchObject({ status: 'closing', reason: 'cooperative' });
    life.step({ type: 'disconnected' });
    expect(act(life, { type: 'connected' })).toEqual(['ask_close']);
    expect(act(life, built('together', 200n))).toEqual(['persist']);
    expect(act(life, tip(START + 5, unspent(5)))).toEqual(['send_close']);
    watchToTheEnd(life, START + 6);
  });

  it('together, as the maker sees it: the rest is signed, then it is settled', () => {
    const life = live('maker');
    life.step(workOf(EH / 2n));
    expect(isSettled(life.options, life.state)).toBe(true);
    expect(act(life, { type: 'close_requested' })).toEqual(['sign_state']);
    expect(isSettled(life.options, life.state)).toBe(false);
    life.run([stored(1, EH / 2n), { type: 'state_acked', n: 1 }]);
    expect(isSettled(life.options, life.state)).toBe(true);
    expect(act(life, built('together', 200n))).toEqual(['persist']);
    watchToTheEnd(life, START + 5);
  });

  it('comes with the last of the work', () => {
    const life = live('maker');
    expect(life.step(workOf(11n * EH))).toEqual(['ending', 'sign_due', 'sign_state']);
    expect(life.run([stored(1, 10n * EH), { type: 'state_acked', n: 1 }])).toContain('settled');
  });

  it('alone: for what the terms let it cost, unless this side says otherwise', () => {
    const terms = makeTermsV3({ feeCaps: [{ blocksLeft: 0, ppm: 20_000 }] });
    const saved = { outputSat: 100_000n, dustSat: 294n };
    const paid = (margins: LifecycleOptions['margins']): bigint => {
      const life = new Life(optionsFor('miner', { margins }));
      life.run(opened('miner'));
      const height = EXPIRY - MARGINS.broadcastBlocks;
      const view = { ...unspent(9), satPerKvb: 500_000, saved };
      const options = { ...life.options, terms: { ...terms, expiryHeight: EXPIRY, minDepth: 2 } };
      const { effects } = transition(options, life.state, tip(height, view), 0);
      const found = effects.find((effect) => effect.type === 'close_alone');
      return LADDER[found?.type === 'close_alone' ? found.rung : -1]!.feeSat;
    };
    expect(paid(MARGINS)).toBe(LADDER[1]!.feeSat);
    expect(paid({ ...MARGINS, feeCaps: [{ blocksLeft: 0, ppm: 60_000 }] })).toBe(LADDER[2]!.feeSat);
  });

  it('alone: no new work at the first deadline, the newest state at the second, a rung more where it waits', () => {
    const life = live('miner');
    life.step(workOf(EH));
    expect(act(life, tip(EXPIRY - 16, unspent(9)))).toEqual([]);
    expect(isDelivering(life.options, life.state)).toBe(true);
    expect(life.step(tip(EXPIRY - 15, unspent(9)))).toEqual(['ending']);
    expect(isDelivering(life.options, life.state)).toBe(false);
    expect(act(life, tip(EXPIRY - 9, unspent(9)))).toEqual([]);
    expect(act(life, tip(EXPIRY - 8, unspent(9)))).toEqual(['close_alone']);
    // Where it could not be built it is asked for again.
    expect(act(life, tip(EXPIRY - 7, unspent(9)))).toEqual(['close_alone']);
    expect(act(life, built('state', 1_325n))).toEqual(['persist']);
    expect(life.state).toMatchObject({ status: 'closing', reason: 'alone' });
    expect(act(life, tip(EXPIRY - 7, unspent(9)))).toEqual(['send_close']);
    expect(act(life, tip(EXPIRY - 3, spent(0)))).toEqual(['close_alone']);
    expect(life.last).toContainEqual({ type: 'close_alone', rung: 2 });
    life.step(built('state', 5_300n));
    watchToTheEnd(life, EXPIRY - 2);
  });

  it('alone by hand, at any height, and nothing more is sold from then on', () => {
    const life = live('miner');
    life.step({ type: 'evidence', isDrained: true });
    expect(act(life, { type: 'close_alone', height: START + 3, view: unspent(3) })).toEqual([
      'close_alone',
    ]);
    expect(isDelivering(life.options, life.state)).toBe(false);
  });

  it('nothing opens that a deadline closes', () => {
    for (const role of ['miner', 'maker'] as const) {
      const life = new Life(optionsFor(role));
      life.run([...opening(), { type: 'funding_signed' }, { type: 'connected' }, { type: 'peer_ready' }]);
      const due = role === 'miner' ? 'close_alone' : 'refund';
      expect(act(life, tip(EXPIRY, unspent(2)))).toEqual([due]);
      expect(life.state.status).toBe('funding');
    }
  });

  it('by the refund of the maker, at the expiry and not a block before', () => {
    const life = live('maker');
    expect(act(life, tip(EXPIRY - 1, unspent(9)))).toEqual([]);
    expect(act(life, tip(EXPIRY, unspent(9)))).toEqual(['refund']);
    expect(act(life, built('refund', 260n))).toEqual(['persist']);
    expect(life.state).toMatchObject({ status: 'closing', reason: 'refund' });
    watchToTheEnd(life, EXPIRY + 1);
  });

  it('by a state of the miner, which the maker only watches', () => {
    const life = live('maker');
    expect(act(life, tip(START + 9, spent(0, false)))).toEqual(['persist']);
    expect(life.state).toMatchObject({ status: 'closing', reason: 'spent by the miner' });
    watchToTheEnd(life, START + 10);
  });

  it('that a reorganisation undoes is made again', () => {
    const life = live('miner');
    life.run([built('state'), tip(START + 9, spent(3))]);
    expect(life.state.status).toBe('closed');
    expect(act(life, tip(START + 9, unspent(9)))).toEqual(['persist', 'reopened', 'send_close']);
    watchToTheEnd(life, START + 10);
  });

  it('a close that was built too late is kept, and opens nothing again', () => {
    const life = live('miner');
    life.step({ type: 'close_alone', height: START + 3, view: unspent(3) });
    life.run([tip(START + 4, spent(1, false)), tip(START + 6, spent(3, false))]);
    expect(act(life, built('state'))).toEqual(['persist']);
    expect(life.state).toMatchObject({ status: 'closed', reason: 'spent by the other side' });
    expect(act(life, tip(START + 6, unspent(8)))).toEqual(['persist', 'reopened', 'send_close']);
  });

  it('half of a close does not take the place of a whole one', () => {
    const life = live('miner');
    life.step(built('state'));
    expect(act(life, { type: 'close_signed', n: 0, feeSat: 200n })).toEqual([]);
    expect(life.state.close).toMatchObject({ kind: 'state', transactionHex: 'state:1325' });
  });
});

describe('a contract without a channel', () => {
  const events: readonly LifecycleEvent[] = [{ type: 'contract_signed' }, { type: 'connected' }];
  it('is open while both are there, and closed when either wants it, whatever is wrong here', () => {
    for (const role of ['miner', 'maker'] as const) {
      const life = new Life(optionsFor(role, { hasChannel: false }));
      expect(life.run(events)).toEqual(['send_ready']);
      expect(act(life, { type: 'peer_ready' })).toEqual(['persist', 'start_feed']);
      expect(isDelivering(life.options, life.state)).toBe(true);
      expect(act(life, tip(EXPIRY, unspent(3)))).toEqual([]);
      life.step({ type: 'suspended', code: 'ledger_io' });
      expect(act(life, { type: 'close_requested' })).toEqual(['persist']);
      expect(life.state.status).toBe('closed');
      expect(life.run([{ type: 'resumed' }, { type: 'disconnected' }, { type: 'connected' }])).toEqual([]);
      const again = life.restarted();
      expect(again.run([{ type: 'connected' }, { type: 'peer_ready' }])).toEqual([]);
    }
  });

  it('stays failed where it was given up', () => {
    const life = new Life(optionsFor('miner', { hasChannel: false }));
    life.run([{ type: 'opening_given_up', reason: 'no' }, { type: 'close_requested' }, ...events.slice(1)]);
    expect(life.state.status).toBe('failed');
  });
});

describe('our own fault', () => {
  it('stops what is new, keeps what was stored, and goes on where it stood', () => {
    const life = live('maker');
    life.step(workOf(EH));
    expect(act(life, { type: 'suspended', code: 'ledger_io' })).toEqual([]);
    expect(act(life, workOf(2n * EH))).toEqual([]);
    expect(act(life, { type: 'resumed' })).toEqual(['sign_state']);
    expect(life.last).toContainEqual({ type: 'sign_state', n: 1 });
    expect(act(life, { type: 'broken', code: 'equivocation' })).toEqual(['persist']);
    expect(act(life, { type: 'broken', code: 'bad_signature' })).toEqual([]);
    expect(act(life, { type: 'suspended', code: 'ledger_io' })).toEqual([]);
    expect(act(life, { type: 'resumed' })).toEqual([]);
    expect(life.state.fault).toEqual({ type: 'broken', code: 'equivocation' });
  });

  it('an old state that is stored late does not make the next one be signed twice', () => {
    const life = live('maker');
    life.run([workOf(EH), stored(1, EH), { type: 'state_acked', n: 1 }]);
    expect(act(life, workOf(2n * EH))).toEqual(['sign_state']);
    expect(act(life, stored(1, EH))).toEqual([]);
    expect(act(life, stored(2, 2n * EH))).toEqual(['persist', 'offer_state']);
    expect(act(life, { type: 'state_acked', n: 1 })).toEqual([]);
  });
});

/** Lives in which every event is one that a driver sends; restarted at each of them. */
const SCRIPTS: Readonly<Record<string, { role: 'miner' | 'maker'; events: readonly LifecycleEvent[] }>> = {
  'miner, together': {
    role: 'miner',
    events: [
      ...opened('miner'),
      workOf(2n * EH),
      stored(1, EH),
      { type: 'evidence', isDrained: true },
      { type: 'close_requested' },
      { type: 'close_signed', n: 1, feeSat: 200n },
      built('together', 200n),
      ...[tip(START + 9, spent(0)), tip(START + 12, spent(3)), tip(START + 19, spent(10))],
    ],
  },
  'miner, alone': {
    role: 'miner',
    events: [
      ...opened('miner'),
      workOf(2n * EH),
      stored(1, EH),
      ...[tip(EXPIRY - 12, unspent(9)), tip(EXPIRY - 8, unspent(9)), built('state', 1_325n)],
      ...[
        tip(EXPIRY - 3, spent(0)),
        built('state', 21_200n),
        tip(EXPIRY, spent(3)),
        tip(EXPIRY, unspent(9)),
      ],
      ...[tip(EXPIRY + 4, spent(3)), tip(EXPIRY + 11, spent(10))],
    ],
  },
  'miner, given up': {
    role: 'miner',
    events: [...opening(), { type: 'opening_given_up', reason: 'too late' }, tip(START, EMPTY_VIEW)],
  },
  'maker, together': {
    role: 'maker',
    events: [
      ...opened('maker'),
      ...[workOf(2n * EH), stored(1, 2n * EH), { type: 'state_acked', n: 1 } as const, workOf(3n * EH)],
      ...[stored(2, 3n * EH), { type: 'state_acked', n: 2 } as const, { type: 'close_requested' } as const],
      ...[built('together', 200n), tip(START + 9, spent(0)), tip(START + 19, spent(10))],
    ],
  },
  'maker, refund': {
    role: 'maker',
    events: [
      ...opened('maker'),
      ...[workOf(2n * EH), { type: 'broken', code: 'equivocation' } as const, tip(EXPIRY - 1, unspent(9))],
      ...[
        tip(EXPIRY, unspent(9)),
        built('refund', 260n),
        tip(EXPIRY + 1, spent(0)),
        tip(EXPIRY + 10, spent(9)),
      ],
    ],
  },
  'maker, never confirmed': {
    role: 'maker',
    events: [
      ...[...opening(), { type: 'funding_signed' } as const, tip(START, EMPTY_VIEW)],
      ...[tip(EXPIRY, EMPTY_VIEW), tip(EXPIRY + 1, unspent(1)), built('refund', 260n)],
    ],
  },
};

/** What happens again after a start, and by itself: a look at the chain, a connection, what people want. */
function comingBack(life: Life, until: readonly LifecycleEvent[]): LifecycleEvent[] {
  const newest = (type: LifecycleEvent['type']): LifecycleEvent[] =>
    until.filter((e) => e.type === type).slice(-1);
  const isAgreed = life.state.status !== 'proposed' && life.state.status !== 'opening';
  const link: LifecycleEvent[] = isAgreed ? [{ type: 'connected' }, { type: 'peer_ready' }] : [];
  const answered = life.options.role === 'miner' && isAgreed ? [{ type: 'ready_answered' } as const] : [];
  // What could wait for the other side has waited.
  const asked: LifecycleEvent = { type: 'peer_silent' };
  return [
    asked,
    ...newest('tip'),
    ...newest('close_requested'),
    ...link,
    ...answered,
    ...newest('evidence'),
  ];
}

describe('a start', () => {
  const PATIENCE = MARGINS.patienceBlocks;
  /** A miner that asked for the close, and was not answered; then it starts anew. */
  function unanswered(): Life {
    const life = new Life(optionsFor('miner'));
    life.run([...opened('miner'), tip(START + 3, unspent(3)), { type: 'close_requested' }]);
    life.run([{ type: 'evidence', isDrained: true }, { type: 'disconnected' }]);
    expect(life.state.askedHeight).toBe(START + 3);
    return life.restarted();
  }
  const late = tip(START + 3 + PATIENCE, unspent(3 + PATIENCE));

  it.each<[string, LifecycleEvent]>([
    ['shows its state', { type: 'connected' }],
    ['had its time to', { type: 'peer_silent' }],
  ])('closes alone by no deadline before the maker %s', (_what, asked) => {
    const life = unanswered();
    expect(life.run([late, late])).not.toContain('close_alone');
    expect(life.run([asked, { type: 'disconnected' }, late])).toContain('close_alone');
  });

  it('closes at its deadline, whether the maker was asked or not', () => {
    const height = EXPIRY - MARGINS.broadcastBlocks;
    expect(unanswered().run([tip(height - 1, unspent(9))])).not.toContain('close_alone');
    expect(unanswered().run([tip(height, unspent(9))])).toContain('close_alone');
  });

  for (const [name, { role, events }] of Object.entries(SCRIPTS)) {
    it(`at any point goes on as if there had been none: ${name}`, () => {
      for (let at = 1; at <= events.length; at += 1) {
        const life = new Life(optionsFor(role));
        life.run(events.slice(0, at));
        const again = life.restarted();
        const rest = [...comingBack(life, events.slice(0, at)), ...events.slice(at)];
        // What a start is to one that goes on: the connection ends, and nothing is being signed any more.
        life.run([{ type: 'suspended', code: 'restart' }, { type: 'disconnected' }, { type: 'resumed' }]);
        const ofRest = (each: Life): string[] =>
          each.steps.slice(-rest.length).flatMap(({ effects }) => acts(effects));
        const isSigning = life.last.some(({ type }) => type === 'sign_state');
        life.run(rest);
        again.run(rest);
        const wanted = [...(isSigning ? ['sign_state'] : []), ...ofRest(life)];
        expect(ofRest(again), `after event ${at}`).toEqual(wanted);
        for (const key of ['status', 'reason', 'close', 'fault', 'ackedN'] as const) {
          expect(again.state[key], `after event ${at}`).toEqual(life.state[key]);
        }
        expect(again.state.stream.signed).toEqual(life.state.stream.signed);
      }
    });
  }
});
