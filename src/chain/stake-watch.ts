import type { WatchRole } from './watcher.ts';

/** Whether an output is spent: not at all, by a transaction that waits, or by one in a block. */
export type SpendStatus = 'no' | 'in_mempool' | 'in_block';

export type SealView = {
  readonly spent: SpendStatus;
  /** What spends it pays this side. Default: false. */
  readonly isOwn?: boolean;
  /** The channel's output is spent, if only in the mempool. */
  readonly isChannelMoving: boolean;
};

/**
 * The step of a side about the seal at a tip (`PROTOCOL.md`); pure. The maker's claim is due as soon as the
 * channel moves, the seal does, or the channel expires: from `T_seal` on the miner could take the seal
 * alone. Done again at each tip until a block holds it: what waits is paid more for.
 * @param at the height of the tip, the expiry of the channel, and `T_seal`
 */
export function sealStep(
  role: WatchRole,
  view: SealView,
  at: { readonly height: number; readonly expiryHeight: number; readonly sealExpiryHeight: number },
): 'publish_claim' | 'take_back' | 'wait' {
  const { spent, isOwn = false, isChannelMoving } = view;
  if (spent === 'in_block') return 'wait';
  const isFree = spent === 'no' || isOwn;
  if (role === 'miner') return isFree && at.height >= at.sealExpiryHeight ? 'take_back' : 'wait';
  const isDue = isChannelMoving || spent === 'in_mempool' || at.height >= at.expiryHeight;
  return isDue ? 'publish_claim' : 'wait';
}

/**
 * The step of the owner of a bond at a tip; pure. Two of three may move it at any time, its owner
 * alone once the close is as deep as the delay (BIP68: the block of the close counts as the first).
 * @param csvBlocks undefined where the owner has no way alone (`hostage`)
 */
export function bondStep(
  view: { readonly spent: SpendStatus; readonly isOwn?: boolean; readonly closeDepth: number },
  csvBlocks: number | undefined,
): 'take_back' | 'wait' {
  const isDue = csvBlocks !== undefined && view.closeDepth >= csvBlocks;
  const isFree = view.spent === 'no' || (view.spent === 'in_mempool' && view.isOwn === true);
  return isFree && isDue ? 'take_back' : 'wait';
}
