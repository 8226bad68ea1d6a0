import { type LeavingView, leavingOf, type Side } from '../contract/incentive.ts';
import type { StreamStatus } from '../contract/stream.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { ChainPart } from './chain-part.ts';

/** What of a contract it takes to say what leaving it is. */
export type LeavableContract = {
  readonly terms: ContractTerms;
  readonly stream: StreamStatus;
  /** Credited or delivered, and that of the newest state, hashes. */
  readonly deliveredHashes: bigint;
  readonly signedHashes: bigint;
};

/** What leaving a contract is now; null where it does not run, or the value of hashes is not known. */
export function leavingView(
  contract: LeavableContract | undefined,
  part: Pick<ChainPart, 'value'> | undefined,
): LeavingView | null {
  const value = part?.value.msatPerEh;
  if (contract === undefined || value === undefined) return null;
  const runs = contract.stream === 'live' || contract.stream === 'paused';
  return runs ? leavingOf(contract.terms, contract, value) : null;
}

/** Sums over the contracts that run, by side. */
export function leavingSources(
  views: () => readonly (LeavingView | null)[],
  part: Pick<ChainPart, 'value'> | undefined,
) {
  const bySide = (value: (view: LeavingView, side: Side) => bigint | number) => () => {
    const known = views().flatMap((view) => view ?? []);
    const sum = (side: Side): number => known.reduce((all, view) => all + Number(value(view, side)), 0);
    return known.length === 0 ? {} : { miner: sum('miner'), maker: sum('maker') };
  };
  return {
    contract_leaving_gain_sats: bySide((view, side) => view[side].gainSat),
    contract_leaving_forfeit_sats: bySide((view, side) => view[side].forfeitSat),
    contract_leaving_bond_needed_sats: bySide((view, side) => view[side].bondNeededSat),
    contract_leaving_pays: bySide((view, side) => (view.pays === side ? 1 : 0)),
    hash_value_msat_per_eh: () => {
      const value = part?.value.msatPerEh;
      return value === undefined ? undefined : Number(value);
    },
  };
}
