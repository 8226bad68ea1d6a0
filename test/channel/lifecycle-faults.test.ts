import { describe, expect, it } from 'vitest';
import { closingOf, isDelivering, transition } from '../../src/channel/lifecycle.ts';
import {
  ACCEPTED_IN,
  LIFECYCLE_STATUSES,
  type LifecycleEffect,
  type LifecycleEvent,
  type LifecycleState,
  type LifecycleStatus,
  UNSIGNED,
} from '../../src/channel/lifecycle-state.ts';
import { bondsOf } from '../../src/contract/bond-terms.ts';
import { NO_NOTICES } from '../../src/contract/notices.ts';
import { forfeitsBond, isAtStake } from '../../src/contract/vesting.ts';
import { code } from './fixtures.ts';
import {
  always,
  built,
  EXPIRY,
  Life,
  MARGINS,
  optionsFor,
  RUNS,
  type Step,
  stored,
  tip,
  unspent,
  workOf,
} from './lifecycle-model.ts';

const types = (effects: readonly LifecycleEffect[]): string[] => effects.map(({ type }) => type);
const NO_NEW_OBLIGATION = [
  'send_ready',
  'start_feed',
  'ask_claim',
  'sign_state',
  'offer_state',
  'ask_close',
];

/** The statuses in which this side may have money in an output. */
function hasOutput({ state, options }: Life): boolean {
  const isMiner = options.role === 'miner';
  const statuses = ['funding', 'open', 'closing', 'closed', ...(isMiner ? ['opening'] : [])];
  return options.hasChannel && statuses.includes(state.status) && !state.watch.isOver;
}

describe('whatever came before', () => {
  it('the deadline closes: the miner alone before the expiry, the maker from it on', () => {
    let closes = 0;
    always(
      () => {},
      (life) => {
        if (!hasOutput(life)) return;
        closes += 1;
        const { options, nowMs } = life;
        const isMiner = options.role === 'miner';
        const height = isMiner ? EXPIRY - MARGINS.broadcastBlocks : EXPIRY;
        const event = tip(height, unspent(options.terms.minDepth));
        const closing = (change: Partial<LifecycleState>): readonly LifecycleEffect[] => {
          const { effects } = transition(options, { ...life.state, ...change }, event, nowMs);
          return effects.filter(({ type }) => ['close_alone', 'send_close', 'refund'].includes(type));
        };
        const due = closing({});
        expect(due).toHaveLength(1);
        if (isMiner) expect(['close_alone', 'send_close']).toContain(due[0]!.type);
        // A close that both signed has its time first; then the maker takes everything back.
        else if (due[0]!.type === 'send_close') {
          // The random heights before may lie above this one.
          for (let more = 0; more <= 15 + MARGINS.finalDepth; more += 1) {
            life.step(tip(height + more, { ...unspent(3), satPerKvb: 200_000 }));
          }
          expect(types(life.last)).toContain('refund');
        }
        for (const type of ['suspended', 'broken'] as const) {
          expect(closing({ fault: { type, code: 'ledger_io' } })).toEqual(due);
        }
      },
    );
    expect(closes).toBeGreaterThan(RUNS / 3);
  });

  it('a fault brings no new obligation, and does not close before its time', () => {
    always(({ options, before, event, after, effects }) => {
      if (after.fault === undefined) return;
      expect(types(effects).filter((type) => NO_NEW_OBLIGATION.includes(type))).toEqual([]);
      expect(isDelivering(options, after)).toBe(false);
      if (event.type !== 'tip' || EXPIRY - event.height <= MARGINS.askBlocks) return;
      const isUntouched = before.status === 'funding' || before.status === 'open';
      // A funding that came too late is closed at once, fault or not.
      const from = closingOf(options, before, event.height, event.view.coinDepth);
      if (!isUntouched || from !== 'asking') return;
      expect(types(effects)).not.toContain('close_alone');
    });
  });

  it('only a proof closes at once, and only where that forfeits nothing', () => {
    always(({ options, after: { fault, stream }, after }) => {
      const from = closingOf({ ...options, margins: { ...MARGINS, patienceBlocks: 99 } }, after, EXPIRY);
      if (fault === undefined) expect(from).toBeUndefined();
      if (fault?.type === 'suspended') expect(from).toBe('asking');
      if (fault?.type !== 'broken') return;
      const isForfeited = bondsOf(options.terms).bondMode === 'forfeit_to_mm';
      const costs = isForfeited && isAtStake(options.terms, stream.signed?.workHashes ?? 0n);
      expect(from).toBe(costs ? 'asking' : 'now');
    });
  });

  it('a close that was asked for has its time, and no more: then the miner closes alone', () => {
    let overdue = 0;
    always(({ options, event, after, effects }) => {
      if (event.type !== 'tip' || options.role === 'maker') return;
      const { askedHeight, fault, stream, watch, close } = after;
      if (askedHeight === undefined || event.height - askedHeight < MARGINS.patienceBlocks) return;
      const isForfeited = forfeitsBond(options.terms, stream.signed?.workHashes ?? 0n);
      const isThere = watch.outputStatus === 'unspent' && (event.view.coinDepth ?? 0) > 0;
      if (isForfeited || fault?.type === 'suspended' || !isThere || close?.kind === 'state') return;
      overdue += 1;
      expect(types(effects)).toContain('close_alone');
    });
    expect(overdue).toBeGreaterThan(0);
  });

  it('no state counts as paid that the close does not pay', () => {
    let late = 0;
    const ofMiner = ({ options, after: { close, stream } }: Pick<Step, 'options' | 'after'>): boolean => {
      if (options.role !== 'miner' || close?.n === undefined) return false;
      expect(stream.signed!.n).toBeLessThanOrEqual(close.n);
      return true;
    };
    always(
      (step) => ofMiner(step),
      ({ options, state, nowMs }) => {
        if (!ofMiner({ options, after: state })) return;
        late += 1;
        const { n = 0 } = state.close!;
        const next = stored(n + 1, options.terms.workTotalHashes);
        expect(code(() => transition(options, state, next, nowMs))).toBe('wrong_status');
      },
    );
    expect(late).toBeGreaterThan(0);
  });

  it('a proof stays, and our own fault passes', () => {
    always(({ before, event, after }) => {
      if (before.fault?.type === 'broken') expect(after.fault).toEqual(before.fault);
      if (before.fault === undefined && event.type !== 'suspended' && event.type !== 'broken')
        expect(after.fault).toBeUndefined();
      if (event.type === 'resumed') expect(after.fault?.type).not.toBe('suspended');
    });
  });

  it('a chain that stands still passes by itself, and only that; a lasting fault takes its place', () => {
    const fault = (events: readonly LifecycleEvent[]): string | undefined => {
      const life = new Life(optionsFor('miner'));
      life.run(events);
      return life.state.fault?.code;
    };
    const stalled = { type: 'suspended', code: 'chain_stalled' } as const;
    const failed = { type: 'suspended', code: 'ledger_io' } as const;
    const again = { type: 'resumed', code: 'chain_stalled' } as const;
    expect(fault([stalled])).toBe('chain_stalled');
    expect(fault([stalled, again])).toBeUndefined();
    expect(fault([stalled, failed, again])).toBe('ledger_io');
    expect(fault([failed, stalled, again])).toBe('ledger_io');
    expect(fault([stalled, { type: 'broken', code: 'equivocation' }, again])).toBe('equivocation');
  });

  it('an event is taken where the table says so, and refused with wrong_status elsewhere', () => {
    const refused = new Set<string>();
    always(
      () => {},
      ({ options, state, nowMs }) => {
        for (const [type, statuses] of Object.entries(ACCEPTED_IN)) {
          const event = ANY_EVENT[type as LifecycleEvent['type']];
          if (statuses.includes(state.status)) transition(options, state, event, nowMs);
          else {
            expect(code(() => transition(options, state, event, nowMs))).toBe('wrong_status');
            refused.add(`${type} ${state.status}`);
          }
        }
      },
    );
    const all = Object.values(ACCEPTED_IN).flatMap((statuses) =>
      LIFECYCLE_STATUSES.filter((status) => !statuses.includes(status)),
    );
    expect(refused.size).toBe(all.length);
  });
});

const POINT = stored(0, 0n) as LifecycleEvent;
const ANY_EVENT: Readonly<Record<LifecycleEvent['type'], LifecycleEvent>> = {
  contract_signed: { type: 'contract_signed' },
  opening_agreed: { type: 'opening_agreed', n: 0, workHashes: 0n, paidSat: 0n },
  funding_signed: { type: 'funding_signed' },
  opening_refused: { type: 'opening_refused' },
  opening_given_up: { type: 'opening_given_up', reason: 'too late' },
  noticed: { type: 'noticed', notices: NO_NOTICES },
  connected: { type: 'connected' },
  disconnected: { type: 'disconnected' },
  peer_silent: { type: 'peer_silent' },
  peer_ready: { type: 'peer_ready' },
  ready_answered: { type: 'ready_answered' },
  tip: tip(EXPIRY - 30, unspent(3)),
  close_alone: { type: 'close_alone', height: EXPIRY - 30, view: unspent(3) },
  work: workOf(3n),
  evidence: { type: 'evidence', isDrained: true },
  state_stored: POINT,
  state_acked: { type: 'state_acked', n: 0 },
  claim_stored: { type: 'claim_stored', n: 0 },
  claim_refused: { type: 'claim_refused' },
  seal_lost: { type: 'seal_lost' },
  close_requested: { type: 'close_requested' },
  defaulted: { type: 'defaulted' },
  close_refused: { type: 'close_refused' },
  close_signed: { type: 'close_signed', n: 1_000, feeSat: 1n },
  close_built: built('together'),
  suspended: { type: 'suspended', code: 'ledger_io' },
  resumed: { type: 'resumed' },
  broken: { type: 'broken', code: 'equivocation' },
  tick: { type: 'tick' },
};

/** Where a status may lead; it may always stay. */
const ARROWS: Readonly<Record<LifecycleStatus, readonly LifecycleStatus[]>> = {
  // The two after the first only where there is no channel.
  proposed: ['opening', 'open', 'closed', 'failed'],
  // One look may take two arrows.
  opening: ['funding', 'open', 'closed', 'failed'],
  funding: ['open', 'closing', 'closed'],
  open: ['closing', 'closed'],
  closing: ['closed'],
  closed: ['closing'],
  failed: [],
};

/** What the record keeps, by value. */
function recordOf({ status, reason, close, fault, stream }: LifecycleState): unknown {
  return {
    status,
    reason,
    close,
    n: stream.signed?.n,
    proof: fault?.type === 'broken' ? fault : undefined,
  };
}

describe('at every step', () => {
  it('the same input gives the same output', () => {
    always(({ options, before, event, after, effects }) => {
      const again = transition(options, before, event, 0);
      const first = transition(options, before, event, 0);
      expect(again).toEqual(first);
      if (event.type === 'tick') return;
      expect(again.effects.filter(({ type }) => !type.startsWith('exposure'))).toEqual(
        effects.filter(({ type }) => !type.startsWith('exposure')),
      );
      expect(again.state.status).toBe(after.status);
    });
  });

  it('a status moves along its arrows, back only where a reorganisation undid the end', () => {
    always(({ options, before, after, effects }) => {
      if (before.status === after.status) return;
      expect(ARROWS[before.status]).toContain(after.status);
      if (before.status === 'closed') expect(types(effects)).toContain('reopened');
      if (options.hasChannel)
        expect(`${before.status} ${after.status}`).not.toMatch(/^proposed (open|closed)$/);
    });
  });

  it('to persist comes first, exactly when the record changes', () => {
    always(({ before, after, effects }) => {
      // When a close was asked for is written along with the rest; that it no longer is, at once.
      const isTakenBack = before.askedHeight !== undefined && after.askedHeight === undefined;
      const isSame =
        !isTakenBack && JSON.stringify(recordOf(before), big) === JSON.stringify(recordOf(after), big);
      expect(types(effects).filter((type) => type === 'persist')).toHaveLength(isSame ? 0 : 1);
      if (!isSame) expect(effects[0]).toEqual({ type: 'persist' });
    });
  });

  it('amounts and numbers never fall', () => {
    always(({ options, before, after }) => {
      // What the miner counts falls where the maker refuses.
      if (options.role === 'maker')
        expect(after.stream.verifiedWork).toBeGreaterThanOrEqual(before.stream.verifiedWork);
      expect(after.ackedN).toBeGreaterThanOrEqual(before.ackedN);
      expect(after.claimedN ?? -1).toBeGreaterThanOrEqual(before.claimedN ?? -1);
      for (const key of ['workHashes', 'paidSat'] as const) {
        expect(after.stream.signed?.[key] ?? -1n).toBeGreaterThanOrEqual(
          before.stream.signed?.[key] ?? -1n,
        );
      }
      // A close that is complete is replaced, never forgotten.
      if (before.close?.transactionHex !== undefined) expect(after.close?.transactionHex).toBeDefined();
    });
  });

  it('one state is in flight, the next above the newest, over what was claimed', () => {
    const check = (): ((step: Step) => void) => {
      let signing: number | undefined;
      return ({ options, before, event, after, effects }) => {
        if (before.status === 'proposed') signing = undefined;
        if (after.fault !== undefined) signing = undefined;
        if (event.type === 'state_stored' && event.n >= (signing ?? 0)) signing = undefined;
        for (const effect of effects) {
          if (effect.type !== 'sign_state') continue;
          expect(options.role).toBe('maker');
          expect(after.status).toBe('open');
          expect(effect.n).toBe(after.stream.signed!.n + 1);
          expect(after.ackedN).toBeGreaterThanOrEqual(after.stream.signed!.n);
          expect(signing).toBeUndefined();
          if (options.terms.seal !== undefined && after.claimedN !== undefined)
            expect(after.claimedN).toBeGreaterThanOrEqual(effect.n);
          signing = effect.n;
        }
      };
    };
    always(check());
  });

  it('a connection is asked once for each thing, and for a close again once one was refused', () => {
    let asked: string[] = [];
    always(({ before, event, after, effects }) => {
      if (event.type === 'connected' || event.type === 'disconnected' || before.status === 'proposed')
        asked = [];
      if (event.type === 'close_refused' && after.stream.status !== 'ending')
        asked = asked.filter((name) => name !== 'ask_close');
      for (const effect of effects) {
        if (!NO_NEW_OBLIGATION.includes(effect.type) || effect.type === 'sign_state') continue;
        const name = 'n' in effect ? `${effect.type} ${effect.n}` : effect.type;
        expect(asked).not.toContain(name);
        asked.push(name);
      }
    });
  });
});

function big(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value;
}

describe('before anything', () => {
  it('there is nothing to be done at a tip', () => {
    for (const role of ['miner', 'maker'] as const) {
      expect(transition(optionsFor(role), UNSIGNED, tip(EXPIRY, unspent(3)), 0).effects).toEqual([]);
    }
  });
});
