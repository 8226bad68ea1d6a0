import { systemClock } from '../base/clock.ts';
import { systemTimers } from '../base/system-timers.ts';
import type { Signer } from '../channel/signer.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { Maker } from '../maker/maker.ts';
import { TipLogKeeper, type TippedContract } from '../settlement/tip-log-keeper.ts';
import type { ChainPart } from './chain-part.ts';
import type { RunningContracts } from './running-contracts.ts';

type Parts = {
  /** Nothing is logged without a node. */
  readonly part: ChainPart | undefined;
  readonly ledger: Ledger;
  readonly signer: Signer;
  readonly log: Logger;
};

type Found = {
  readonly contractId: string;
  readonly terms: ContractTerms | undefined;
  readonly isOpen: boolean;
};

/** Writes when the node of a market maker saw each block, for its contracts. */
export function logMakerTips(maker: Maker, parts: Parts, undo: AsyncDisposableStack): void {
  const found = (): readonly Found[] =>
    maker.status.map(({ contractId, channel }) => {
      return { contractId, terms: maker.termsOf(contractId), isOpen: channel === 'open' };
    });
  startTipLog('maker', found, parts, undo);
}

/** Writes when the node of a miner saw each block, for its contracts. */
export function logMinerTips(contracts: RunningContracts, parts: Parts, undo: AsyncDisposableStack): void {
  const found = (): readonly Found[] =>
    contracts.all.map(({ contractId, terms, side }) => {
      return { contractId, terms, isOpen: side.status.channel === 'open' };
    });
  startTipLog('miner', found, parts, undo);
}

function startTipLog(
  role: 'miner' | 'maker',
  found: () => readonly Found[],
  { part, ledger, signer, log }: Parts,
  undo: AsyncDisposableStack,
): void {
  if (part === undefined) return;
  const contracts = (): readonly TippedContract[] =>
    found().flatMap(({ contractId, terms, isOpen }) => {
      // Jobs of the maker end by its word, not with their block.
      if (terms === undefined || !isOpen || terms.binding.type === 'work') return [];
      return [{ contractId, graceSeconds: terms.staleGraceSeconds }];
    });
  const deps = { chain: part.chain, clock: systemClock, timers: systemTimers, ledger, signer };
  const keeper = new TipLogKeeper({ role, contracts }, { ...deps, log: log.child({ part: 'tips' }) });
  keeper.start();
  undo.defer(() => keeper.stop());
}
