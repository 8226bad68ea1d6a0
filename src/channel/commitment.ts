import { bigToBe, bigToLe, concat, fromHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { taggedHash } from '../base/hash.ts';
import { nodeIdOf } from '../contract/sides.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { type ChannelParams, channelFacts } from './params.ts';
import { isSchnorrSignature, nodeIdBytes, type Signer } from './signer.ts';
import { signatureBytes } from './spend.ts';

/**
 * The evidence that a state pays for: signed by the maker with the state, and by the miner with its ack.
 */
export type StateCommitment = {
  /** The state's number, above 0, and its cumulative work in hashes. */
  readonly n: number;
  readonly workHashes: bigint;
  /** `ShareTree.root` over the hashes of all credited shares. 32 bytes, as the two below. */
  readonly shareRoot: Uint8Array;
  /** See `EvidenceSegment.end`. */
  readonly jobSetRoot: Uint8Array;
  /** The newest hash of the chain of faults both sides recorded; `EMPTY_FAULT_LOG` where there are none. */
  readonly faultLogHead: Uint8Array;
  /** Seq of the miner's stream up to which, exclusive, every share was judged. */
  readonly nextSeq: number;
  /** Head of the contract's events behind this state (`event-chain.ts`); feature `event_log`. */
  readonly eventsHead?: Uint8Array | undefined;
};

/** A contract without money, and so without a channel. */
export type MeteredContract = { readonly contractId: string; readonly terms: ContractTerms };

/** What a commitment is signed for: a channel, or a contract that has none. */
export type CommitmentScope = ChannelParams | MeteredContract;

/** In the place of a channel id where there is no channel. */
const NO_CHANNEL = new Uint8Array(32);

/** True for a contract without a channel. */
export function isMetered(scope: CommitmentScope): scope is MeteredContract {
  return !('funding' in scope);
}

/**
 * The hash that both sides sign, 32 bytes, over channel id, contract id, n (u64 little-endian), work (32
 * bytes big-endian), share root, job set root, fault log head, next seq (u64 little-endian), and the head of
 * the events where there is one, tagged `sharestream/commitment/1`. The channel id is zeros where there is no
 * channel. Throws `wrong_state_number`, `bad_amount`, `bad_sequence` for values out of range.
 */
export function commitmentHash(scope: CommitmentScope, commitment: StateCommitment): Uint8Array {
  const { n, workHashes, shareRoot, jobSetRoot, faultLogHead, nextSeq, eventsHead } = commitment;
  const head = eventsHead === undefined ? [] : [eventsHead];
  if (!Number.isSafeInteger(n) || n < 1)
    throw new CodedError('wrong_state_number', `state ${n} commits to nothing`);
  if (workHashes <= 0n || workHashes >> 256n !== 0n)
    throw new CodedError('bad_amount', 'the work of a commitment is positive');
  if (!Number.isSafeInteger(nextSeq) || nextSeq < 1)
    throw new CodedError('bad_sequence', 'a commitment is of some share');
  if ([shareRoot, jobSetRoot, faultLogHead, ...head].some((root) => root.length !== 32))
    throw new CodedError('bad_commitment', 'a root has 32 bytes');
  return taggedHash(
    'sharestream/commitment/1',
    concat(
      isMetered(scope) ? NO_CHANNEL : channelFacts(scope).id,
      fromHex(scope.contractId, 32),
      bigToLe(BigInt(n), 8),
      bigToBe(workHashes, 32),
      shareRoot,
      jobSetRoot,
      faultLogHead,
      bigToLe(BigInt(nextSeq), 8),
      ...head,
    ),
  );
}

/**
 * Signs a commitment with the node key of either side: BIP340, 64 bytes in hex, deterministic. Throws as
 * `commitmentHash`, and `bad_key_file` for a signer of neither side.
 */
export function signCommitment(
  scope: CommitmentScope,
  commitment: StateCommitment,
  signer: Signer,
): string {
  const digest = commitmentHash(scope, commitment);
  const { minerNodeId, makerNodeId } = scope.terms;
  const nodeId = toHex(nodeIdBytes(signer));
  if (nodeId !== minerNodeId && nodeId !== makerNodeId)
    throw new CodedError('bad_key_file', 'the seed holds the node key of neither side');
  return toHex(signer.signSchnorr('node', digest));
}

/**
 * Checks a commitment's signature. Throws `bad_signature` unless this side signed exactly this commitment;
 * else as `commitmentHash`.
 */
export function verifyCommitment(
  scope: CommitmentScope,
  commitment: StateCommitment,
  by: 'miner' | 'maker',
  signature: string,
): void {
  const digest = commitmentHash(scope, commitment);
  const nodeId = nodeIdOf(scope.terms, by);
  const bytes = signatureBytes(signature);
  if (bytes === undefined || !isSchnorrSignature(digest, fromHex(nodeId, 32), bytes))
    throw new CodedError('bad_signature', `the ${by} did not sign commitment ${commitment.n}`);
}
