import { assert } from '../base/assert.ts';
import type { Random } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import type { ChainTip } from '../chain/source.ts';
import { type CloseSettlement, finalizeClose, signClose, verifyClose } from '../channel/close.ts';
import { verifyAck } from '../channel/states.ts';
import { exposureSat } from '../contract/stream.ts';
import { isAtStake } from '../contract/vesting.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { answerForBond, BondAsker, type BondSide } from '../peering/bond-release.ts';
import { call, Serial } from '../peering/calls.ts';
import type { Params, Result } from '../peering/messages.ts';
import type { SignerTree } from '../peering/opening.ts';
import { leaveBlob } from '../peering/peer-blob.ts';
import { Remains, type SealStanding } from '../peering/remains.ts';
import type { RpcPeer } from '../peering/rpc-peer.ts';
import { Intake, type IntakeDeps, type IntakeOptions } from './intake.ts';
import type { MakerBook } from './maker-book.ts';
import { MakerChain, type MakerChainDeps } from './maker-chain.ts';
import type { StakesPolicy } from './policy.ts';

export type MakerChannelOptions = {
  readonly intake: IntakeOptions;
  readonly finalDepth: number;
  readonly stakes: Pick<StakesPolicy, 'earlyClose' | 'returnsBonds'>;
};

export type MakerChannelDeps = IntakeDeps &
  MakerChainDeps & {
    readonly ledger: Ledger;
    readonly random: Random;
    readonly signer: SignerTree;
    readonly log: Logger;
    readonly onChange: () => void;
  };

/**
 * The maker's end of one contract once its opening is stored: takes work, signs a state for each step,
 * resends what was not
 * acked, and closes. One task at a time, so that what is checked is still so when it is written; the chain
 * has its say apart.
 */
export class MakerChannel {
  readonly book: MakerBook;
  readonly intake: Intake;
  readonly stats = { statesSigned: 0, statesAcked: 0 };
  readonly #stakes: MakerChannelOptions['stakes'];
  readonly #deps: MakerChannelDeps;
  readonly #serial = new Serial();
  /** Apart from what may wait for the disk or the miner: deadlines are the chain's. */
  readonly #chainSerial = new Serial();
  readonly #onChain: MakerChain;
  readonly #remains: Remains;
  readonly #bondAsker: BondAsker;
  #peer: RpcPeer | undefined;
  #minerReady = false;
  #readySent = false;
  #offering = false;
  /** The connections over which a claim was asked for, and refused. */
  #asking: RpcPeer | undefined;
  #claimRefused: RpcPeer | undefined;
  #settled: (() => void)[] = [];

  constructor(book: MakerBook, options: MakerChannelOptions, deps: MakerChannelDeps) {
    this.book = book;
    this.#deps = deps;
    this.#stakes = options.stakes;
    this.intake = new Intake(book, options.intake, deps);
    this.#onChain = new MakerChain(book, options.finalDepth, deps);
    this.#remains = new Remains('maker', book, deps);
    this.#bondAsker = new BondAsker(deps);
  }

  /** What became of the seal. */
  get seal(): SealStanding {
    return this.#remains.seal;
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
    { n, state, nextSeq, claimed }: Params<'channel.reestablish'>,
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
      if (claimed !== undefined) await book.restoreClaim(claimed);
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
      this.#checkEarly(this.book.delivery.verifiedWorkHashes, undefined);
      this.book.apply({ type: 'close_requested' });
    });
    this.#signIfDue();
    if (!this.#isSettled()) {
      const settled = new Promise<void>((resolve) => this.#settled.push(resolve));
      await Promise.race([settled, peer.closed]);
    }
    return { n: this.book.last!.n };
  }

  /**
   * Asks the miner to end the contract, so that both close: it answers at once and then asks for the rest to
   * be signed. Throws `peer_closed` while it is not connected.
   */
  async requestClose(): Promise<void> {
    const peer = this.#peer;
    if (peer === undefined) throw new CodedError('peer_closed', 'the miner is not connected');
    this.#assertThawed();
    await call(peer, 'channel.shutdown', { contractId: this.book.contractId });
  }

  /** `bond.release`: see `answerForBond`. */
  releaseBond(asked: Params<'bond.release'>): Promise<Result<'bond.release'>> {
    return this.#serial.run(() => answerForBond(asked, this.#bondSide, this.#deps));
  }

  get #bondSide(): BondSide {
    return {
      ...{ role: 'maker', book: this.book, remains: this.#remains },
      returnsBonds: this.#stakes.returnsBonds ?? false,
    };
  }

  /** `close.sig`: after it no state is signed any more. */
  closeSignature(
    peer: RpcPeer,
    { n, feeSat, signature, settlement }: Params<'close.sig'>,
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
      this.#checkEarly(last.workHashes, settlement);
      verifyClose(params, last, feeSat, 'miner', signature, settlement);
      const signer = this.#deps.signer.forChannel(contract.channelIndex);
      const maker = signClose(params, last, feeSat, 'maker', signer, settlement);
      const { hex } = finalizeClose(params, last, feeSat, { miner: signature, maker }, settlement);
      await this.book.setStatus('closing', { reason: 'cooperative', closeTx: hex, closeFeeSat: feeSat });
      await this.#onChain.broadcast(hex);
      this.#deps.onChange();
      return { closeTx: hex };
    });
  }

  /** While bonds are at stake, the policy says whether both may close together, and who has them. */
  #checkEarly(workHashes: bigint, settlement: CloseSettlement | undefined): void {
    if (!isAtStake(this.book.terms, workHashes)) return;
    const wanted = this.#stakes.earlyClose;
    if (wanted === 'refused' || (settlement !== undefined && settlement !== wanted)) {
      throw new CodedError('bonds_at_stake', wanted === 'refused' ? undefined : `settle as ${wanted}`);
    }
  }

  /** After each tip and each message that may make the channel ready. */
  lookAtChain(): void {
    const tip = this.#deps.view.tip;
    if (tip === undefined) return;
    this.#run(async () => {
      // The one that fails holds up no other.
      try {
        await this.#onChain.onTip(tip);
      } finally {
        await this.#remains.onTip(tip);
      }
      this.#run(async () => {
        if (this.#peer !== undefined) this.#bondAsker.ask(this.#peer, this.#bondSide);
        await this.#becomeReady(tip);
      });
    }, this.#chainSerial);
  }

  /** Takes the channel back. Throws as `MakerChain.closeAlone`. */
  async closeAlone(): Promise<void> {
    await this.#chainSerial.run(() => this.#onChain.closeAlone()).finally(() => this.#deps.onChange());
  }

  /** Resolves when everything queued is done. */
  async idle(): Promise<void> {
    for (const serial of [this.#chainSerial, this.#serial]) await serial.run(async () => {});
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
      this.#leaveBlob(peer);
    });
  }

  /** For the day this ledger is gone: the miner gives it back with the next reestablish. */
  #leaveBlob(peer: RpcPeer): void {
    leaveBlob(peer, this.book.contractId, this.#deps).catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
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
        if (book.isClaimed) {
          await book.signNext();
          this.stats.statesSigned += 1;
          this.#deps.onChange();
        } else await this.#askClaim();
      }
      this.#offer();
    });
  }

  /** The seal's claim of the work, before it is paid. A miner that refuses it is paid no more. */
  async #askClaim(): Promise<void> {
    const peer = this.#peer;
    if (peer === undefined || this.#asking === peer || this.#remains.seal === 'lost') return;
    const request = await this.book.askClaim();
    this.#asking = peer;
    call(peer, 'seal.claim', request)
      .then(async ({ claim }) => {
        await this.#serial.run(() => this.book.takeClaim(claim));
        this.#asking = undefined;
        this.#signIfDue();
      })
      .catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        // It had no room just now, which is no refusal: asked again at the next connection.
        if (error.code === 'overload') return this.#peerFailed(peer, error);
        this.#deps.log.warn({ contract: this.book.contractId, code: error.code }, 'the claim was refused');
        this.#claimRefused = peer;
        this.#wakeSettled();
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
    const isUnclaimable = this.#peer !== undefined && this.#claimRefused === this.#peer;
    if (isUnclaimable || this.#remains.seal === 'lost') return true;
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

  #run(task: () => Promise<void>, serial = this.#serial): void {
    serial.run(task).catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      const fields = { contract: this.book.contractId, code: codeOf(error), detail: error.message };
      this.#deps.log.warn(fields, 'a task of the channel failed');
    });
  }
}
