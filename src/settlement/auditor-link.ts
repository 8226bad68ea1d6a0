import { backoffMs } from '../base/backoff.ts';
import type { Clock, Random, Timer, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { hostPortText } from '../base/host-port.ts';
import { LIMITS } from '../base/limits.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import type { ChannelRole } from '../channel/keys.ts';
import type { Signer } from '../channel/signer.ts';
import type { SignedState } from '../channel/states.ts';
import { bondsOf } from '../contract/bond-terms.ts';
import { courseOptionsOf } from '../contract/delivery-course.ts';
import type { LogVerdict } from '../contract/minute-ruling.ts';
import { otherSide } from '../contract/sides.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { call } from '../peer/calls.ts';
import { type CommitmentRecord, commitmentRecordCodec } from '../peer/commitment-codecs.ts';
import { type FeatureSet, OFFERED_FEATURES } from '../peer/features.ts';
import { authenticate } from '../peer/handshake.ts';
import type { Result } from '../peer/messages.ts';
import { DEFAULT_RPC, RpcPeer } from '../peer/rpc-peer.ts';
import { connectPeer, DEFAULT_TRANSPORT } from '../peer/transport.ts';
import type { RequestFolder } from './external-signing.ts';
import { firstMinute, readMinutes } from './minute-records.ts';
import { type AssembledChannel, identityOfSigner } from './opening.ts';
import {
  type ChannelRecord,
  COMMITMENT_KIND,
  type ContractRecord,
  parseBody,
  REMAINS_KIND,
  stateDocumentId,
} from './records.ts';

/** A contract of this side, as its store has it. */
export type AuditedSide = {
  readonly role: ChannelRole;
  readonly store: {
    readonly contractId: string;
    readonly terms: ContractTerms;
    readonly contract: Pick<ContractRecord, 'minerSignature' | 'makerSignature'> | undefined;
    readonly assembled: AssembledChannel | undefined;
    readonly last: SignedState | undefined;
    readonly channel: Pick<ChannelRecord, 'status'> | undefined;
  };
};

export type AuditorPlace = {
  readonly host: string;
  readonly port: number;
  readonly nodeId: string;
  /** The key that terms name, compressed, in hex; undefined: it is asked for. */
  readonly keyHex?: string | undefined;
};

export type AuditorLinkDeps = {
  readonly network: NetworkName;
  readonly ledger: Ledger;
  readonly signer: Signer;
  readonly requests: Pick<RequestFolder, 'waiting' | 'answer'>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  readonly connect?: typeof connectPeer;
};

/** What the auditor says of a contract; as a status shows it. */
export type AuditorView = {
  readonly isConnected: boolean;
  /** See `auditor.contract`; undefined until it was told. */
  readonly channel: Result<'auditor.contract'>['channel'] | undefined;
  /** First minute of the own log that it does not have yet. */
  readonly toldMinute: number | undefined;
  readonly verdict: LogVerdict | undefined;
  readonly words: string | undefined;
  /** Why it was not told of the contract, or the last connection ended. */
  readonly lastError: string | undefined;
};

type Followed = AuditedSide & {
  /** Next minutes of both logs to be told; undefined until the auditor said on this connection. */
  next: Record<ChannelRole, number> | undefined;
  channel: AuditorView['channel'];
  ruling: Pick<Result<'auditor.ruling'>, 'verdict' | 'words'> | undefined;
  lastError: string | undefined;
  isOver: boolean;
};

const LOOK_MS = 30_000;
const RETRY = { baseMs: 1_000, maxMs: 60_000 };
const CONNECT_TIMEOUT_MS = 10_000;
const MINUTE_MS = 60_000;
const AUDITOR_PATH = 'bonds.auditor_key';
/** Messages about one log in a row. */
const MOST_MESSAGES = 16;
/** Newest states of which a commitment by both is looked for. */
const COMMITMENTS_LOOKED = 4;

/**
 * The link of a side to the auditor of its contracts: shows each with its channel, tells both minute logs as
 * they come, and has the requests for rulings signed that wait in the folder. Nothing waits for it: without
 * an answer each bond goes to its owner after its delay.
 */
export class AuditorLink {
  readonly place: AuditorPlace;
  readonly #deps: AuditorLinkDeps;
  readonly #sides = new Map<string, Followed>();
  #timer: Timer | undefined;
  #peer: RpcPeer | undefined;
  #connecting: Promise<RpcPeer> | undefined;
  /** What the program says on this connection of its key. */
  #about: Promise<string> | undefined;
  #round: Promise<void> | undefined;
  #attempt = 0;
  #notBeforeMs = 0;
  #lastError: string | undefined;
  readonly #stop = new AbortController();

  constructor(place: AuditorPlace, deps: AuditorLinkDeps) {
    this.place = place;
    this.#deps = deps;
  }

  /** Follows a contract, where its terms have an auditor and rules of delivery. */
  follow(side: AuditedSide): void {
    const { terms, contractId } = side.store;
    if (bondsOf(terms).bondMode !== 'auditor' || courseOptionsOf(terms, 'agreed') === undefined) return;
    const nothing = { next: undefined, channel: undefined, ruling: undefined, lastError: undefined };
    if (!this.#sides.has(contractId)) this.#sides.set(contractId, { ...side, ...nothing, isOver: false });
    this.#timer ??= this.#deps.timers.every(LOOK_MS, () => this.look());
  }

  viewOf(contractId: string): AuditorView | undefined {
    const side = this.#sides.get(contractId);
    if (side === undefined) return undefined;
    const { channel, next, ruling, role } = side;
    return {
      ...{ isConnected: this.#peer !== undefined, channel, toldMinute: next?.[role] },
      ...{ verdict: ruling?.verdict, words: ruling?.words },
      lastError: side.lastError ?? this.#lastError,
    };
  }

  /**
   * Checks, before terms are signed, that the program here is the auditor they name, and answers. Throws
   * `bad_terms` with the term. One of a version before says no key of its own, and is believed.
   */
  async assertNamed(terms: Pick<ContractTerms, 'bonds'>): Promise<void> {
    const bonds = bondsOf(terms);
    if (bonds.bondMode !== 'auditor') return;
    const { auditorKeyHex: got } = bonds;
    const known = this.place.keyHex ?? got;
    const allowed = known === got ? await this.#keyOf(got) : known;
    if (allowed === got) return;
    const reason = `the auditor at ${this.#at} has another key`;
    throw new CodedError('bad_terms', reason, { path: AUDITOR_PATH, got, allowed });
  }

  /** The key of the program; `otherwise` where it says none. Throws `bad_terms` where it is not there. */
  async #keyOf(otherwise: string): Promise<string> {
    try {
      if (this.#isWaiting) throw new CodedError('peer_closed', this.#lastError ?? '');
      const peer = await this.#connected();
      this.#about ??= call(peer, 'auditor.about', {}).then(({ auditorKeyHex }) => auditorKeyHex);
      return await this.#about;
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      if (error.code === 'unknown_method') return otherwise;
      this.#about = undefined;
      if (this.#peer === undefined && !this.#isWaiting) this.#failed(error);
      throw new CodedError('bad_terms', `the auditor at ${this.#at} does not answer (${error.code})`, {
        ...{ path: AUDITOR_PATH, got: otherwise, allowed: 'once it answers' },
      });
    }
  }

  /** After a failure, until it is tried again. */
  get #isWaiting(): boolean {
    return this.#deps.clock.monotonicMs() < this.#notBeforeMs;
  }

  get #at(): string {
    return hostPortText(this.place.host, this.place.port);
  }

  /** Starts a round of telling, unless one runs. */
  look(): void {
    if (this.#round !== undefined || this.#stop.signal.aborted) return;
    this.#round = this.#tellAll()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#round = undefined;
      });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#timer?.cancel();
    this.#peer?.close();
    await this.#round;
  }

  #failed(error: unknown): void {
    if (!(error instanceof CodedError)) throw error;
    const { code, message: detail } = error;
    if (this.#lastError !== code) this.#deps.log.warn({ code, detail }, 'the auditor is not reached');
    this.#lastError = code;
    this.#notBeforeMs = this.#deps.clock.monotonicMs() + backoffMs(RETRY, this.#attempt, this.#deps.random);
    this.#attempt += 1;
  }

  async #tellAll(): Promise<void> {
    for (const side of this.#sides.values()) await this.#lookWhetherOver(side);
    const open = [...this.#sides.values()].filter((side) => !side.isOver && isAuditable(side));
    if (open.length === 0 || this.#isWaiting) return;
    const peer = await this.#connected();
    for (const side of open) {
      try {
        await this.#tell(peer, side);
        side.lastError = undefined;
      } catch (error) {
        if (!(error instanceof CodedError) || peer.isClosed) throw error;
        side.lastError = error.code;
        const { code, message: detail } = error;
        this.#deps.log.warn({ contract: side.store.contractId, code, detail }, 'the auditor refuses');
      }
    }
  }

  /** Bonds that are settled need no ruling. */
  async #lookWhetherOver(side: Followed): Promise<void> {
    side.isOver ||= (await this.#deps.ledger.get(REMAINS_KIND, side.store.contractId)) !== undefined;
  }

  /** One connection, whoever asks for it first. */
  #connected(): Promise<RpcPeer> {
    if (this.#peer !== undefined && !this.#peer.isClosed) return Promise.resolve(this.#peer);
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(): Promise<RpcPeer> {
    for (const side of this.#sides.values()) side.next = undefined;
    this.#about = undefined;
    const { signer, timers, random, log, network } = this.#deps;
    const { host, port, nodeId } = this.place;
    const connection = await (this.#deps.connect ?? connectPeer)(
      {
        ...{ ...DEFAULT_TRANSPORT, host, port },
        ...{ connectTimeoutMs: CONNECT_TIMEOUT_MS, signal: this.#stop.signal },
      },
      { timers },
    );
    const peer = new RpcPeer(connection, DEFAULT_RPC, { log, timers });
    await authenticate(peer, 'client', {
      identity: identityOfSigner(signer),
      genesisHash: NETWORKS[network].genesisHash,
      features: OFFERED_FEATURES,
      isKnown: (id) => id === nodeId,
      ...{ random, timers, timeoutMs: CONNECT_TIMEOUT_MS },
    });
    peer.serve({ ping: async () => ({}) }, 'unknown_method');
    this.#peer = peer;
    void peer.closed.then(() => {
      if (this.#peer === peer) this.#peer = undefined;
      this.#about = undefined;
    });
    this.#attempt = 0;
    this.#lastError = undefined;
    return peer;
  }

  async #tell(peer: RpcPeer, side: Followed): Promise<void> {
    if (side.next === undefined || side.channel !== 'shared') await this.#show(peer, side);
    const next = side.next;
    if (next === undefined) return;
    let isMore = false;
    for (const role of ['miner', 'maker'] as const) {
      const told = await this.#tellLog(peer, side.store.contractId, { role, next: next[role] });
      isMore ||= told > next[role];
      next[role] = told;
    }
    const { contractId } = side.store;
    // What the other side tells may change it, also where there is no more to tell here.
    if (isMore || side.ruling?.verdict !== otherSide(side.role))
      side.ruling = await call(peer, 'auditor.ruling', { contractId });
    await this.#haveSigned(peer, side);
  }

  /** Shows the contract with its channel. */
  async #show(peer: RpcPeer, side: Followed): Promise<void> {
    const { contractId, terms, contract, assembled } = side.store;
    if (contract === undefined || assembled === undefined) return;
    const { minerSignature, makerSignature } = contract;
    const commitment = await this.#commitment(side, peer.features);
    const shown = await call(peer, 'auditor.contract', {
      ...{ contractId, terms, minerSignature, makerSignature, channel: assembled.params },
      ...(commitment === undefined ? {} : { commitment }),
    });
    if (shown.channel === 'differs' && side.channel !== 'differs')
      this.#deps.log.error({ contract: contractId }, 'the other side shows the auditor another channel');
    side.channel = shown.channel;
    side.next ??= { miner: shown.minerNext, maker: shown.makerNext };
  }

  /** A commitment of the newest states that both signed and the auditor can read: it proves the channel. */
  async #commitment(
    { store: { contractId, last } }: Followed,
    features: FeatureSet,
  ): Promise<CommitmentRecord | undefined> {
    const newest = last?.n ?? 0;
    for (let n = newest; n > Math.max(0, newest - COMMITMENTS_LOOKED); n -= 1) {
      const body = await this.#deps.ledger.get(COMMITMENT_KIND, stateDocumentId(contractId, n));
      const record =
        body === undefined ? undefined : parseBody(COMMITMENT_KIND, commitmentRecordCodec, body);
      const isRead = record?.eventsHead === undefined || features.has('event_log');
      if (record?.minerSignature !== undefined && isRead) return record;
    }
    return undefined;
  }

  /** Tells what is on the disk of one log; returns the next minute to be told. */
  async #tellLog(
    peer: RpcPeer,
    contractId: string,
    { role, next }: { readonly role: ChannelRole; readonly next: number },
  ): Promise<number> {
    const { ledger, clock } = this.#deps;
    const until = Math.floor(clock.nowMs() / MINUTE_MS) + LIMITS.minutesAhead;
    let from = next > 0 ? next : await firstMinute(ledger, contractId, role);
    for (let message = 0; from !== undefined && message < MOST_MESSAGES; message += 1) {
      const hours = Math.floor(LIMITS.peerMinutes / 60);
      const told = await readMinutes(ledger, { contractId, role }, { from, until, hours });
      if (told.reports.length === 0) break;
      const { signature } = told;
      const signed = signature === undefined ? {} : { signature };
      const answer = await call(peer, 'auditor.minutes', {
        ...{ contractId, role, reports: told.reports, ...signed },
      });
      if (answer.next <= from) throw new CodedError('protocol', 'the auditor takes no more of a log');
      from = answer.next;
    }
    return from ?? next;
  }

  /** Has the requests signed that give this side a bond. */
  async #haveSigned(peer: RpcPeer, { role, store: { contractId }, ruling }: Followed): Promise<void> {
    const { requests, log } = this.#deps;
    if (ruling?.verdict !== otherSide(role)) return;
    for (const { name, satPerKvb, psbt } of requests.waiting(`${contractId}.ruling-`)) {
      const owner = name.startsWith(`${contractId}.ruling-miner-`) ? 'miner' : 'maker';
      const asked = { contractId, owner, feeRateSatPerKvb: satPerKvb, psbt } as const;
      const signed = await call(peer, 'auditor.sign', asked);
      requests.answer(name, satPerKvb, signed.psbt);
      log.warn({ contract: contractId, request: name }, 'the auditor signed');
    }
  }
}

/** A channel that was open has a log to tell; one that is closed, bonds that may still be ruled on. */
function isAuditable({ store: { channel } }: AuditedSide): boolean {
  return channel !== undefined && AUDITABLE.has(channel.status);
}

const AUDITABLE: ReadonlySet<ChannelRecord['status']> = new Set(['open', 'closing', 'closed']);
