import fc from 'fast-check';
import { unreachable } from '../../src/base/assert.ts';
import { codeOf } from '../../src/base/errors.ts';
import { owedSat } from '../../src/base/units.ts';
import type { ChannelView } from '../../src/chain/watcher.ts';
import { restoreLifecycle, transition } from '../../src/channel/lifecycle.ts';
import {
  type LifecycleEffect,
  type LifecycleEvent,
  type LifecycleOptions,
  type LifecycleRole,
  type LifecycleState,
  UNSIGNED,
} from '../../src/channel/lifecycle-state.ts';
import type { ContractTerms } from '../../src/contract/terms.ts';
import { fixedPriceMsatPerEh } from '../../src/contract/terms-access.ts';
import { CHILD_VSIZE, LADDER, REFUND_VSIZE } from '../chain/watch-model.ts';
import { EH, makeBonds, makeTerms, SEAL } from './fixtures.ts';

export const MARGINS = {
  askBlocks: 12,
  broadcastBlocks: 8,
  urgentBlocks: 3,
  finalDepth: 3,
  watchDepth: 10,
  patienceBlocks: 6,
};
export const EXPIRY = 1_040;
export const START = 1_000;
/** Ten steps of one EH, at most three of them unpaid. */
export const TERMS = makeTerms({ expiryHeight: EXPIRY, minDepth: 2, workTotalHashes: 10n * EH });

export function optionsFor(role: LifecycleRole, change: Partial<LifecycleOptions> = {}): LifecycleOptions {
  return { role, terms: TERMS, margins: MARGINS, hasChannel: true, unpaidTimeoutMs: 60_000, ...change };
}

export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const each of Object.values(value)) deepFreeze(each);
  }
  return value;
}

export const EMPTY_VIEW: ChannelView = {
  coinDepth: undefined,
  spendDepth: undefined,
  isOurs: false,
  canResend: false,
  satPerKvb: 2_000,
  ladder: LADDER,
  refundVsize: REFUND_VSIZE,
};
export const unspent = (coinDepth: number): ChannelView => ({ ...EMPTY_VIEW, coinDepth });
export const spent = (spendDepth: number, isOurs = true): ChannelView => ({
  ...EMPTY_VIEW,
  spendDepth,
  isOurs,
});
export const tip = (height: number, view: ChannelView): LifecycleEvent => ({ type: 'tip', height, view });
export const workOf = (workHashes: bigint): LifecycleEvent => ({
  type: 'work',
  workHashes,
  isHeld: false,
});
export const stored = (n: number, workHashes: bigint, terms: ContractTerms = TERMS): LifecycleEvent => ({
  type: 'state_stored',
  n,
  workHashes,
  paidSat: owedSat(workHashes, fixedPriceMsatPerEh(terms)),
});
export const built = (
  kind: 'state' | 'together' | 'refund',
  feeSat = 1_325n,
  n?: number,
): LifecycleEvent => ({
  type: 'close_built',
  close: {
    kind,
    transactionHex: `${kind}:${feeSat}`,
    feeSat,
    ...(n === undefined ? {} : { n }),
    vsize: kind === 'refund' ? REFUND_VSIZE : 265,
  },
});

export type Step = {
  readonly options: LifecycleOptions;
  readonly before: LifecycleState;
  readonly event: LifecycleEvent;
  readonly after: LifecycleState;
  readonly effects: readonly LifecycleEffect[];
};

/** The machine with its state, each step shown to `look`. Inputs are frozen: what changes them throws. */
export class Life {
  readonly options: LifecycleOptions;
  state: LifecycleState;
  nowMs = 1_000;
  readonly steps: Step[] = [];
  readonly #look: (step: Step) => void;

  constructor(
    options: LifecycleOptions,
    look: (step: Step) => void = () => {},
    state: LifecycleState = UNSIGNED,
  ) {
    this.options = deepFreeze(options);
    this.state = deepFreeze(state);
    this.#look = look;
  }

  /** The types of the effects of one event. */
  step(event: LifecycleEvent): string[] {
    const before = this.state;
    const { state, effects } = transition(this.options, before, deepFreeze(event), this.nowMs);
    this.state = deepFreeze(state);
    const step = { options: this.options, before, event, after: state, effects };
    this.steps.push(step);
    this.#look(step);
    return effects.map(({ type }) => type);
  }

  /** The same of many, in order. */
  run(events: readonly LifecycleEvent[]): string[] {
    return events.flatMap((event) => this.step(event));
  }

  /** The effects of the last step, without what only tells how it stands. */
  get last(): readonly LifecycleEffect[] {
    return this.steps.at(-1)!.effects;
  }

  /** As if the program had ended here and started again, with what the record keeps. */
  restarted(): Life {
    const { status, reason, fault, close, workHashes, ackedN, claimedN, stream, watch } = this.state;
    const { askedHeight } = this.state;
    const record = {
      ...{ status, reason, close, workHashes, ackedN, claimedN, askedHeight },
      fault: fault?.type === 'broken' ? fault : undefined,
      newest: stream.signed,
      isOver: watch.isOver,
    };
    return new Life(this.options, () => {}, restoreLifecycle(this.options, deepFreeze(record), this.nowMs));
  }
}

/** From signed terms to where work is asked for. */
export function opening(): LifecycleEvent[] {
  return [{ type: 'contract_signed' }, { type: 'opening_agreed', n: 0, workHashes: 0n, paidSat: 0n }];
}

/** A connection over which both say that they see the funding. */
function linkOf(role: LifecycleRole): LifecycleEvent[] {
  const own: LifecycleEvent[] = role === 'miner' ? [{ type: 'ready_answered' }] : [];
  return [{ type: 'connected' }, { type: 'peer_ready' }, ...own];
}

export function opened(role: LifecycleRole): LifecycleEvent[] {
  const [connected, ...ready] = linkOf(role);
  const funding: LifecycleEvent[] = [{ type: 'funding_signed' }, tip(START, unspent(0))];
  return [...opening(), ...funding, connected!, tip(START + 2, unspent(2)), ...ready];
}

const HOLDERS: readonly LifecycleEffect['type'][] = [
  'opened',
  'ending',
  'settled',
  'sign_due',
  'exposure_reached',
  'exposure_cleared',
];
/** What something is done about; the rest tells how the stream stands. */
export function isAct({ type }: Pick<LifecycleEffect, 'type'>): boolean {
  return !HOLDERS.includes(type);
}

/** What happens in a random life. `follow` does what an effect asked for, as a driver would. */
export type Op =
  | { readonly type: 'follow' }
  | { readonly type: 'work'; readonly part: number; readonly isHeld: boolean }
  | { readonly type: 'state'; readonly back: number }
  | { readonly type: 'ack'; readonly back: number }
  | { readonly type: 'claim'; readonly ahead: number }
  | { readonly type: 'built'; readonly isTogether: boolean; readonly rung: number }
  | {
      readonly type: 'look';
      readonly height: number;
      readonly view: ChannelView;
      readonly isForced: boolean;
    }
  | { readonly type: 'event'; readonly event: LifecycleEvent }
  | { readonly type: 'wait'; readonly ms: number };

/** Own coins of a funding of 300 virtual bytes, as a side could take them back. */
export const CANCEL = { vsize: 110, contributionSat: 10_000n, fundingFeeSat: 600n, fundingVsize: 300 };

const anyView: fc.Arbitrary<ChannelView> = fc
  .record({
    where: fc.constantFrom('coin', 'coin', 'coin', 'spend', 'spend', 'nowhere'),
    depth: fc.constantFrom(0, 0, 0, 1, 2, 2, 3, 4, 9, 10, 12),
    isOurs: fc.boolean(),
    canResend: fc.boolean(),
    satPerKvb: fc.constantFrom(0, 1_000, 2_000, 6_000, 100_000),
    hasChild: fc.boolean(),
    conflictDepth: fc.constantFrom(undefined, undefined, 0, 1, 3, 10),
  })
  .map(({ where, depth, hasChild, isOurs, conflictDepth, ...rest }) => ({
    ...EMPTY_VIEW,
    ...rest,
    coinDepth: where === 'coin' ? Math.min(depth, 5) : undefined,
    spendDepth: where === 'spend' ? depth : undefined,
    isOurs: isOurs && where === 'spend',
    cancel: CANCEL,
    ...(where === 'nowhere' ? { conflictDepth } : {}),
    ...(hasChild
      ? {
          childVsize: CHILD_VSIZE,
          push: { feeSat: 600n, vsize: 300, childVsize: 110, availableSat: 50_000n },
        }
      : {}),
  }));

const BOTH: readonly LifecycleEvent[] = [
  { type: 'contract_signed' },
  { type: 'opening_agreed', n: 0, workHashes: 0n, paidSat: 0n },
  { type: 'funding_signed' },
  { type: 'opening_given_up', reason: 'too late' },
  { type: 'connected' },
  { type: 'connected' },
  { type: 'disconnected' },
  { type: 'peer_ready' },
  { type: 'peer_ready' },
  { type: 'close_requested' },
  { type: 'defaulted' },
  { type: 'close_refused' },
  { type: 'suspended', code: 'ledger_io' },
  { type: 'resumed' },
  { type: 'resumed' },
  { type: 'broken', code: 'equivocation' },
  { type: 'broken', code: 'bad_signature' },
  { type: 'tick' },
];
const OWN: Readonly<Record<LifecycleRole, readonly LifecycleEvent[]>> = {
  miner: [
    { type: 'ready_answered' },
    { type: 'ready_answered' },
    { type: 'evidence', isDrained: true },
    { type: 'evidence', isDrained: false },
    { type: 'opening_refused' },
    { type: 'close_signed', n: 50, feeSat: 200n },
    { type: 'close_signed', n: 0, feeSat: 300n },
  ],
  maker: [{ type: 'claim_refused' }, { type: 'seal_lost' }],
};

function anyOp(role: LifecycleRole, hasChannel: boolean): fc.Arbitrary<Op> {
  const common = BOTH.filter(({ type }) => hasChannel || !/^(opening|funding|broken)/.test(type));
  const events = fc.constantFrom(
    ...common,
    ...OWN[role].filter(({ type }) => type !== 'close_signed' || hasChannel),
  );
  const look = fc.record({
    type: fc.constant('look' as const),
    height: fc.integer({ min: START, max: EXPIRY + 15 }),
    view: anyView,
    isForced: fc.nat(9).map((dice) => dice === 0),
  });
  const back = fc.constantFrom(0, 0, 0, 1);
  const own = role === 'maker' ? 3 : 1;
  const work = fc.record({
    type: fc.constant('work' as const),
    part: fc.integer({ min: 0, max: 110 }),
    isHeld: fc.nat(9).map((dice) => dice === 0),
  });
  const both = [
    { weight: 12, arbitrary: fc.constant<Op>({ type: 'follow' }) },
    { weight: 8, arbitrary: work as fc.Arbitrary<Op> },
    { weight: 12, arbitrary: events.map((event): Op => ({ type: 'event', event })) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 90_000 }).map((ms): Op => ({ type: 'wait', ms })) },
    { weight: 3, arbitrary: look as fc.Arbitrary<Op> },
  ];
  if (!hasChannel) return fc.oneof(...both);
  return fc.oneof(
    ...both,
    {
      weight: own,
      arbitrary: fc.record({ type: fc.constant('state' as const), back }) as fc.Arbitrary<Op>,
    },
    { weight: own, arbitrary: fc.record({ type: fc.constant('ack' as const), back }) as fc.Arbitrary<Op> },
    { weight: 1, arbitrary: fc.nat(2).map((ahead): Op => ({ type: 'claim', ahead })) },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('built' as const),
        isTogether: fc.boolean(),
        rung: fc.nat(3),
      }) as fc.Arbitrary<Op>,
    },
  );
}

/** What an op means where the life stands; undefined where it means nothing. */
function eventOf(life: Life, op: Op, asked: LifecycleEffect[]): LifecycleEvent | undefined {
  const { state, options } = life;
  const { terms, role } = options;
  const newest = state.stream.signed;
  switch (op.type) {
    case 'follow': {
      const effect = asked.shift();
      return effect === undefined ? undefined : followed(life, effect);
    }
    case 'work': {
      const { isHeld } = op;
      const workHashes = (terms.workTotalHashes * BigInt(op.part)) / 100n;
      return { type: 'work', workHashes, isHeld: role === 'miner' && isHeld };
    }
    case 'state': {
      const n = (newest?.n ?? -1) + 1 - op.back;
      const isNew = op.back === 0 && newest !== undefined;
      const wanted = isNew ? (state.workHashes * 9n) / 10n : (newest?.workHashes ?? 0n);
      const least = newest?.workHashes ?? 0n;
      const most = wanted > terms.workTotalHashes ? terms.workTotalHashes : wanted;
      return n < 0 ? undefined : stored(n, most > least ? most : least, terms);
    }
    case 'ack':
      if (role === 'miner' || newest === undefined) return undefined;
      return { type: 'state_acked', n: Math.max(newest.n - op.back, 0) };
    case 'claim':
      if (role === 'miner' || terms.seal === undefined) return undefined;
      return { type: 'claim_stored', n: Math.max((newest?.n ?? 0) + op.ahead - 1, 0) };
    case 'built': {
      const alone = role === 'miner' ? 'state' : 'refund';
      return built(op.isTogether ? 'together' : alone, LADDER[op.rung]!.feeSat, newest?.n);
    }
    case 'look':
      return { type: op.isForced ? 'close_alone' : 'tip', height: op.height, view: op.view };
    case 'event':
      return op.event;
    case 'wait':
      life.nowMs += op.ms;
      return { type: 'tick' };
    default:
      return undefined;
  }
}

/** What a driver says once it did what an effect asks for; undefined where it says nothing. */
function followed({ state, options }: Life, effect: LifecycleEffect): LifecycleEvent | undefined {
  const { type } = effect;
  if (type === 'sign_state') return stored(effect.n, state.stream.verifiedWork, options.terms);
  if (type === 'offer_state') return { type: 'state_acked', n: effect.n };
  if (type === 'ask_claim') return { type: 'claim_stored', n: effect.n };
  if (type === 'send_ready' && options.role === 'miner') return { type: 'ready_answered' };
  if (type === 'close_alone') return built('state', LADDER[effect.rung]!.feeSat);
  if (type === 'refund') return built('refund', BigInt(effect.satPerKvb * REFUND_VSIZE) / 1_000n);
  if (type === 'ask_close') return { type: 'close_signed', n: state.stream.signed?.n ?? 0, feeSat: 200n };
  return undefined;
}

/** Feeds a life with what an op means, if anything, unless it cannot come where the life stands. */
export function play(life: Life, ops: readonly Op[]): void {
  const asked: LifecycleEffect[] = [];
  for (const op of ops) {
    const event = eventOf(life, op, asked);
    if (event === undefined) continue;
    try {
      life.step(event);
      asked.push(...life.last.filter((effect) => followed(life, effect) !== undefined));
    } catch (error) {
      if (codeOf(error) !== 'wrong_status') throw error;
    }
  }
}

/** In which order funding, work and the connection came; and how far of all that a life has come. */
export type Way = 'usual' | 'peer_last' | 'link_first' | 'chain_last' | 'waiting' | 'faulty';
export type Schedule = {
  readonly options: LifecycleOptions;
  readonly way: Way;
  readonly workEh: bigint;
  /** Somebody wanted the end before there was a channel. */
  readonly isEnding: boolean;
  readonly prefix: number;
  readonly ops: readonly Op[];
};

function wayOf({ way, workEh, isEnding, options }: Omit<Schedule, 'ops'>): readonly LifecycleEvent[] {
  const { role, terms, hasChannel } = options;
  if (!hasChannel) return [{ type: 'contract_signed' }, ...linkOf('maker')];
  const isSealed = role === 'maker' && terms.seal !== undefined;
  const agreed: LifecycleEvent[] = [
    ...opening(),
    ...(isSealed ? [{ type: 'claim_stored', n: way === 'peer_last' ? 1 : 0 } as const] : []),
    workOf(workEh * EH),
    ...(isEnding ? [{ type: 'close_requested' } as const] : []),
  ];
  const funded = { type: 'funding_signed' } as const;
  const deep = tip(START + 2, unspent(2));
  const link = linkOf(role);
  const [connected, ...ready] = link;
  switch (way) {
    case 'usual':
      return [...agreed, ...opened(role).slice(opening().length)];
    case 'peer_last':
      return [...agreed, funded, connected!, deep, ...ready.toReversed()];
    case 'link_first':
      return [...agreed, ...link, deep, funded];
    case 'chain_last':
      return [...agreed, ...link, funded, deep];
    case 'waiting':
      return [...agreed, funded, tip(START, unspent(0)), ...link];
    case 'faulty':
      return [...agreed, { type: 'suspended', code: 'ledger_io' }, funded, ...link, deep];
    default:
      return unreachable(way);
  }
}

/** Where a random life begins: nearly always somewhere on the way to an open channel. */
export function start(schedule: Schedule, look: (step: Step) => void): Life {
  const { options, prefix } = schedule;
  const life = new Life(options, look);
  const judged: LifecycleEvent[] = options.role === 'miner' ? [{ type: 'evidence', isDrained: true }] : [];
  const events = wayOf(schedule).flatMap((each) =>
    each.type === 'connected' ? [each, ...judged] : [each],
  );
  const count = Math.floor((events.length * prefix) / 10);
  life.run(events.slice(0, count === 2 ? opening().length : count));
  return life;
}

const RARE_WAYS = ['link_first', 'chain_last', 'waiting', 'faulty'] as const;
const BONDS = [
  {},
  { bonds: makeBonds('auditor', { makerBondSat: 1_000n, collateralSat: 2_000n }) },
  { bonds: makeBonds('forfeit_to_mm', { makerBondSat: 1_000n, collateralSat: 2_000n }) },
];

export const anySchedule: fc.Arbitrary<Schedule> = fc
  .record({
    role: fc.constantFrom<LifecycleRole>('miner', 'maker'),
    bonds: fc.constantFrom(...BONDS),
    hasSeal: fc.boolean(),
    hasChannel: fc.nat(9).map((dice) => dice > 0),
    way: fc.constantFrom<Way>('usual', 'usual', 'usual', 'peer_last', ...RARE_WAYS),
    isEnding: fc.nat(7).map((dice) => dice === 0),
    workEh: fc.constantFrom(0n, 0n, 0n, 2n, 4n, 11n),
    prefix: fc.constantFrom(0, 3, 5, 7, 9, 10, 10, 10, 10, 10),
  })
  .chain(({ role, bonds, hasSeal, hasChannel, prefix, ...rest }) => {
    const terms = { ...TERMS, ...bonds, ...(hasSeal ? { seal: SEAL } : {}) };
    const options = optionsFor(role, { terms, hasChannel });
    return fc
      .array(anyOp(role, hasChannel), { maxLength: 60, size: 'max' })
      .map((ops) => ({ ...rest, options, prefix, ops }));
  });

export const RUNS = 800;

/** Plays random lives; a failure prints the seed with which it comes again. */
export function always(
  look: (step: Step) => void,
  atEnd: (life: Life) => void = () => {},
  parameters: fc.Parameters<[Schedule]> = {},
): void {
  fc.assert(
    fc.property(anySchedule, (schedule) => {
      const life = start(schedule, look);
      play(life, schedule.ops);
      atEnd(life);
    }),
    { numRuns: RUNS, ...parameters },
  );
}
