import { assert } from '../base/assert.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import type { ChainTip } from '../chain/source.ts';
import { finalizeClose, signClose, verifyClose } from '../channel/close.ts';
import { verifyAck } from '../channel/states.ts';
import { exposureSat } from '../contract/stream.ts';
import type { Logger } from '../log/logger.ts';
import { call, Serial } from '../peering/calls.ts';
import type { Params, Result } from '../peering/messages.ts';
import type { SignerTree } from '../peering/opening.ts';
import type { RpcPeer } from '../peering/rpc-peer.ts';
import { Intake, type IntakeDeps, type IntakeOptions } from './intake.ts';
import type { MakerBook } from './maker-book.ts';
import { MakerChain, type MakerChainDeps } from './maker-chain.ts';

export type MakerChannelOptions = { readonly intake: IntakeOptions; readonly finalDepth: number };

export type MakerChannelDeps = IntakeDeps &
  MakerChainDeps & {
    readonly signer: SignerTree;
    readonly log: Logger;
    readonly onChange: () => void;
  };

/**
 * The maker's end of one contract once its opening is stored: takes work, signs a state for each step,
 * resends what was not
 * acked, and closes. One task at a time, so that what is checked is still so when it is written.
 */
export class MakerChannel {
  readonly book: MakerBook;
  readonly intake: Intake;
  readonly stats = { statesSigned: 0, statesAcked: 0 };
  readonly #deps: MakerChannelDeps;
  readonly #serial = new Serial();
  readonly #onChain: MakerChain;
  #peer: RpcPeer | undefined;
  #minerReady = false;
  #readySent = false;
  #offering = false;
  #settled: (() => void)[] = [];

  constructor(book: MakerBook, options: MakerChannelOptions, deps: MakerChannelDeps) {
    this.book = book;
    this.#deps = deps;
    this.intake = new Intake(book, options.intake, deps);
    this.#onChain = new MakerChain(book, options.finalDepth, deps);
  }

  get connected(): boolean {
    return this.#peer !== undefined;
  }

  /**
   * `channel.reestablish`: the four cases of `channel.md` 7. The miner's newer state, well signed by us, is
   * taken over.
   */
  reestablish(
    peer: RpcPeer,
    { n, state, nextSeq }: Params<'channel.reestablish'>,
  ): Promise<Result<'channel.reestablish'>> {
    return this.#serial.run(async () => {
      const { book } = this;
      const { last } = book;
      if (last === undefined) throw new CodedError('unknown_channel');
      if (state !== null && state.n !== n) throw new CodedError('protocol', 'another state than announced');
      if (n > last.n) {
        if (state === null) throw new CodedError('wrong_state_number', `no proof of state ${n}`);
        const height = this.#deps.view.tip?.height ?? book.terms.expiryHeight;
        await book.adopt(state, nextSeq, height);
      } else if (n === last.n && state !== null) {
        await book.compare(state);
      }
      this.#attach(peer);
      return {
        n: book.last!.n,
        state: n < last.n ? last : null,
        nextSeq: book.delivery.nextSeq,
        verifiedWork: book.delivery.verifiedWorkHashes,
      };
    });
  }

  /** `channel.ready` of the miner. */
  async minerReady(peer: RpcPeer, { txid }: Params<'channel.ready'>): Promise<Result<'channel.ready'>> {
    if (txid !== this.book.channel?.fundingTxid) throw new CodedError('bad_funding', 'another funding');
    this.#assertAttached(peer);
    this.#minerReady = true;
    this.lookAtChain();
    return {};
  }

  announce(peer: RpcPeer, { job }: Params<'job.announce'>): Promise<Result<'job.announce'>> {
    return this.#serial.run(async () => {
      this.#assertAttached(peer);
      await this.intake.announce(job);
      return {};
    });
  }

  takeBatch(peer: RpcPeer, batch: Params<'work.batch'>): Promise<Result<'work.batch'>> {
    const taken = this.#serial.run(async () => {
      this.#assertAttached(peer);
      this.#assertThawed();
      const { book } = this;
      if (!book.stream.opened || book.channel?.status !== 'open') {
        throw new CodedError('protocol', 'the channel is not open');
      }
      return this.intake.take(batch);
    });
    taken.then(
      () => this.#signIfDue(),
      () => {},
    );
    return taken;
  }

  /** `channel.shutdown`: no more work is asked for; answers once all that can be paid is signed and acked. */
  async shutdown(peer: RpcPeer): Promise<Result<'channel.shutdown'>> {
    this.#assertAttached(peer);
    this.#assertThawed();
    await this.#serial.run(async () => {
      this.book.apply({ type: 'close_requested' });
    });
    this.#signIfDue();
    if (!this.#isSettled()) {
      const settled = new Promise<void>((resolve) => this.#settled.push(resolve));
      await Promise.race([settled, peer.closed]);
    }
    return { n: this.book.last!.n };
  }

  /** `close.sig`: after it no state is signed any more. */
  closeSignature(
    peer: RpcPeer,
    { n, feeSat, signature }: Params<'close.sig'>,
  ): Promise<Result<'close.sig'>> {
    return this.#serial.run(async () => {
      this.#assertAttached(peer);
      this.#assertThawed();
      const { channel, last, assembled, contract } = this.book;
      assert(channel && last && assembled, 'maker_channel_before_close');
      if (channel.closeTx !== null) return { closeTx: channel.closeTx };
      if (channel.status !== 'open' && channel.status !== 'funding') {
        throw new CodedError('unknown_channel', 'the channel is spent');
      }
      if (n !== last.n) throw new CodedError('wrong_state_number', `the newest state is ${last.n}`);
      const { params } = assembled;
      verifyClose(params, last, feeSat, 'miner', signature);
      const signer = this.#deps.signer.forChannel(contract.channelIndex);
      const maker = signClose(params, last, feeSat, 'maker', signer);
      const { hex } = finalizeClose(params, last, feeSat, { miner: signature, maker });
      await this.book.setStatus('closing', { reason: 'cooperative', closeTx: hex, closeFeeSat: feeSat });
      await this.#onChain.broadcast(hex);
      this.#deps.onChange();
      return { closeTx: hex };
    });
  }

  /** After each tip and each message that may make the channel ready. */
  lookAtChain(): void {
    const tip = this.#deps.view.tip;
    if (tip === undefined) return;
    this.#run(async () => {
      await this.#onChain.onTip(tip);
      await this.#becomeReady(tip);
    });
  }

  /** Resolves when everything queued is done. */
  async idle(): Promise<void> {
    await this.#serial.run(async () => {});
  }

  #attach(peer: RpcPeer): void {
    if (this.#peer !== undefined && this.#peer !== peer) this.#peer.close();
    this.#peer = peer;
    this.#minerReady = false;
    this.#readySent = false;
    this.#offering = false;
    this.intake.openBacklog();
    void peer.closed.then(() => {
      if (this.#peer !== peer) return;
      this.#peer = undefined;
      this.#deps.onChange();
    });
    // The answer leaves first: a peer serves our requests only once its own is answered.
    setImmediate(() => {
      this.lookAtChain();
      this.#signIfDue();
    });
  }

  /** Both sides saw the funding at the agreed depth: work may come. */
  async #becomeReady(tip: ChainTip): Promise<void> {
    const { book } = this;
    const peer = this.#peer;
    const { channel } = book;
    if (peer === undefined || channel === undefined || !this.#onChain.isDeep) return;
    if (channel.status !== 'funding' && channel.status !== 'open') return;
    if (this.#minerReady && channel.status === 'funding') {
      await book.setStatus('open');
      book.apply({ type: 'channel_open' });
      book.apply({ type: 'work_verified', workHashes: book.delivery.verifiedWorkHashes });
      this.#deps.onChange();
    }
    if (this.#readySent || book.channel?.status !== 'open') return;
    this.#readySent = true;
    const { contractId } = book;
    call(peer, 'channel.ready', { contractId, txid: channel.fundingTxid, height: tip.height }).catch(
      (error: unknown) => this.#peerFailed(peer, error),
    );
  }

  /**
   * Signs the next state when a step is verified and the last one acked; then offers whatever is not acked.
   */
  #signIfDue(): void {
    this.#run(async () => {
      const { book } = this;
      const isOpen = book.channel?.status === 'open' && book.frozen === undefined;
      if (isOpen && book.offered === undefined && book.stream.signing !== undefined) {
        await book.signNext();
        this.stats.statesSigned += 1;
        this.#deps.onChange();
      }
      this.#offer();
    });
  }

  /** Sends the newest state until it is acked; it was stored before. */
  #offer(): void {
    const state = this.book.offered;
    const peer = this.#peer;
    if (this.#isSettled()) this.#wakeSettled();
    if (state === undefined || peer === undefined || this.#offering) return;
    this.#offering = true;
    const { contractId, assembled } = this.book;
    call(peer, 'state.sign', { contractId, state })
      .then(async ({ n, ackSignature }) => {
        if (n !== state.n) throw new CodedError('wrong_state_number', `ack of ${n} for ${state.n}`);
        verifyAck(assembled!.params, state, ackSignature);
        await this.#serial.run(() => this.book.ack(n, ackSignature));
        if (this.#peer === peer) this.#offering = false;
        this.stats.statesAcked += 1;
        this.#deps.onChange();
        this.#signIfDue();
      })
      .catch((error: unknown) => this.#peerFailed(peer, error));
  }

  #peerFailed(peer: RpcPeer, error: unknown): void {
    if (!(error instanceof CodedError)) throw error;
    this.#deps.log.warn({ contract: this.book.contractId, code: error.code }, 'the miner did not follow');
    peer.closeWithError(error);
  }

  #isSettled(): boolean {
    const { book } = this;
    if (book.offered !== undefined) return false;
    return book.stream.status !== 'ending' || exposureSat(book.terms, book.stream) === 0n;
  }

  #wakeSettled(): void {
    const waiting = this.#settled;
    this.#settled = [];
    for (const wake of waiting) wake();
  }

  #assertAttached(peer: RpcPeer): void {
    if (this.#peer !== peer) throw new CodedError('protocol', 'reestablish the channel first');
  }

  #assertThawed(): void {
    const { frozen } = this.book;
    if (frozen !== undefined) throw new CodedError('channel_frozen', frozen.code);
  }

  #run(task: () => Promise<void>): void {
    this.#serial.run(task).catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      const fields = { contract: this.book.contractId, code: codeOf(error), detail: error.message };
      this.#deps.log.warn(fields, 'a task of the channel failed');
    });
  }
}
