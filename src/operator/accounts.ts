import { Transaction } from 'bitcoinjs-lib';
import { larger, smaller } from '../base/bigints.ts';
import { equal } from '../base/bytes.ts';
import type { FundingSide } from '../channel/funding.ts';
import { capacitySat, makerContributionSat, minerContributionSat } from '../channel/params.ts';
import type { SignedState } from '../channel/states.ts';
import { splitPay } from '../contract/splits.ts';
import { paySatOf } from '../contract/updated-terms.ts';
import { vestingOf } from '../contract/vesting.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { loadLuck } from '../maker/contract-luck.ts';
import type { CommitmentRecord } from '../peer/commitment-codecs.ts';
import type { StoredContract } from '../settlement/records.ts';
import { SHARE_KIND } from '../work/evidence.ts';
import { Meters } from '../work/meters.ts';
import { readChannels } from './channel-report.ts';
import { readStream } from './contract-stream.ts';
import type { Party } from './transaction-view.ts';

/** What the contracts of a ledger earned or cost so far. Sats and hashes are exact. */

/** One contract in the books of its side. */
export type Account = {
  readonly contract: string;
  readonly miner: string;
  readonly maker: string;
  readonly status: string;
  /** Work that signed states pay for. */
  readonly workHashes: bigint;
  /** Pay by the newest state; the payees' part of it is theirs. */
  readonly signedSat: bigint;
  readonly payeesSat: bigint;
  /** The part of it in a close that is final. */
  readonly settledSat: bigint;
  /** Pay of work that no state covers: delivered at the miner, verified at the maker. */
  readonly atRiskSat: bigint;
  readonly budgetSat: bigint;
  readonly unspentSat: bigint;
  /** Own fees of the funding transaction and of the close. */
  readonly feesSat: bigint;
  /** The own bond that has not vested, while the channel is not closed. */
  readonly bondSat: bigint;
  /** Of the maker: blocks and shares of its pool's target among the credited shares. */
  readonly blocks: number;
  readonly poolSolutions: number;
};

/** Pay that was signed for work of one day, by a contract. */
export type DayOfPay = Pick<
  Account,
  'contract' | 'miner' | 'maker' | 'workHashes' | 'signedSat' | 'payeesSat'
> & {
  /** UTC, `2026-11-30`; empty where the shares were let go of. */
  readonly day: string;
};

export type Accounts = { readonly contracts: readonly Account[]; readonly days: readonly DayOfPay[] };

/** The books of the contracts in which the ledger has this role. Throws `ledger_corrupt`. */
export async function accountsOf(ledger: Ledger, role: Party): Promise<Accounts> {
  const contracts: Account[] = [];
  const days: DayOfPay[] = [];
  const meters = await Meters.load(ledger);
  for (const { stored, role: own } of await readChannels(ledger)) {
    if (own !== role) continue;
    const ownHashes = meters.total(stored.contractId).workHashes;
    contracts.push(await accountOf(ledger, stored, role, ownHashes));
    days.push(...(await daysOf(ledger, stored)));
  }
  return { contracts, days };
}

async function accountOf(
  ledger: Ledger,
  stored: StoredContract,
  role: Party,
  ownHashes: bigint,
): Promise<Account> {
  const { contractId, contract, channel, last } = stored;
  const { terms } = contract;
  const { workHashes, paidSat: signedSat } = last ?? { workHashes: 0n, paidSat: 0n };
  const isClosed = channel?.status === 'closed' || channel?.status === 'failed';
  const verified = smaller(verifiedWork(stored, role, ownHashes), terms.workTotalHashes);
  const earnedSat = isClosed ? signedSat : larger(signedSat, paySatOf(terms, verified));
  const { unvestedCollateralSat, unvestedMakerBondSat } = vestingOf(terms, workHashes);
  const { block, upstream } = await loadLuck(ledger, contractId);
  return {
    ...{ contract: contractId, miner: terms.minerNodeId, maker: terms.makerNodeId },
    ...{ status: channel?.status ?? 'none', workHashes, signedSat },
    payeesSat: signedSat - splitPay(terms, signedSat).minerSat,
    settledSat: channel?.status === 'closed' ? channel.paidSat : 0n,
    ...{ atRiskSat: earnedSat - signedSat, budgetSat: terms.budgetSat },
    unspentSat: terms.budgetSat - earnedSat,
    feesSat: fundingFeeSat(stored, role) + closeFeeSat(stored, role),
    bondSat:
      isClosed || channel === undefined
        ? 0n
        : role === 'miner'
          ? unvestedCollateralSat
          : unvestedMakerBondSat,
    ...{ blocks: block.solutions, poolSolutions: upstream.solutions },
  };
}

/** Work that the maker credited; at the miner all of its log, less what was refused by the last state. */
function verifiedWork({ delivery }: StoredContract, role: Party, ownHashes: bigint): bigint {
  const judged = delivery?.verifiedWorkHashes ?? 0n;
  const refused = (delivery?.ownWorkHashes ?? 0n) - judged;
  return role === 'maker' ? judged : larger(0n, ownHashes - refused);
}

/** What the funding took of the own coins beyond what went into the channel, sats. */
function fundingFeeSat({ contract, opening, fundingTx }: StoredContract, role: Party): bigint {
  if (fundingTx === undefined || opening?.accept === undefined) return 0n;
  const { terms } = contract;
  const side: FundingSide = role === 'miner' ? opening.open.funding : opening.accept.funding;
  const inSat = side.inputs.reduce((sum, { valueSat }) => sum + valueSat, 0n);
  const changeSat = Transaction.fromHex(fundingTx)
    .outs.filter(({ script }) => equal(script, side.changeScript))
    .reduce((sum, { value }) => sum + value, 0n);
  return inSat - changeSat - (role === 'miner' ? minerContributionSat(terms) : makerContributionSat(terms));
}

/**
 * What the close leaves of the channel to nobody, without children that pay more. The miner pays for its
 * states and for the common close, the maker for its refund.
 */
function closeFeeSat({ contract, channel }: StoredContract, role: Party): bigint {
  if (channel === undefined || (channel.reason === 'refund') !== (role === 'maker')) return 0n;
  // Of one that the other side broadcast the own offer is known.
  if (channel.closeTx === undefined) return channel.closeFeeSat ?? 0n;
  const { outs } = Transaction.fromHex(channel.closeTx);
  return capacitySat(contract.terms) - outs.reduce((sum, { value }) => sum + value, 0n);
}

/** The pay of each state on the day of the last share that it pays for: together all that is signed. */
async function daysOf(ledger: Ledger, stored: StoredContract): Promise<readonly DayOfPay[]> {
  const { contractId, contract } = stored;
  const { terms } = contract;
  const { states, commitments } = await readStream(ledger, stored);
  const committed = new Map(commitments.map((record) => [record.n, record]));
  const days: DayOfPay[] = [];
  let before: Pick<SignedState, 'workHashes' | 'paidSat'> = { workHashes: 0n, paidSat: 0n };
  const payees = (sat: bigint): bigint => sat - splitPay(terms, sat).minerSat;
  for (const state of states.filter(({ n }) => n > 0)) {
    const day = await dayOf(ledger, contractId, committed.get(state.n));
    const last = days.at(-1);
    const isSame = last?.day === day;
    const sum = (now: bigint, from: bigint, so: bigint | undefined): bigint =>
      now - from + (isSame ? so! : 0n);
    const entry = {
      ...{ day, contract: contractId, miner: terms.minerNodeId, maker: terms.makerNodeId },
      workHashes: sum(state.workHashes, before.workHashes, last?.workHashes),
      signedSat: sum(state.paidSat, before.paidSat, last?.signedSat),
      payeesSat: sum(payees(state.paidSat), payees(before.paidSat), last?.payeesSat),
    };
    if (isSame) days.pop();
    days.push(entry);
    before = state;
  }
  return days;
}

async function dayOf(
  ledger: Ledger,
  contractId: string,
  record: CommitmentRecord | undefined,
): Promise<string> {
  if (record === undefined) return '';
  const [row] = await ledger.readLog(SHARE_KIND, contractId, record.logSeq - 1, 1);
  return row === undefined ? '' : new Date(row.atMs).toISOString().slice(0, 10);
}
