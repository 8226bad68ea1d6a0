import { type StateCommitment, signCommitment } from '../../../src/channel/commitment.ts';
import { jobLeaf } from '../../../src/channel/evidence-point.ts';
import { EMPTY_FAULT_LOG, FaultRecount, faultLogHead } from '../../../src/channel/fault-log.ts';
import type { ChannelParams } from '../../../src/channel/params.ts';
import { type CommitmentOffer, commitmentOfferCodec } from '../../../src/peer/commitment-codecs.ts';
import { codecsOf } from '../../../src/peer/messages.ts';
import { shareTargetOf } from '../../../src/shares/share.ts';
import type { JobId } from '../../../src/stratum/job-id.ts';
import type { WireShare } from '../../../src/work/share-rows.ts';
import { SIGNERS } from '../terms.ts';
import type { Message } from './tools.ts';

type Fields = Record<string, unknown>;
type Sent = WireShare;
type Said = { readonly params: Fields; readonly content: StateCommitment; readonly hasFaults: boolean };

/**
 * What a hostile maker commits to that refuses good work and stands by it: the shares as they came, with the
 * code that it told the miner. Its own program, which heard other shares, is told that the miner signed what
 * it offered.
 */
export class RefusedLog {
  /** Set once the channel is open. */
  params: ChannelParams | undefined;
  /** Commitments with refused shares that the miner signed. */
  signedFaults = 0;
  readonly #code: string;
  readonly #refused = new Map<number, Sent>();
  readonly #leaves = new Map<JobId, Uint8Array>();
  /** By number, 32 bytes. */
  readonly #heads = new Map<number, Uint8Array>([[0, EMPTY_FAULT_LOG]]);
  readonly #said = new Map<number, Said>();

  constructor(code: string) {
    this.#code = code;
  }

  refuse(seq: number, share: Sent): void {
    this.#refused.set(seq, share);
  }

  /** Hears of a job, and of a countersignature; the miner shows no commitment. */
  hear(about: string, message: Message): Message {
    if (about === 'job.announce' && message.params !== undefined) {
      const { job } = codecsOf('job.announce').params.parse(message.params);
      this.#leaves.set(job.id, jobLeaf(job));
    }
    if (about === 'state.sign' && message.result !== undefined) return this.#acked(message, message.result);
    if (about !== 'channel.reestablish' || message.params === undefined) return message;
    const { commitment: _, ...params } = message.params;
    return { ...message, params };
  }

  /** The commitment of a state in other words. */
  say(message: Message): Message {
    const { params } = message;
    if (params === undefined || this.params === undefined) return message;
    const { state, commitment } = codecsOf('state.sign').params.parse(params);
    if (commitment?.faults === undefined) return message;
    const { n, workHashes } = state;
    const said = this.#said.get(n) ?? this.#commit(this.params, params, { ...commitment, n, workHashes });
    this.#said.set(n, said);
    return { ...message, params: said.params };
  }

  #commit(scope: ChannelParams, params: Fields, content: CommitmentOffer & StateCommitment): Said {
    const faults = content.faults!.map((fault) => ({ ...fault, code: this.#code }));
    const recount = new FaultRecount(faults);
    for (const [seq, share] of this.#refused) {
      const range = recount.rangeOf(seq);
      const { workHashes } = shareTargetOf(share.difficulty);
      if (range !== undefined) recount.take(range, share, this.#leaves.get(share.jobId), workHashes);
    }
    const head = faultLogHead(this.#heads.get(content.baseN)!, recount.faults);
    this.#heads.set(content.n, head);
    const other = { ...content, faults, faultLogHead: head };
    const signature = signCommitment(scope, other, SIGNERS.maker);
    const commitment = commitmentOfferCodec.print({ ...other, signature });
    return { params: { ...params, commitment }, content, hasFaults: faults.length > 0 };
  }

  #acked(message: Message, result: Fields): Message {
    const said = this.#said.get(Number(result['n']));
    if (result['commitment_signature'] === undefined || said === undefined) return message;
    if (said.hasFaults) this.signedFaults += 1;
    const signature = signCommitment(this.params!, said.content, SIGNERS.miner);
    return { ...message, result: { ...result, commitment_signature: signature } };
  }
}
