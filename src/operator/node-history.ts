import { CodedError } from '../base/errors.ts';
import type { ChainSource } from '../chain/source.ts';
import { type BlockValue, hashValue144, VALUE_BLOCKS } from '../contract/hash-value.ts';
import type { HistoryDay } from './hash-history.ts';

/**
 * The last days of a chain by the own node: each of 144 blocks, ended by the tip, with the value of hashes
 * that contracts would have gone by, and the date of its first block. Throws `bad_history` where the chain
 * is shorter, and as the node.
 * @param onDay called with how many days are read
 */
export async function readNodeHistory(
  chain: Pick<ChainSource, 'tip' | 'header' | 'blockRewardSat'>,
  days: number,
  onDay: (read: number) => void = () => {},
): Promise<readonly HistoryDay[]> {
  if (chain.blockRewardSat === undefined) throw new CodedError('chain_rpc', 'the node tells no fees');
  let { hash } = await chain.tip();
  const history: HistoryDay[] = [];
  while (history.length < days) {
    const blocks: BlockValue[] = [];
    let firstSeconds = 0;
    while (blocks.length < VALUE_BLOCKS) {
      const header = await chain.header(hash);
      // The first block of all pays nobody, and has no parent.
      if (header === undefined || header.height === 0)
        throw new CodedError(
          'bad_history',
          `the chain has ${history.length} days of ${VALUE_BLOCKS} blocks`,
        );
      blocks.push({ bits: header.bits, rewardSat: await chain.blockRewardSat(hash) });
      firstSeconds = header.timeSeconds;
      hash = header.previousHash;
    }
    const day = new Date(firstSeconds * 1000).toISOString().slice(0, 10);
    history.unshift({ day, valueMsatPerEh: hashValue144(blocks), hashrate: undefined });
    onDay(history.length);
  }
  return history;
}
