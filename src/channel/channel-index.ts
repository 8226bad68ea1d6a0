import { assert } from '../base/assert.ts';
import { fromHex } from '../base/bytes.ts';
import { taggedHash } from '../base/hash.ts';

/**
 * What selects the keys of a channel among those of a seed: two steps of a BIP32 path as `a/b`, or one, a
 * number, in contracts of earlier versions. Each step is from 0 to 2^31-1.
 */
export type ChannelIndex = number | string;

const STEP_LIMIT = 2 ** 31;
const TWO_STEPS = /^(0|[1-9][0-9]{0,9})\/(0|[1-9][0-9]{0,9})$/;

/**
 * The index of a contract's channel: the first 62 bits of `tagged("sharestream/channel-index/1", contract
 * id)`. It follows from the contract alone, so that a seed without its ledger uses no key for two channels.
 * @param contractId 32 bytes in hex
 */
export function channelIndexOf(contractId: string): ChannelIndex {
  const hash = taggedHash('sharestream/channel-index/1', fromHex(contractId, 32));
  const view = new DataView(hash.buffer, hash.byteOffset, 8);
  return `${view.getUint32(0) >>> 1}/${view.getUint32(4) >>> 1}`;
}

/** The steps of an index, one or two; undefined for what is no index. */
export function channelSteps(index: unknown): readonly number[] | undefined {
  const steps = typeof index === 'number' ? [index] : stepsOf(String(index));
  const isIndex = steps?.every((step) => Number.isInteger(step) && step >= 0 && step < STEP_LIMIT);
  return isIndex === true ? steps : undefined;
}

function stepsOf(text: string): number[] | undefined {
  const [, first, second] = TWO_STEPS.exec(text) ?? [];
  return first === undefined ? undefined : [Number(first), Number(second)];
}

/** The steps of an index that was checked before. */
export function stepsOfIndex(index: ChannelIndex): readonly number[] {
  const steps = channelSteps(index);
  assert(steps !== undefined, 'channel_index', index);
  return steps;
}
