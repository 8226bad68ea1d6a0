import { concat, equal, fromHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { coinbaseOutputs } from '../bitcoin/coinbase.ts';
import { dataOutput } from '../channel/scripts.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { JobRecord } from '../work/evidence.ts';

/** The first four bytes of the tag: `shct`. */
const TAG = Uint8Array.of(0x73, 0x68, 0x63, 0x74);

/**
 * The output by which a coinbase names the contract that its work is sold under, of no value:
 * `OP_RETURN shct || contract id`. It is in the proof of work, so a share fits one contract.
 */
export function contractTag(contractId: string): Uint8Array {
  return dataOutput(concat(TAG, fromHex(contractId, 32)));
}

/** True where the jobs of a contract need its tag: it has a seal, and nothing else ties shares to it. */
export function needsContractTag(terms: ContractTerms): boolean {
  return terms.version === 3 && terms.seal !== undefined && terms.binding.type === 'payout';
}

/** True where the coinbase of a job has the tag of a contract, and of no other. */
export function hasContractTag(
  { coinb1, coinb2, extranonceSize }: Pick<JobRecord, 'coinb1' | 'coinb2' | 'extranonceSize'>,
  contractId: string,
): boolean {
  const own = contractTag(contractId);
  const isTag = (script: Uint8Array): boolean =>
    script.length === own.length && equal(script.subarray(0, 6), own.subarray(0, 6));
  try {
    const tags = coinbaseOutputs(concat(coinb1, new Uint8Array(extranonceSize), coinb2))
      .map(({ script }) => script)
      .filter(isTag);
    return tags.length > 0 && tags.every((script) => equal(script, own));
  } catch (error) {
    if (error instanceof CodedError) return false;
    throw error;
  }
}
