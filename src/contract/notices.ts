import { bigToBe, concat, fromHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { taggedHash } from '../base/hash.ts';
import type { CurtailmentNotice, MinuteRole } from './minutes.ts';
import { otherSide } from './sides.ts';
import { VIEW_BLOCKS } from './term-clock.ts';
import type { ContractTerms } from './terms.ts';

/**
 * What the sides of a running contract say beyond its terms: pauses with a reason, the notice of an early
 * end, and that a side gave its claims up. `MARKET.md` has the rules.
 */

export const PAUSE_REASONS = ['curtailment', 'maintenance', 'pool_down', 'other'] as const;
export type PauseReason = (typeof PAUSE_REASONS)[number];

/** A time for which one side asks for no work, or sends none. */
export type Pause = {
  readonly reason: PauseReason;
  readonly fromHeight: number;
  /** First height after it; undefined until it is resumed. */
  readonly untilHeight: number | undefined;
};

/** A signed notice that the contract ends at a height; it counts once both have it on disk. */
export type EndNotice = {
  readonly height: number;
  readonly signature: string;
  readonly isTaken: boolean;
};

export const NOTICE_WORDS = ['pause', 'resume', 'end', 'void'] as const;

/** What was said once, by whom and when. */
export type SaidNotice = {
  readonly what: (typeof NOTICE_WORDS)[number];
  readonly by: MinuteRole;
  /** Height of this side's tip, and wall time in ms, at which it was said or heard. */
  readonly atHeight: number;
  readonly atMs: number;
  /** Of a pause. */
  readonly pause?: Pause;
  /** Of an end. */
  readonly end?: Pick<EndNotice, 'height' | 'signature'>;
  /** Of a void: pay that was given up, sats. */
  readonly writtenOffSat?: bigint;
};

/** Notices of this side, and of the other, that are remembered; what is said beyond is in force as well. */
const MOST_SAID = 128;
const MOST_HEARD = 32;

/** All notices of a contract, as one side has them. A value: every change makes a new one. */
export type Notices = {
  readonly pauses: Readonly<Record<MinuteRole, Pause | undefined>>;
  /** Miner: a notice of curtailment that no report on disk has yet. */
  readonly untold: CurtailmentNotice | undefined;
  /** Miner: blocks of curtailment whose notice is in its log, and the first height after all of them. */
  readonly noticedBlocks: number;
  readonly noticedUntil: number;
  /** Blocks of curtailment that both logs show: by so many the end of the contract is later. */
  readonly curtailedBlocks: number;
  readonly ends: Readonly<Record<MinuteRole, EndNotice | undefined>>;
  /** Pay that this side gave up, sats; undefined while it has not. */
  readonly writtenOffSat: bigint | undefined;
  /** All that was said, oldest first. */
  readonly said: readonly SaidNotice[];
};

export const NO_NOTICES: Notices = {
  pauses: { miner: undefined, maker: undefined },
  untold: undefined,
  noticedBlocks: 0,
  noticedUntil: 0,
  curtailedBlocks: 0,
  ends: { miner: undefined, maker: undefined },
  writtenOffSat: undefined,
  said: [],
};

export type NoticeOptions = { readonly terms: ContractTerms; readonly role: MinuteRole };

export type NoticeEvent =
  /** This side pauses, from a height on or at once, for so many blocks or until it is resumed. */
  | {
      readonly type: 'pause';
      readonly reason: PauseReason;
      readonly fromHeight?: number;
      readonly blocks?: number;
    }
  | { readonly type: 'resume' }
  /** The other side said that it pauses, or no more; the latter also when a new connection begins. */
  | { readonly type: 'peer_paused'; readonly pause: Pause }
  | { readonly type: 'peer_resumed' }
  /** Miner: a report with the notice is on disk. */
  | { readonly type: 'notice_told'; readonly notice: CurtailmentNotice }
  | { readonly type: 'curtailed'; readonly blocks: number }
  /** This side gives notice of the end, which the terms put so many blocks ahead. */
  | { readonly type: 'end_given'; readonly sign: (height: number) => string }
  /** The other side has it on disk. */
  | { readonly type: 'end_taken' }
  /** The other side's notice, whose signature is good. */
  | { readonly type: 'end_heard'; readonly height: number; readonly signature: string }
  /** This side gives up what is not paid yet. */
  | { readonly type: 'voided'; readonly unpaidSat: bigint };

export type NoticeEffect =
  /** Tell the other side, where it knows notices. */
  | { readonly type: 'tell_pause'; readonly pause: Pause }
  | { readonly type: 'tell_resume' }
  | { readonly type: 'tell_end'; readonly end: EndNotice };

export type NoticeStep = { readonly state: Notices; readonly effects: readonly NoticeEffect[] };

/** Blocks by which a notice of curtailment is ahead: so many may be found until both logs have it. */
export const LEAD_BLOCKS = VIEW_BLOCKS + 1;

/** True while a pause holds at a height. */
export function isInForce(pause: Pause | undefined, height: number): boolean {
  return pause !== undefined && height >= pause.fromHeight && !isPast(pause, height);
}

function isPast({ untilHeight }: Pause, height: number): boolean {
  return untilHeight !== undefined && height >= untilHeight;
}

/** True while either side pauses at a height. */
export function isPausedAt({ pauses }: Notices, height: number): boolean {
  return isInForce(pauses.miner, height) || isInForce(pauses.maker, height);
}

/** The first height of no more work, by notices that both have; infinite without one. */
export function noticedEnd({ ends }: Notices): number {
  const heights = [ends.miner, ends.maker].flatMap((end) => (end?.isTaken === true ? [end.height] : []));
  return Math.min(Number.POSITIVE_INFINITY, ...heights);
}

/** The digest of a notice of the end, which its side signs by its node key. */
export function endDigest(contractId: string, height: number): Uint8Array {
  return taggedHash('shct/end/1', concat(fromHex(contractId, 32), bigToBe(BigInt(height), 4)));
}

/**
 * The notices after an event. Throws `notice_refused` for what the terms do not allow, `wrong_status` for
 * what was said before.
 * @param height of the tip
 */
export function transition(
  options: NoticeOptions,
  state: Notices,
  event: NoticeEvent,
  height: number,
): NoticeStep {
  const { role } = options;
  switch (event.type) {
    case 'pause':
      return onPause(options, state, event, height);
    case 'resume':
      return onResume(options, state, height);
    case 'peer_paused':
      return stepTo({ ...state, pauses: { ...state.pauses, [otherSide(role)]: event.pause } });
    case 'peer_resumed':
      return stepTo({ ...state, pauses: { ...state.pauses, [otherSide(role)]: undefined } });
    case 'notice_told':
      return stepTo(withTold(state, event.notice));
    case 'curtailed':
      return stepTo({ ...state, curtailedBlocks: Math.max(state.curtailedBlocks, event.blocks) });
    case 'end_given':
      return onEndGiven(options, state, event.sign, height);
    case 'end_taken':
      return stepTo(withEnd(state, role, { ...state.ends[role]!, isTaken: true }));
    case 'end_heard':
      return onEndHeard(options, state, event, height);
    case 'voided':
      return stepTo({ ...state, writtenOffSat: state.writtenOffSat ?? event.unpaidSat });
  }
}

/**
 * The notices with what an event said, where that is another than what stands. A pause is told anew on each
 * connection.
 */
export function withSaid(
  { role }: Pick<NoticeOptions, 'role'>,
  before: Notices,
  after: Notices,
  event: NoticeEvent,
  at: Pick<SaidNotice, 'atHeight' | 'atMs'>,
): Notices {
  const said = saidBy(role, before, after, event);
  if (said === undefined) return after;
  const most = said.by === role ? MOST_SAID : MOST_HEARD;
  if (before.said.filter(({ by }) => by === said.by).length >= most) return after;
  const last = before.said.findLast(({ what, by }) => by === said.by && what !== 'end' && what !== 'void');
  const isAgain =
    (said.what === 'resume' && last?.what !== 'pause') ||
    (said.what === 'pause' && last?.what === 'pause' && isSamePause(last.pause, said.pause));
  return isAgain ? after : { ...after, said: [...before.said, { ...said, ...at }] };
}

function saidBy(
  role: MinuteRole,
  before: Notices,
  after: Notices,
  event: NoticeEvent,
): Omit<SaidNotice, 'atHeight' | 'atMs'> | undefined {
  const other = otherSide(role);
  const endOf = (by: MinuteRole) => {
    const { [by]: end } = after.ends;
    if (end === undefined || before.ends[by] !== undefined) return undefined;
    return { what: 'end', by, end: { height: end.height, signature: end.signature } } as const;
  };
  switch (event.type) {
    case 'pause':
      return { what: 'pause', by: role, pause: after.pauses[role]! };
    case 'peer_paused':
      return { what: 'pause', by: other, pause: event.pause };
    case 'resume':
      return { what: 'resume', by: role };
    case 'peer_resumed':
      return { what: 'resume', by: other };
    case 'end_given':
      return endOf(role);
    case 'end_heard':
      return endOf(other);
    case 'voided':
      if (before.writtenOffSat !== undefined) return undefined;
      return { what: 'void', by: role, writtenOffSat: event.unpaidSat };
    case 'curtailed':
    case 'end_taken':
    case 'notice_told':
      return undefined;
  }
}

function isSamePause(a: Pause | undefined, b: Pause | undefined): boolean {
  return a?.reason === b?.reason && a?.fromHeight === b?.fromHeight && a?.untilHeight === b?.untilHeight;
}

const stepTo = (state: Notices, ...effects: readonly NoticeEffect[]): NoticeStep => ({ state, effects });

function withEnd(state: Notices, role: MinuteRole, end: EndNotice): Notices {
  return { ...state, ends: { ...state.ends, [role]: end } };
}

const refuse = (why: string): never => {
  throw new CodedError('notice_refused', why);
};

function onPause(
  options: NoticeOptions,
  state: Notices,
  { reason, fromHeight, blocks }: Extract<NoticeEvent, { type: 'pause' }>,
  height: number,
): NoticeStep {
  const { role } = options;
  const before = state.pauses[role];
  if (before !== undefined && !isPast(before, height))
    throw new CodedError('wrong_status', 'a pause is agreed or in force: resume it first');
  const notice = noticeOf(options, state, { fromHeight, blocks }, height);
  const from = notice?.fromHeight ?? Math.max(fromHeight ?? 0, height);
  const pause = { reason, fromHeight: from, untilHeight: blocks === undefined ? undefined : from + blocks };
  const next = { ...state, pauses: { ...state.pauses, [role]: pause } };
  if (notice === undefined) return stepTo(next, { type: 'tell_pause', pause });
  return stepTo({ ...next, untold: notice }, { type: 'tell_pause', pause });
}

/** Also of one that was taken back while it was written. */
function withTold(state: Notices, notice: CurtailmentNotice): Notices {
  const { untold, noticedBlocks, noticedUntil } = state;
  const isIt = untold?.fromHeight === notice.fromHeight && untold.blocks === notice.blocks;
  return {
    ...state,
    untold: isIt ? undefined : untold,
    noticedBlocks: noticedBlocks + notice.blocks,
    noticedUntil: Math.max(noticedUntil, notice.fromHeight + notice.blocks),
  };
}

/** The notice that a miner owes for a pause where less delivery than promised is a default. */
function noticeOf(
  { terms, role }: NoticeOptions,
  { noticedBlocks, noticedUntil }: Notices,
  asked: { readonly fromHeight: number | undefined; readonly blocks: number | undefined },
  height: number,
): CurtailmentNotice | undefined {
  if (role === 'maker' || terms.version !== 3 || terms.delivery === undefined) return undefined;
  const { blocks } = asked;
  const left = terms.delivery.curtailmentBlocks - noticedBlocks;
  if (blocks === undefined || blocks > left)
    return refuse(`the terms allow a pause by notice of ${left} more blocks; say how many`);
  const earliest = Math.max(height + LEAD_BLOCKS, noticedUntil);
  const fromHeight = asked.fromHeight ?? earliest;
  if (fromHeight < earliest) return refuse(`a notice can begin at block ${earliest}, not before`);
  return { fromHeight, blocks };
}

/** A notice that is in the log stays: nothing is due for its blocks, and what comes is credited. */
function onResume({ role }: NoticeOptions, state: Notices, height: number): NoticeStep {
  const before = state.pauses[role];
  if (before === undefined || isPast(before, height))
    throw new CodedError('wrong_status', 'there is no pause of this side');
  const pauses = { ...state.pauses, [role]: undefined };
  return stepTo({ ...state, pauses, untold: undefined }, { type: 'tell_resume' });
}

function onEndGiven(
  { terms, role }: NoticeOptions,
  state: Notices,
  sign: (height: number) => string,
  height: number,
): NoticeStep {
  const blocks = noticeBlocksOf(terms);
  const before = state.ends[role];
  if (before !== undefined) return stepTo(state, { type: 'tell_end', end: before });
  if (height + blocks >= noticedEnd(state))
    throw new CodedError('wrong_status', 'the contract ends earlier by the notice of the other side');
  const end = { height: height + blocks, signature: sign(height + blocks), isTaken: false };
  return stepTo(withEnd(state, role, end), { type: 'tell_end', end });
}

function onEndHeard(
  { terms, role }: NoticeOptions,
  state: Notices,
  { height: ends, signature }: Extract<NoticeEvent, { type: 'end_heard' }>,
  height: number,
): NoticeStep {
  const before = state.ends[otherSide(role)];
  // Told again, however late: it was taken in time.
  if (before !== undefined) {
    if (before.height === ends) return stepTo(state);
    throw new CodedError('wrong_status', 'notice was given before, of another end');
  }
  const earliest = height + noticeBlocksOf(terms) - VIEW_BLOCKS;
  if (ends < earliest) refuse(`the end may be block ${earliest}, not before`);
  return stepTo(withEnd(state, otherSide(role), { height: ends, signature, isTaken: true }));
}

function noticeBlocksOf(terms: ContractTerms): number {
  const blocks = terms.version === 3 ? terms.end.noticeBlocks : 0;
  return blocks > 0 ? blocks : refuse('the terms know no early end by notice');
}
