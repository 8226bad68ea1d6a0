import { equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { CoinbaseOutput } from '../bitcoin/coinbase.ts';
import { compareHashes } from '../bitcoin/header.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { targetOfCompact } from '../bitcoin/target.ts';
import { workerScriptHex } from '../bitcoin/worker-address.ts';
import type { BindingV3 } from '../contract/binding.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { type BeadMetadata, commitmentIn, commitmentOf, parseMetadata } from '../jobs/bead-metadata.ts';
import type { JobRecord } from '../work/evidence.ts';

/** Why the bead of a job would not be its buyer's, in words. */
export const METADATA_FAULTS = {
  commitment: 'the coinbase commits to no metadata, in its third output and nowhere else',
  missing: 'the metadata of the job is not known',
  hash: 'the metadata of the job is not what its coinbase commits to',
  shape: 'the metadata of the job cannot be read',
  payee: 'the bead would pay another',
  parents: 'no node would take the bead: its parents are not in order, or their times are missing',
  target: 'the bead would need more work than a block',
} as const;
export type MetadataFault = keyof typeof METADATA_FAULTS;

type BeadBinding = Extract<BindingV3, { readonly type: 'bead' }>;

/** The parts of a job that its commitment is about. */
export type CommittedParts = Pick<JobRecord, 'bits'> & { readonly metadata?: Uint8Array | undefined };

/** The binding of terms whose jobs commit to the payee of their beads; undefined for any other. */
export function committedBinding({ binding }: Pick<ContractTerms, 'binding'>): BeadBinding | undefined {
  return binding.type === 'bead' && binding.profile === 'spec' ? binding : undefined;
}

/**
 * Judges what a job commits to: metadata of a bead that pays the script of the terms. The outputs are those
 * of every share of it, since no extranonce reaches them (`jobCoinbase`).
 */
export function checkMetadata(
  { scriptHex }: Pick<BeadBinding, 'scriptHex'>,
  network: NetworkName,
  { metadata, bits }: CommittedParts,
  outputs: readonly CoinbaseOutput[],
): MetadataFault | undefined {
  const commitment = commitmentIn(outputs);
  if (commitment === undefined) return 'commitment';
  if (metadata === undefined) return 'missing';
  if (!equal(commitmentOf(metadata), commitment)) return 'hash';
  const read = readMetadata(metadata);
  if (read === undefined) return 'shape';
  if (workerScriptHex(read.payoutAddress, network) !== scriptHex) return 'payee';
  if (!hasOrderedParents(read)) return 'parents';
  return isWithinBlock(read.weakTarget, bits) ? undefined : 'target';
}

/** The metadata of a job; undefined where it is none. */
export function readMetadata(metadata: Uint8Array): BeadMetadata | undefined {
  return unlessCoded(() => parseMetadata(metadata));
}

function hasOrderedParents({ parents, parentTimestamps }: BeadMetadata): boolean {
  if (parents.length !== parentTimestamps.length) return false;
  return parents.every((hash, at) => at === 0 || compareHashes(parents[at - 1]!, hash) < 0);
}

/** True where a block of these nBits meets the target that a bead has to meet. */
function isWithinBlock(weakTarget: number, bits: number): boolean {
  return unlessCoded(() => targetOfCompact(weakTarget) >= targetOfCompact(bits)) === true;
}

function unlessCoded<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof CodedError) return undefined;
    throw error;
  }
}
