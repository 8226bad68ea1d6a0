import { bytesUpTo, type CodecValue, decimal, hexOf, integer, nullable, object } from './codec.ts';
import { rangesCodec, treeCodec } from './seal-codecs.ts';

const hash = bytesUpTo(32, 32);
const signature = hexOf(64);
const count = integer(0, Number.MAX_SAFE_INTEGER);
const stateNumber = integer(0, 2 ** 31);

/** What `state.sign` says of the evidence behind its state; number and work are the state's. */
export const commitmentOfferCodec = object({
  /** The commitment this one builds on, the newest that both signed; 0 for none. */
  baseN: ['base_n', stateNumber],
  nextSeq: ['next_seq', count],
  /** The shares from the base on that were not credited. */
  refused: ['refused', rangesCodec],
  shareRoot: ['share_root', hash],
  jobSetRoot: ['job_set_root', hash],
  faultLogHead: ['fault_log_head', hash],
  /** Of the maker. */
  signature: ['signature', signature],
});
export type CommitmentOffer = CodecValue<typeof commitmentOfferCodec>;

/** A commitment and what the next builds on: what both sides keep, and the miner shows when it connects. */
export const commitmentRecordCodec = object({
  version: ['version', integer(1, 1)],
  n: ['n', stateNumber],
  baseN: ['base_n', stateNumber],
  /** The state's work, and that of the shares in the tree; the first is at most the contract's total. */
  workHashes: ['work', decimal],
  creditedHashes: ['credited_work', decimal],
  nextSeq: ['next_seq', count],
  /** Seq of the own log after its last share: of all shares at the miner, of credited ones at the maker. */
  logSeq: ['log_seq', count],
  refused: ['refused', rangesCodec],
  tree: ['tree', treeCodec],
  jobSetRoot: ['job_set_root', hash],
  faultLogHead: ['fault_log_head', hash],
  makerSignature: ['maker_signature', signature],
  /** Null until the miner has signed it too. */
  minerSignature: ['miner_signature', nullable(signature)],
});
export type CommitmentRecord = CodecValue<typeof commitmentRecordCodec>;
