import type { MinerContractDeps } from './miner-options.ts';
import type { MinerStore } from './miner-store.ts';

/** Writes the ladder of the newest verified state, on disk or not; removes it once the channel is over. */
export function writeLadder(
  store: MinerStore,
  { ladders, signer: keys }: Pick<MinerContractDeps, 'ladders' | 'signer'>,
): void {
  const { best: state, assembled, contract, options, isSpent, state: life, contractId } = store;
  if (life.watch.isOver) ladders?.remove(contractId);
  if (ladders === undefined || state === undefined || assembled === undefined || isSpent) return;
  if (contract === undefined) return;
  const signer = keys.forChannel(contract.channelIndex);
  const isClosing = life.close?.kind === 'state';
  const { margins } = options;
  ladders.write({ params: assembled.params, state, margins, signer, isClosing });
}
