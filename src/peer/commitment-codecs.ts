import { LIMITS } from '../base/limits.ts';
import { FAULT_EVIDENCE } from '../channel/fault-log.ts';
import {
  bytesUpTo,
  type CodecValue,
  decimal,
  hexOf,
  integer,
  listOf,
  nullable,
  object,
  oneOf,
  text,
} from './codec.ts';
import { rangesCodec, type SeqRange, treeCodec } from './seal-codecs.ts';

const hash = bytesUpTo(32, 32);
const signature = hexOf(64);
const count = integer(0, Number.MAX_SAFE_INTEGER);
const stateNumber = integer(0, 2 ** 31);

const faultRange = {
  code: ['code', text(40, /^[a-z_]+$/)],
  first: ['first', count],
  count: ['count', integer(1, Number.MAX_SAFE_INTEGER)],
  evidence: ['evidence', oneOf(...FAULT_EVIDENCE)],
} as const;

/** Codec of the faults of a segment, as both sides store them. */
export const faultsCodec = listOf(
  object({ ...faultRange, workHashes: ['work', decimal], digest: ['digest', hash] }),
  LIMITS.faultRanges,
);

/** The commitment that `state.sign` offers with its state, whose number and work it shares. */
export const commitmentOfferCodec = object(
  {
    /** Number of the commitment that this one builds on, the newest that both signed; 0 for none. */
    baseN: ['base_n', stateNumber],
    nextSeq: ['next_seq', count],
    /** Ranges of the shares since the base that were not credited; empty with a fault log. */
    refused: ['refused', rangesCodec],
    shareRoot: ['share_root', hash],
    jobSetRoot: ['job_set_root', hash],
    faultLogHead: ['fault_log_head', hash],
    /** Signature of the maker. */
    signature: ['signature', signature],
  },
  /** What the fault log has more than that of the base (feature `fault_log`). */
  {
    faults: ['faults', listOf(object(faultRange), LIMITS.faultRanges)],
    /** Of a share root that covers what each share is credited for (feature `share_weights`). */
    weightsHead: ['weights_head', hash],
    /** Head of the contract's events behind the state (feature `event_log`). */
    eventsHead: ['events_head', hash],
  },
);
/** A commitment as the maker offers it with a state. */
export type CommitmentOffer = CodecValue<typeof commitmentOfferCodec>;

/**
 * A commitment and the evidence that the next builds on; both sides store it, and the miner shows it when
 * it connects.
 */
export const commitmentRecordCodec = object(
  {
    version: ['version', integer(1, 1)],
    n: ['n', stateNumber],
    baseN: ['base_n', stateNumber],
    /** Work of the state and of the shares in the tree, hashes; the first is at most the contract's total. */
    workHashes: ['work', decimal],
    creditedHashes: ['credited_work', decimal],
    nextSeq: ['next_seq', count],
    /**
     * Seq after its last share in the own log, which has all shares at the miner, the credited ones at the
     * maker.
     */
    logSeq: ['log_seq', count],
    refused: ['refused', rangesCodec],
    tree: ['tree', treeCodec],
    jobSetRoot: ['job_set_root', hash],
    faultLogHead: ['fault_log_head', hash],
    makerSignature: ['maker_signature', signature],
    /** Null until the miner has signed it too. */
    minerSignature: ['miner_signature', nullable(signature)],
  },
  {
    /** Where it has a fault log: the entries since the base. */
    faults: ['faults', faultsCodec],
    /** Where it covers what each share is credited for. */
    weightsHead: ['weights_head', hash],
    /** Where it has the head of the contract's events. */
    eventsHead: ['events_head', hash],
  },
);
/** A commitment as both sides store it. */
export type CommitmentRecord = CodecValue<typeof commitmentRecordCodec>;

/** The ranges of shares since the base that a commitment does not credit. */
export function refusedBy({
  faults,
  refused,
}: Pick<CommitmentRecord, 'refused'> & { readonly faults?: readonly SeqRange[] }): readonly SeqRange[] {
  return faults ?? refused;
}
