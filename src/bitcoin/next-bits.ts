import { NETWORKS, type NetworkName, RETARGET_BLOCKS } from './network.ts';
import { targetOfCompact } from './target.ts';

/** A new period changes the target by no more than this factor, either way. */
const MOST_CHANGE = 4n;

/**
 * True where a block upon `parent` can have these nBits, by the parent alone: those of the parent, except for
 * the first of a period, whose exact ones depend on times, and for testnet's blocks of least difficulty.
 */
export function canFollow(
  bits: number,
  parent: { readonly height: number; readonly bits: number },
  network: NetworkName,
): boolean {
  const { isRetargeted, minDifficultyBits: least } = NETWORKS[network].consensus;
  if (bits === parent.bits) return true;
  if (least !== undefined && (bits === least || parent.bits === least)) return true;
  if (!isRetargeted || (parent.height + 1) % RETARGET_BLOCKS !== 0) return false;
  const [target, before] = [targetOfCompact(bits), targetOfCompact(parent.bits)];
  return target <= before * MOST_CHANGE && target * MOST_CHANGE >= before;
}
