import { fromHex, toHex } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import { isSchnorrSignature, type Signer } from '../channel/signer.ts';
import type { CurtailmentNotice, MinuteRole } from '../contract/minutes.ts';
import {
  endDigest,
  isInForce,
  type NoticeEffect,
  type NoticeEvent,
  type Notices,
  type Pause,
  transition,
  withSaid,
} from '../contract/notices.ts';
import { nodeIdOf, otherSide } from '../contract/sides.ts';
import { exposureSat } from '../contract/stream.ts';
import type { Logger } from '../log/logger.ts';
import { call, handler } from '../peer/calls.ts';
import type { Params } from '../peer/messages.ts';
import type { RpcHandlers, RpcPeer } from '../peer/rpc-peer.ts';
import type { ContractStore } from './contract-store.ts';
import { noticesEntry } from './notice-records.ts';

export type NoticeBoardDeps = {
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onChange: () => void;
};

/** What a person or program asks for. */
export type NoticeRequest =
  | Extract<NoticeEvent, { readonly type: 'pause' | 'resume' }>
  | { readonly type: 'end' }
  | { readonly type: 'void' };

/** What was said of a contract beyond its terms, as a status shows it. */
export type NoticesView = Pick<Notices, 'pauses' | 'curtailedBlocks' | 'writtenOffSat'> & {
  /** The height of each side's notice of the end, and whether it counts. */
  readonly ends: Readonly<
    Record<MinuteRole, { readonly height: number; readonly isTaken: boolean } | undefined>
  >;
};

/** The notices, without signatures. */
export function noticesView({ pauses, curtailedBlocks, writtenOffSat, ends }: Notices): NoticesView {
  const endOf = (role: MinuteRole) => {
    const end = ends[role];
    return end === undefined ? undefined : { height: end.height, isTaken: end.isTaken };
  };
  return { pauses, curtailedBlocks, writtenOffSat, ends: { miner: endOf('miner'), maker: endOf('maker') } };
}

/**
 * What the other side may say of a contract.
 * @param boardOf throws where it may not
 */
export function noticeHandlers(boardOf: (contractId: string) => NoticeBoard): RpcHandlers {
  return {
    'contract.pause': handler('contract.pause', async ({ contractId, ...pause }) => {
      await boardOf(contractId).hearPause(pause);
      return {};
    }),
    'contract.resume': handler('contract.resume', async ({ contractId }) => {
      await boardOf(contractId).hearPause(undefined);
      return {};
    }),
    'contract.end': handler('contract.end', async (notice) => {
      await boardOf(notice.contractId).hearEnd(notice);
      return {};
    }),
  };
}

/**
 * The notices of one contract at one side: runs their machine, has each change on disk before it counts or
 * is told, and tells the other side anew on each connection.
 */
export class NoticeBoard {
  readonly #role: MinuteRole;
  readonly #store: ContractStore;
  readonly #deps: NoticeBoardDeps;
  readonly #serial = new SerialQueue();
  #peer: RpcPeer | undefined;
  /** The notice that is in the report which is being written. */
  #givenNotice: CurtailmentNotice | undefined;

  constructor(role: MinuteRole, store: ContractStore, deps: NoticeBoardDeps) {
    this.#role = role;
    this.#store = store;
    this.#deps = deps;
  }

  get #notices(): Notices {
    return this.#store.state.notices;
  }

  /** True while a side pauses. */
  isPaused(role: MinuteRole): boolean {
    return isInForce(this.#notices.pauses[role], this.#height);
  }

  get #height(): number {
    return this.#store.state.tipHeight ?? 0;
  }

  /**
   * Does what is asked for, or says what it would do. Throws as the machine of notices, `wrong_status` before
   * the contract runs or once it ends, and `peer_closed` where the other side has to hear it and is away.
   */
  async ask(request: NoticeRequest, isDryRun: boolean): Promise<NoticesView> {
    const { status } = this.#store.stream;
    const isGone = status === 'ended' || (status === 'ending' && request.type !== 'void');
    if (status === 'pending' || isGone) throw new CodedError('wrong_status', `the contract is ${status}`);
    const event = this.#eventOf(request);
    if (request.type === 'end' || (request.type === 'pause' && this.#role === 'maker')) this.#assertHears();
    if (isDryRun) return noticesView(this.#step(event).state);
    const effects = await this.#take(event);
    for (const effect of effects) await this.#tell(effect);
    return noticesView(this.#notices);
  }

  #eventOf(request: NoticeRequest): NoticeEvent {
    if (request.type === 'void')
      return { type: 'voided', unpaidSat: exposureSat(this.#store.terms, this.#store.stream) };
    return request.type === 'end'
      ? { type: 'end_given', sign: (height) => this.#signEnd(height) }
      : request;
  }

  #signEnd(height: number): string {
    return toHex(this.#deps.signer.signSchnorr('node', endDigest(this.#store.contractId, height)));
  }

  #assertHears(): void {
    if (this.#peer === undefined) throw new CodedError('peer_closed', 'the other side is not connected');
    if (!this.#peer.features.has('notices'))
      throw new CodedError('unsupported', 'the other side does not know notices');
  }

  /** A connection begins: what the other side said before it says anew. */
  linked(peer: RpcPeer): void {
    this.#peer = peer;
    void peer.closed.then(() => {
      if (this.#peer === peer) this.#peer = undefined;
    });
    // It says so itself where it means it: that alone is remembered.
    const isPausing = this.#notices.pauses[otherSide(this.#role)] !== undefined;
    if (isPausing) this.#run({ type: 'peer_resumed' }, false);
  }

  /** Tells the other side what it has to know, once it listens. */
  tellAll(): void {
    const pause = this.#notices.pauses[this.#role];
    const end = this.#notices.ends[this.#role];
    const isOver = pause?.untilHeight !== undefined && this.#height >= pause.untilHeight;
    const tell = async (): Promise<void> => {
      if (pause !== undefined && !isOver) await this.#tell({ type: 'tell_pause', pause });
      if (end?.isTaken === false) await this.#tell({ type: 'tell_end', end });
    };
    tell().catch((error: unknown) => this.#failed(error));
  }

  /** Miner: the notice that belongs into the report which is about to be written. */
  takeUntold(): { readonly notice?: CurtailmentNotice } {
    this.#givenNotice = this.#notices.untold;
    return this.#givenNotice === undefined ? {} : { notice: this.#givenNotice };
  }

  /**
   * A report of this side is on disk.
   * @param curtailedBlocks by both logs
   */
  reported(curtailedBlocks: number): void {
    const notice = this.#givenNotice;
    this.#givenNotice = undefined;
    if (notice !== undefined) this.#run({ type: 'notice_told', notice });
    if (curtailedBlocks > this.#notices.curtailedBlocks)
      this.#run({ type: 'curtailed', blocks: curtailedBlocks });
  }

  /** Takes what the other side says of its pause; undefined for none any more. */
  async hearPause(pause: Pause | undefined): Promise<void> {
    await this.#take(pause === undefined ? { type: 'peer_resumed' } : { type: 'peer_paused', pause });
  }

  /** Throws `bad_signature`, and as the machine of notices. */
  async hearEnd({ height, signature }: Params<'contract.end'>): Promise<void> {
    const { terms, contractId } = this.#store;
    const nodeId = nodeIdOf(terms, otherSide(this.#role));
    const digest = endDigest(contractId, height);
    if (!isSchnorrSignature(digest, fromHex(nodeId, 32), fromHex(signature, 64)))
      throw new CodedError('bad_signature', 'the notice of the end does not verify');
    await this.#take({ type: 'end_heard', height, signature });
  }

  #step(event: NoticeEvent): ReturnType<typeof transition> {
    const options = { terms: this.#store.terms, role: this.#role };
    return transition(options, this.#notices, event, this.#height);
  }

  /** Takes an event; on disk when this resolves, and only then in force. @param isSaid by a side */
  #take(event: NoticeEvent, isSaid = true): Promise<readonly NoticeEffect[]> {
    return this.#serial.run(async () => {
      const { state, effects } = this.#step(event);
      const at = { atHeight: this.#height, atMs: this.#deps.clock.nowMs() };
      const notices = isSaid ? withSaid({ role: this.#role }, this.#notices, state, event, at) : state;
      if (notices !== this.#notices) {
        const { contractId } = this.#store;
        // What the other side says of itself it says anew on each connection.
        const isOwn = event.type !== 'peer_paused' && event.type !== 'peer_resumed';
        const isNews = notices.said !== this.#notices.said;
        const entries = isOwn || isNews ? [noticesEntry(contractId, notices)] : [];
        await this.#store.commit({ type: 'noticed', notices }, entries);
        this.#deps.log.info({ contract: contractId, event: event.type }, 'notice');
        this.#deps.onChange();
      }
      return effects;
    });
  }

  #run(event: NoticeEvent, isSaid = true): void {
    this.#take(event, isSaid).catch((error: unknown) => this.#failed(error));
  }

  async #tell(effect: NoticeEffect): Promise<void> {
    const peer = this.#peer;
    if (peer?.features.has('notices') !== true) return;
    const { contractId } = this.#store;
    switch (effect.type) {
      case 'tell_pause':
        await call(peer, 'contract.pause', { contractId, ...effect.pause });
        return;
      case 'tell_resume':
        await call(peer, 'contract.resume', { contractId });
        return;
      case 'tell_end': {
        const { height, signature } = effect.end;
        await call(peer, 'contract.end', { contractId, height, signature });
        await this.#take({ type: 'end_taken' });
      }
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof CodedError)) throw error;
    const fields = { contract: this.#store.contractId, code: error.code, detail: error.message };
    this.#deps.log.warn(fields, 'a notice was not told or stored');
  }
}
