import type { NetworkName } from './network.ts';
import { targetOfCompact } from './target.ts';

const PERIOD_BLOCKS = 2016;
/** A period changes the target by no more than this factor, either way. */
const MOST_CHANGE = 4n;
/** What testnet allows when no block came for 20 minutes. */
const LEAST_DIFFICULTY_BITS = 0x1d00ffff;

/**
 * True where a block upon `parent` can have these nBits: those of the parent, except for the first of a
 * period, whose exact ones depend on times, and for testnet's blocks of least difficulty.
 */
export function canFollow(
  bits: number,
  parent: { readonly height: number; readonly bits: number },
  network: NetworkName,
): boolean {
  if (bits === parent.bits) return true;
  if (network === 'regtest') return false;
  const allowsLeast = network.startsWith('testnet');
  if (allowsLeast && (bits === LEAST_DIFFICULTY_BITS || parent.bits === LEAST_DIFFICULTY_BITS)) return true;
  if ((parent.height + 1) % PERIOD_BLOCKS !== 0) return false;
  const [target, before] = [targetOfCompact(bits), targetOfCompact(parent.bits)];
  return target <= before * MOST_CHANGE && target * MOST_CHANGE >= before;
}
