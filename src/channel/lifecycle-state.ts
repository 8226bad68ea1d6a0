import type { ChannelView, CloseMargins, PendingClose, WatchEffect, WatchState } from '../chain/watcher.ts';
import { watchFrom } from '../chain/watcher.ts';
import {
  PENDING_STREAM,
  type StatePoint,
  type StreamEffect,
  type StreamState,
} from '../contract/stream.ts';
import type { ContractTerms } from '../contract/terms.ts';

export type LifecycleRole = 'miner' | 'maker';

/**
 * `proposed` once both have signed the terms, `opening` while the funding is agreed, `funding` until it is
 * deep enough, `open` while states are signed, `closing` once a transaction that ends the channel is signed,
 * `closed` when that is deep; `failed` where there never was a channel. A contract without a channel goes
 * from `proposed` to `open` and `closed`. `PROTOCOL.md` has the table of all events.
 */
export const LIFECYCLE_STATUSES = [
  'proposed',
  'opening',
  'funding',
  'open',
  'closing',
  'closed',
  'failed',
] as const;
export type LifecycleStatus = (typeof LIFECYCLE_STATUSES)[number];

/**
 * Why there are no new obligations. `suspended`: our own fault (a disk, a lock, a node), until it has passed.
 * `broken`: signed proof against the other side, for good. Neither ever stops a close.
 */
export type Fault = { readonly type: 'suspended' | 'broken'; readonly code: string };

/** True of a fault that is over once a block comes; it hinders no disk, and gives way to one that does. */
export function isStall(fault: Fault | undefined): boolean {
  return fault?.type === 'suspended' && fault.code === 'chain_stalled';
}

/** The transaction that ends the channel, as far as this side has it. */
export type CloseRecord = {
  readonly kind: PendingClose['kind'];
  /** Signed and complete, hex; undefined while the other side's signature is missing. */
  readonly transactionHex: string | undefined;
  readonly feeSat: bigint;
  /** The state it pays; no later one may count as paid. Undefined for a refund. */
  readonly n?: number;
  /** Most virtual bytes; 0 while it is not complete. */
  readonly vsize: number;
};

/** The connection to the other side, from its reestablish on. */
export type LinkState = {
  /** The other side said that it sees the funding. */
  readonly isPeerReady: boolean;
  /** We said so, and (miner) were answered. */
  readonly ready: 'unsent' | 'sent' | 'answered';
  /** Miner: the maker has judged all evidence. */
  readonly isDrained: boolean;
  /** Miner: the common close was asked for, once on each connection. */
  readonly isCloseAsked: boolean;
  /** Miner: evidence leaves. */
  readonly isFeeding: boolean;
  /** Maker: the state that is on its way to the miner. */
  readonly offeredN: number | undefined;
  /** Maker: the state whose claim of the seal was asked for; refused ones are not asked for again. */
  readonly claimAskedN: number | undefined;
  readonly isClaimRefused: boolean;
};

export const NEW_LINK: LinkState = {
  isPeerReady: false,
  ready: 'unsent',
  isDrained: false,
  isCloseAsked: false,
  isFeeding: false,
  offeredN: undefined,
  claimAskedN: undefined,
  isClaimRefused: false,
};

/** A contract and its channel as one side sees them. A value: every change makes a new one. */
export type LifecycleState = {
  readonly status: LifecycleStatus;
  /** Why it failed or ends; empty otherwise. */
  readonly reason: string;
  readonly fault: Fault | undefined;
  readonly stream: StreamState;
  readonly watch: WatchState;
  readonly close: CloseRecord | undefined;
  /** Of the newest tip that was looked at. */
  readonly tipHeight: number | undefined;
  /** Miner: the tip at which the common close was first asked for. */
  readonly askedHeight: number | undefined;
  /** All work so far, as the `work` event says it; credited once the stream is open. */
  readonly workHashes: bigint;
  readonly isRefusedTooMuch: boolean;
  /** Maker: the newest state that the miner has on disk; -1 before. */
  readonly ackedN: number;
  /** Maker: the state that is being signed and stored. */
  readonly signingN: number | undefined;
  /** Maker: the newest claim of the seal; undefined where there is none. */
  readonly claimedN: number | undefined;
  /** Maker: the seal was spent by another; nothing more is claimed, nor paid. */
  readonly isSealLost: boolean;
  readonly link: LinkState | undefined;
};

export type LifecycleOptions = {
  readonly role: LifecycleRole;
  readonly terms: ContractTerms;
  readonly margins: CloseMargins;
  /** See `StreamOptions`. */
  readonly unpaidTimeoutMs?: number;
  /** False: work is metered and nobody pays; there is no channel. */
  readonly hasChannel: boolean;
};

export type LifecycleEvent =
  /** Both have signed the terms, and they are stored. */
  | { readonly type: 'contract_signed' }
  /** Both halves of the opening and state 0 are stored. */
  | ({ readonly type: 'opening_agreed' } & StatePoint)
  /** The funding is signed and stored; the chain may have shown it before. */
  | { readonly type: 'funding_signed' }
  /** The own side gives up what was never signed. */
  | { readonly type: 'opening_given_up'; readonly reason: string }
  | { readonly type: 'connected' }
  | { readonly type: 'disconnected' }
  /** The other side sees the funding at the agreed depth. */
  | { readonly type: 'peer_ready' }
  /** Miner: our `ready` was answered. */
  | { readonly type: 'ready_answered' }
  /** A tip, and what the node shows at it; the same tip any number of times. */
  | { readonly type: 'tip'; readonly height: number; readonly view: ChannelView }
  /** Somebody wants the channel closed without the other side. */
  | { readonly type: 'close_alone'; readonly height: number; readonly view: ChannelView }
  /** All verified and durable work so far. Maker: what was credited. Miner: the own, less the refused. */
  | { readonly type: 'work'; readonly workHashes: bigint; readonly isRefusedTooMuch: boolean }
  /** Miner: the maker has judged all evidence, or there is more. */
  | { readonly type: 'evidence'; readonly isDrained: boolean }
  /** A state passed all checks, and is stored with this event. */
  | ({ readonly type: 'state_stored' } & StatePoint)
  /** Maker: the miner has this state on disk. */
  | { readonly type: 'state_acked'; readonly n: number }
  /** Maker: the claim of the seal for this state is stored. */
  | { readonly type: 'claim_stored'; readonly n: number }
  | { readonly type: 'claim_refused' }
  | { readonly type: 'seal_lost' }
  /** Either side, or a person, wants the end. */
  | { readonly type: 'close_requested' }
  /** The own signature of the common close by state n is about to leave. */
  | { readonly type: 'close_signed'; readonly n: number; readonly feeSat: bigint }
  /** A complete transaction that ends the channel; before it is broadcast. */
  | { readonly type: 'close_built'; readonly close: CloseRecord & { readonly transactionHex: string } }
  | { readonly type: 'suspended'; readonly code: string }
  /** What suspended it has passed: whatever it was, or only a fault of this code. */
  | { readonly type: 'resumed'; readonly code?: string }
  /** Signed proof against the other side, stored with this event. */
  | { readonly type: 'broken'; readonly code: string }
  | { readonly type: 'tick' };

export type LifecycleEffect =
  /** Store what changed before anything that follows; what the chain is due does not wait for it. */
  | { readonly type: 'persist' }
  | StreamEffect
  | Exclude<WatchEffect, { readonly type: 'status' | 'funded' | 'refuse_steps' }>
  /** Tell the other side that the funding is deep. */
  | { readonly type: 'send_ready' }
  /** Miner: evidence may leave from here on. */
  | { readonly type: 'start_feed' }
  /** Maker: ask for the seal's claim of this state, before it is paid. */
  | { readonly type: 'ask_claim'; readonly n: number }
  /** Maker: sign the state and store it. */
  | { readonly type: 'sign_state'; readonly n: number }
  /** Maker: send the newest state, which is stored. */
  | { readonly type: 'offer_state'; readonly n: number }
  /** Miner: close together with the maker. */
  | { readonly type: 'ask_close' };

export type LifecycleTransition = {
  readonly state: LifecycleState;
  readonly effects: readonly LifecycleEffect[];
};

/** Before the terms are signed. */
export const UNSIGNED: LifecycleState = {
  status: 'proposed',
  reason: '',
  fault: undefined,
  stream: PENDING_STREAM,
  watch: watchFrom('opening', undefined),
  close: undefined,
  tipHeight: undefined,
  askedHeight: undefined,
  workHashes: 0n,
  isRefusedTooMuch: false,
  ackedN: -1,
  signingN: undefined,
  claimedN: undefined,
  isSealLost: false,
  link: undefined,
};

const ANYWHERE = LIFECYCLE_STATUSES;
const CHANNEL: readonly LifecycleStatus[] = ['opening', 'funding', 'open', 'closing', 'closed'];

/** Where each event may come; elsewhere it is refused with `wrong_status`. */
export const ACCEPTED_IN: Readonly<Record<LifecycleEvent['type'], readonly LifecycleStatus[]>> = {
  contract_signed: ['proposed'],
  opening_agreed: ['proposed'],
  funding_signed: CHANNEL,
  opening_given_up: ['proposed', 'opening'],
  connected: ANYWHERE,
  disconnected: ANYWHERE,
  peer_ready: ANYWHERE,
  ready_answered: ANYWHERE,
  tip: ANYWHERE,
  close_alone: ANYWHERE,
  work: ANYWHERE,
  evidence: ANYWHERE,
  state_stored: CHANNEL,
  state_acked: CHANNEL,
  claim_stored: CHANNEL,
  claim_refused: ANYWHERE,
  seal_lost: ANYWHERE,
  close_requested: ANYWHERE,
  close_signed: ['funding', 'open', 'closing'],
  close_built: ['funding', 'open', 'closing', 'closed'],
  suspended: ANYWHERE,
  resumed: ANYWHERE,
  broken: ANYWHERE,
  tick: ANYWHERE,
};
