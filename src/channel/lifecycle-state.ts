import type { ChannelView, CloseMargins, PendingClose, WatchEffect, WatchState } from '../chain/watcher.ts';
import { watchFrom } from '../chain/watcher.ts';
import { NO_NOTICES, type Notices } from '../contract/notices.ts';
import {
  PENDING_STREAM,
  type StatePoint,
  type StreamEffect,
  type StreamState,
} from '../contract/stream.ts';
import type { ContractTerms } from '../contract/terms.ts';

export type LifecycleRole = 'miner' | 'maker';

/**
 * The statuses of a contract. `proposed` once both have signed the terms, `opening` while the funding is
 * agreed, `funding` until it is deep enough, `open` while states are signed, `closing` once a transaction
 * that ends the channel is signed, `closed` when that is deep; `failed` where there never was a channel. A
 * contract without a channel goes from `proposed` to `open` and `closed`. `PROTOCOL.md` has the table of
 * all events.
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
 * A reason to take on no new obligations. `suspended`: our own fault (a disk, a lock, a node), until it has
 * passed. `broken`: signed proof against the other side, for good. Neither ever stops a close.
 */
export type Fault = { readonly type: 'suspended' | 'broken'; readonly code: string };

/**
 * True for a fault that ends with the next block. It does not stop writes, and gives way to a fault that
 * does.
 */
export function isStall(fault: Fault | undefined): boolean {
  return fault?.type === 'suspended' && fault.code === 'chain_stalled';
}

/** The transaction that ends the channel, as far as this side has signatures for it. */
export type CloseRecord = {
  readonly kind: PendingClose['kind'];
  /** The complete transaction in hex; undefined while the other side's signature is missing. */
  readonly transactionHex: string | undefined;
  readonly feeSat: bigint;
  /** Number of the state that it pays; undefined for a refund. No later state may count as paid. */
  readonly n?: number;
  /** Upper bound of its virtual bytes; 0 while it is not complete. */
  readonly vsize: number;
};

/** The state of a connection to the other side, from its reestablish on. */
export type LinkState = {
  /** True once the other side said that it sees the funding at the agreed depth. */
  readonly isPeerReady: boolean;
  /** The own `channel.ready`: sent, and (miner) answered. */
  readonly ready: 'unsent' | 'sent' | 'answered';
  /** Miner: true once the maker has judged all evidence. */
  readonly isDrained: boolean;
  /** Miner: true once the cooperative close was asked for, which happens once per connection. */
  readonly isCloseAsked: boolean;
  /** Miner: true while evidence is sent. */
  readonly isFeeding: boolean;
  /** Maker: number of the state that was sent and is not acked. */
  readonly offeredN: number | undefined;
  /**
   * Maker: number of the state whose claim of the seal was asked for; refused ones are not asked for again.
   */
  readonly claimAskedN: number | undefined;
  readonly isClaimRefused: boolean;
};

/** The state of a connection just reestablished. */
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
  /** The reason of a failure or of the end; empty otherwise. */
  readonly reason: string;
  readonly fault: Fault | undefined;
  readonly stream: StreamState;
  readonly watch: WatchState;
  readonly close: CloseRecord | undefined;
  /** Height of the newest tip seen; undefined before the first. */
  readonly tipHeight: number | undefined;
  /** Height at which the funding was `min_depth` deep, by that tip; undefined while no block holds it. */
  readonly deepHeight: number | undefined;
  /** Miner: tip height at which the cooperative close was first asked for. */
  readonly askedHeight: number | undefined;
  /** All work so far in hashes, from the `work` event; credited once the stream is open. */
  readonly workHashes: bigint;
  /** Miner: see `StreamState.deliveredWork`; the maker's is `workHashes`. */
  readonly deliveredHashes: bigint;
  /** Miner: true while all contracts of the proxy together have too much unpaid. */
  readonly isHeld: boolean;
  /** Pauses, ends by notice and what was given up; on disk before this state has them. */
  readonly notices: Notices;
  /** Maker: number of the newest state that the miner has on disk; -1 before. */
  readonly ackedN: number;
  /** Maker: number of the state that is being signed and stored. */
  readonly signingN: number | undefined;
  /** Maker: number of the newest claim of the seal; undefined where there is none. */
  readonly claimedN: number | undefined;
  /** Maker: true once another transaction spent the seal; nothing more is claimed or paid. */
  readonly isSealLost: boolean;
  /**
   * False after a start until the other side was asked for a newer state, or had its time to answer; a close
   * that no deadline forces waits for it.
   */
  readonly isCurrent: boolean;
  /** Miner: true once the maker refused to sign the funding: it is cancelled whatever the height. */
  readonly isOpeningRefused: boolean;
  readonly link: LinkState | undefined;
};

/** The fixed inputs of a contract's state machine. */
export type LifecycleOptions = {
  readonly role: LifecycleRole;
  readonly terms: ContractTerms;
  readonly margins: CloseMargins;
  /** See `StreamOptions`. */
  readonly unpaidTimeoutMs?: number;
  /** False for a contract without a channel: work is metered and not paid. */
  readonly hasChannel: boolean;
};

/** An event of a contract's state machine. */
export type LifecycleEvent =
  /** Both have signed the terms, and they are stored. */
  | { readonly type: 'contract_signed' }
  /** Both halves of the opening and state 0 are stored. */
  | ({ readonly type: 'opening_agreed' } & StatePoint)
  /** The funding is signed and stored; the chain may have shown it before. */
  | { readonly type: 'funding_signed' }
  /** Miner: the maker will not sign the funding, and has the miner's signatures of it. */
  | { readonly type: 'opening_refused' }
  /** This side gives up an opening that was never signed. */
  | { readonly type: 'opening_given_up'; readonly reason: string }
  | { readonly type: 'connected' }
  | { readonly type: 'disconnected' }
  /** The other side sees the funding at the agreed depth. */
  | { readonly type: 'peer_ready' }
  /** Miner: our `ready` was answered. */
  | { readonly type: 'ready_answered' }
  /** A tip, and the channel as the node shows it there; the same tip may come again. */
  | { readonly type: 'tip'; readonly height: number; readonly view: ChannelView }
  /** A person or program asks for a close without the other side. */
  | { readonly type: 'close_alone'; readonly height: number; readonly view: ChannelView }
  /**
   * All verified and durable work so far in hashes. Maker: the credited work. Miner: its own, less the
   * refused; with it what counts as delivered (by default the same), and whether the proxy holds it back.
   */
  | {
      readonly type: 'work';
      readonly workHashes: bigint;
      readonly deliveredHashes?: bigint;
      readonly isHeld?: boolean;
    }
  /** Miner: whether the maker has judged all evidence. */
  | { readonly type: 'evidence'; readonly isDrained: boolean }
  /** A state passed all checks, and is stored with this event. */
  | ({ readonly type: 'state_stored' } & StatePoint)
  /** Maker: the miner has this state on disk. */
  | { readonly type: 'state_acked'; readonly n: number }
  /** Maker: the claim of the seal for this state is stored. */
  | { readonly type: 'claim_stored'; readonly n: number }
  | { readonly type: 'claim_refused' }
  | { readonly type: 'seal_lost' }
  /** Either side, or a person, asks for the end of the contract. */
  | { readonly type: 'close_requested' }
  /** The notices have changed. */
  | { readonly type: 'noticed'; readonly notices: Notices }
  /** Delivery is in default: nothing more is bought. */
  | { readonly type: 'defaulted' }
  /** Miner: the maker does not close together before the end of the contract, by its policy. */
  | { readonly type: 'close_refused' }
  /** This side's signature of the cooperative close by state n is about to be sent. */
  | { readonly type: 'close_signed'; readonly n: number; readonly feeSat: bigint }
  /** A transaction that ends the channel is complete; comes before its broadcast. */
  | { readonly type: 'close_built'; readonly close: CloseRecord & { readonly transactionHex: string } }
  | { readonly type: 'suspended'; readonly code: string }
  /** The cause of a suspension has passed: any, or only a fault of this code. */
  | { readonly type: 'resumed'; readonly code?: string }
  /** The other side had its time to show a newer state after a start, and was not reached. */
  | { readonly type: 'peer_silent' }
  /** Signed proof against the other side, stored with this event. */
  | { readonly type: 'broken'; readonly code: string }
  | { readonly type: 'tick' };

/** An effect that the state machine asks its caller to perform, in this order. */
export type LifecycleEffect =
  /** Store the change before the effects that follow; effects on the chain do not wait for it. */
  | { readonly type: 'persist' }
  | StreamEffect
  | Exclude<WatchEffect, { readonly type: 'status' | 'funded' | 'refuse_steps' }>
  /** Tell the other side that the funding has the agreed depth. */
  | { readonly type: 'send_ready' }
  /** Miner: begin to send evidence. */
  | { readonly type: 'start_feed' }
  /** Maker: ask for the seal's claim of this state, before it is paid. */
  | { readonly type: 'ask_claim'; readonly n: number }
  /** Maker: sign the state and store it. */
  | { readonly type: 'sign_state'; readonly n: number }
  /** Maker: send the newest state, which is on disk. */
  | { readonly type: 'offer_state'; readonly n: number }
  /** Miner: begin the cooperative close with the maker. */
  | { readonly type: 'ask_close' };

/** The result of one step: the new state, and what to do. */
export type LifecycleTransition = {
  readonly state: LifecycleState;
  readonly effects: readonly LifecycleEffect[];
};

/** The state before the terms are signed. */
export const UNSIGNED: LifecycleState = {
  status: 'proposed',
  reason: '',
  fault: undefined,
  stream: PENDING_STREAM,
  watch: watchFrom('opening', undefined),
  close: undefined,
  tipHeight: undefined,
  deepHeight: undefined,
  askedHeight: undefined,
  workHashes: 0n,
  deliveredHashes: 0n,
  isHeld: false,
  notices: NO_NOTICES,
  ackedN: -1,
  signingN: undefined,
  claimedN: undefined,
  isSealLost: false,
  isCurrent: true,
  isOpeningRefused: false,
  link: undefined,
};

const ANYWHERE = LIFECYCLE_STATUSES;
const CHANNEL: readonly LifecycleStatus[] = ['opening', 'funding', 'open', 'closing', 'closed'];

/** The statuses in which each event is accepted; in others it is refused with `wrong_status`. */
export const ACCEPTED_IN: Readonly<Record<LifecycleEvent['type'], readonly LifecycleStatus[]>> = {
  contract_signed: ['proposed'],
  opening_agreed: ['proposed'],
  funding_signed: CHANNEL,
  opening_refused: ANYWHERE,
  opening_given_up: ['proposed', 'opening'],
  connected: ANYWHERE,
  disconnected: ANYWHERE,
  peer_silent: ANYWHERE,
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
  noticed: ANYWHERE,
  defaulted: ANYWHERE,
  close_refused: ANYWHERE,
  close_signed: ['funding', 'open', 'closing'],
  close_built: ['funding', 'open', 'closing', 'closed'],
  suspended: ANYWHERE,
  resumed: ANYWHERE,
  broken: ANYWHERE,
  tick: ANYWHERE,
};
