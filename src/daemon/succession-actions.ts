import type { Action } from '../api/operation.ts';
import { larger } from '../base/bigints.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { parseDecimal } from '../base/units.ts';
import { minerContributionSat } from '../channel/params.ts';
import { type ContractTerms, contractIdOf } from '../contract/terms.ts';
import type { TermsV3 } from '../contract/terms-v3.ts';
import { newestPriceMsatPerEh, paySatOf } from '../contract/updated-terms.ts';
import { isAtStake } from '../contract/vesting.ts';
import type { Maker } from '../maker/maker.ts';
import type { MinerContract } from '../miner/miner-contract.ts';
import type { RunningContracts } from './running-contracts.ts';

type Actions = Readonly<Record<string, Action>>;

export type SuccessionActionsDeps = {
  readonly contracts: Pick<RunningContracts, 'follow'>;
  /** The contract that a request is about; throws `unknown_channel`. */
  readonly served: (input: unknown) => MinerContract;
  /** Has both close it; throws what the maker refuses with. */
  readonly close: (side: MinerContract) => Promise<void>;
};

/** What of a contract is whose by now. */
export type Split = {
  /** In the newest signed state. */
  readonly paidSat: bigint;
  /** What no verified work has earned yet. */
  readonly unspentSat: bigint;
};

/**
 * `POST /api/v1/contract/topup`, `withdraw` and `refund` of a proxy. A top-up opens the next contract, which
 * is delivered to once this one is used up. The others close this one; where `go_on` is true, once the next
 * is deep, so that no hashrate leaves the maker. With `dry_run` they say what they would do.
 */
export function proxySuccessionActions(deps: SuccessionActionsDeps): Actions {
  return {
    'contract/topup': async (input) => {
      const { contractId } = deps.served(input).status;
      const next = await deps.contracts.follow(
        contractId,
        { workTotalHashes: workOf(input), takesOver: false },
        isDry(input),
      );
      return { contract: contractId, dry_run: isDry(input), successor: successorJson(next) };
    },
    'contract/withdraw': (input) => settle(deps, input, assertEarned),
    'contract/refund': (input) => settle(deps, input, assertUnspent),
  };
}

/** The same of a market maker, which opens no contract: the miner does. */
export function makerSuccessionActions(
  maker: Pick<Maker, 'requestClose' | 'status' | 'termsOf'>,
  contractOf: (input: unknown) => string,
): Actions {
  return {
    'contract/topup': async () => refuse('the next contract is opened by the miner: ask it for a top-up'),
    'contract/withdraw': async () => refuse('only the miner withdraws; what is unspent: contract refund'),
    'contract/refund': async (input) => {
      const contract = contractOf(input);
      const split = makerSplit(maker, contract);
      if (isRecord(input) && input['go_on'] === true)
        refuse('the next contract is opened by the miner: it goes on by its own contract refund');
      assertUnspent(split);
      await maker.requestClose(contract, isDry(input));
      return {
        contract,
        dry_run: isDry(input),
        ...splitJson(split),
        closing: !isDry(input),
        successor: null,
      };
    },
  };
}

async function settle(
  { contracts, served, close }: SuccessionActionsDeps,
  input: unknown,
  check: (split: Split) => void,
): Promise<object> {
  const side = served(input);
  const { contractId, ownWorkHashes, stream } = side.status;
  const { terms } = side;
  if (stream === 'pending' || stream === 'ended') refuse(`the contract is ${stream}`);
  const split = minerSplit(side);
  check(split);
  const isDryRun = isDry(input);
  const answer = { contract: contractId, dry_run: isDryRun, ...splitJson(split) };
  if (!isRecord(input) || input['go_on'] !== true) {
    if (isRecord(input) && input['work_hashes'] !== undefined)
      throw new CodedError('usage', 'work_hashes is of the next contract: say go_on too');
    if (!isDryRun) await close(side);
    return { ...answer, closing: !isDryRun, successor: null };
  }
  assertNothingAtStake(terms, ownWorkHashes);
  const rest = terms.workTotalHashes - ownWorkHashes;
  const workTotalHashes = workOf(input) ?? (rest > 0n ? rest : undefined);
  const next = await contracts.follow(contractId, { workTotalHashes, takesOver: true }, isDryRun);
  return { ...answer, closing: false, successor: successorJson(next) };
}

/** A maker may refuse a close while bonds are at stake: then hashrate would be gone from what goes on. */
function assertNothingAtStake(terms: ContractTerms, workHashes: bigint): void {
  if (!isAtStake(terms, workHashes)) return;
  throw new CodedError(
    'bonds_at_stake',
    'bonds have not vested: top up, or close without the next contract',
  );
}

function assertEarned({ paidSat }: Split): void {
  if (paidSat === 0n) refuse('no state pays anything yet: there is nothing to withdraw');
}

function assertUnspent({ unspentSat }: Split): void {
  if (unspentSat === 0n) refuse('all of the budget is earned: there is nothing to refund');
}

/** What of a contract is whose by now, as the miner has it. */
export function minerSplit({ status, terms }: Pick<MinerContract, 'status' | 'terms'>): Split {
  return splitOf(terms, status.signed?.paidSat ?? 0n, status.judgedWorkHashes);
}

/** The same as the maker has it. Throws `unknown_channel`. */
export function makerSplit(maker: Pick<Maker, 'status' | 'termsOf'>, contract: string): Split {
  const row = maker.status.find(({ contractId }) => contractId === contract);
  const terms = maker.termsOf(contract);
  if (row === undefined || terms === undefined)
    throw new CodedError('unknown_channel', `${contract} is not served here`);
  return splitOf(terms, row.paidSat, row.verifiedWorkHashes);
}

function splitOf(terms: ContractTerms, paidSat: bigint, workHashes: bigint): Split {
  const earnedSat = larger(paidSat, paySatOf(terms, workHashes));
  return { paidSat, unspentSat: larger(0n, terms.budgetSat - earnedSat) };
}

export function splitJson({ paidSat, unspentSat }: Split): object {
  return { paid_sat: paidSat.toString(), unspent_sat: unspentSat.toString() };
}

/** The next contract as an answer shows it; of a dry run the id is another each time. */
function successorJson(terms: TermsV3): object {
  return {
    ...{ contract: contractIdOf(terms), work_total_hashes: terms.workTotalHashes.toString() },
    ...{ budget_sat: terms.budgetSat.toString(), deposit_sat: minerContributionSat(terms).toString() },
    price_msat_per_eh: newestPriceMsatPerEh(terms).toString(),
    ...{ expiry_height: terms.expiryHeight, funding_by_height: terms.fundingByHeight },
  };
}

function refuse(why: string): never {
  throw new CodedError('wrong_status', why);
}

/** Whether a request only asks what it would do. */
export function isDry(input: unknown): boolean {
  return isRecord(input) && input['dry_run'] === true;
}

/** Throws `usage`. */
function workOf(input: unknown): bigint | undefined {
  const work = isRecord(input) ? input['work_hashes'] : undefined;
  if (work === undefined) return undefined;
  try {
    return parseDecimal(work, 'work_hashes');
  } catch (error) {
    throw new CodedError('usage', (error as Error).message);
  }
}
