import type { ContractTerms } from './terms.ts';
import { segmentsOf, stepHashesOf, stopHeightOf, updatesOf } from './updated-terms.ts';

/**
 * A contract in the words of ERC-1620: the sender is the market maker, the recipient the miner, the token the
 * satoshi. It follows from the terms, with the updates that both signed, and the newest signed state.
 */
export type MoneyStream = {
  /** The contract id. */
  readonly stream: string;
  /** Node keys. */
  readonly sender: string;
  readonly recipient: string;
  readonly token: 'sat';
  readonly depositSat: bigint;
  /** What is left of the deposit. */
  readonly balanceSat: bigint;
  readonly timeframe: {
    readonly startHeight: number | undefined;
    /** Where an update named one. */
    readonly stopHeight: number | undefined;
    readonly durationBlocks: number | undefined;
    readonly expiryHeight: number;
  };
  /** Of new work. */
  readonly rate: {
    readonly paymentMsatPerEh: bigint;
    readonly intervalHashes: bigint;
    readonly workTotalHashes: bigint;
  };
  readonly updates: number;
  /** The number of the state; 0 where there is none yet. */
  readonly n: number;
  readonly workHashes: bigint;
  readonly balances: { readonly recipientSat: bigint; readonly senderSat: bigint };
};

/** What a state says. */
type SignedPoint = { readonly n: number; readonly workHashes: bigint; readonly paidSat: bigint };

const NOTHING: SignedPoint = { n: 0, workHashes: 0n, paidSat: 0n };

/** `getStream` and, for both parties, `balanceOf`: what of the deposit each could have now. */
export function moneyStreamOf(
  contractId: string,
  terms: ContractTerms,
  { n, workHashes, paidSat }: SignedPoint = NOTHING,
): MoneyStream {
  const { makerNodeId, minerNodeId, budgetSat, expiryHeight, workTotalHashes } = terms;
  const isDated = terms.version === 3;
  const balanceSat = budgetSat - paidSat;
  return {
    ...{ stream: contractId, sender: makerNodeId, recipient: minerNodeId, token: 'sat' },
    ...{ depositSat: budgetSat, balanceSat },
    timeframe: {
      startHeight: isDated ? terms.start?.notBeforeHeight : undefined,
      stopHeight: stopHeightOf(terms),
      durationBlocks: isDated ? terms.durationBlocks : undefined,
      expiryHeight,
    },
    rate: {
      paymentMsatPerEh: segmentsOf(terms).at(-1)!.msatPerEh,
      intervalHashes: stepHashesOf(terms),
      workTotalHashes,
    },
    ...{ updates: updatesOf(terms).length, n, workHashes },
    balances: { recipientSat: paidSat, senderSat: balanceSat },
  };
}
