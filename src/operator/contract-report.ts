import { Transaction } from 'bitcoinjs-lib';
import type { ChainSource } from '../chain/source.ts';
import { type ContractTerms, contractIdOf } from '../contract/terms.ts';
import { newestPriceMsatPerEh, stepHashesOf } from '../contract/updated-terms.ts';
import type { StoredContract } from '../settlement/records.ts';

/**
 * A contract and its channel for the status page; sats and hashes are bigint and leave as decimal strings.
 */
export type ContractReport = {
  readonly id: string;
  readonly state: string;
  readonly price_msat_per_eh: bigint;
  readonly step_hashes: bigint;
  readonly work_total_hashes: bigint;
  readonly work_hashes: bigint;
  readonly exposure_hashes: bigint;
  readonly channel: {
    readonly state: string;
    readonly state_number: number;
    readonly signed_work_hashes: bigint;
    readonly budget_sat: bigint;
    readonly expiry_height: number;
    /** On chain, final. */
    readonly settled_sat: bigint;
    /** In the newest state, which the miner can broadcast. */
    readonly signed_sat: bigint;
    /** Verified, in no state yet. */
    readonly accrued_sat: bigint;
    readonly unspent_sat: bigint;
    readonly paid_sat: bigint;
    readonly funding_txid: string | null;
    readonly funding_tx_hex: string | null;
    readonly close_txid: string | null;
    readonly close_tx_hex: string | null;
    readonly close_confirmations: number;
  };
};

export type ContractReportInput = {
  readonly stored: StoredContract | undefined;
  readonly chain: ChainSource;
  readonly workHashes: bigint;
  readonly stream: string;
  readonly exposureSat: bigint;
  readonly exposureHashes: bigint;
};

/** Settled, signed, accrued and unspent add up to the budget. @param terms those in force */
export async function contractReport(
  terms: ContractTerms,
  input: ContractReportInput,
): Promise<ContractReport> {
  const { stored, exposureSat } = input;
  const channel = stored?.channel;
  const paidSat = channel?.paidSat ?? 0n;
  const closeTx = channel?.closeTx;
  const closeTxid = closeTx === undefined ? undefined : Transaction.fromHex(closeTx).getId();
  const confirmations = closeTxid === undefined ? 0 : ((await input.chain.confirmations(closeTxid)) ?? 0);
  const isSettled = confirmations > 0;
  const unspentSat = terms.budgetSat - paidSat - exposureSat;
  return {
    id: contractIdOf(terms),
    state: input.stream,
    price_msat_per_eh: newestPriceMsatPerEh(terms),
    step_hashes: stepHashesOf(terms),
    work_total_hashes: terms.workTotalHashes,
    work_hashes: input.workHashes,
    exposure_hashes: input.exposureHashes,
    channel: {
      state: channel?.status ?? 'none',
      state_number: channel?.n ?? 0,
      signed_work_hashes: channel?.workHashes ?? 0n,
      budget_sat: terms.budgetSat,
      expiry_height: terms.expiryHeight,
      settled_sat: isSettled ? paidSat : 0n,
      signed_sat: isSettled ? 0n : paidSat,
      accrued_sat: exposureSat,
      unspent_sat: unspentSat > 0n ? unspentSat : 0n,
      paid_sat: paidSat,
      funding_txid: channel?.fundingTxid ?? null,
      funding_tx_hex: stored?.fundingTx ?? null,
      close_txid: closeTxid ?? null,
      close_tx_hex: closeTx ?? null,
      close_confirmations: confirmations,
    },
  };
}
