import { toHex } from '../base/bytes.ts';
import { sha256 } from '../base/hash.ts';
import { canonicalJson, type Json } from '../base/json.ts';
import { DEFAULT_CLOSE_MARGINS } from '../chain/watcher.ts';
import { isTooLateToFund } from '../channel/deadlines.ts';
import type { ContractConfig, MeteringConfig } from '../config/config.ts';
import { type ContractTerms, contractIdOf } from '../contract/terms.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { hexOf, integer, object } from '../peer/codec.ts';
import { termsCodec } from '../peer/market-codecs.ts';
import { bodyOf, loadContract, parseBody, type StoredContract } from '../settlement/records.ts';

/**
 * The kind of ledger documents of what was proposed for a configured contract; the id is its name. Ledgers
 * of earlier versions have one, under `OLD_ID`, with the terms alone.
 */
export const PROPOSAL_KIND = 'proposal';
const OLD_ID = 'current';
export const proposalId = (name: string): string => `name:${name}`;

/** The name of a contract whose configuration gives it none. */
export const FIRST_NAME = 'first';

/** What was proposed for a configured contract. */
type Proposal = {
  readonly terms: ContractTerms;
  /** Digest of the configuration it was made of; undefined where that is not known. */
  readonly configHex: string | undefined;
};

/**
 * What a start makes of a configured contract. One name stands for one contract: `finished` is never
 * proposed again, `running` goes on with the terms it has, and what never became a channel is proposed
 * `anew` where the configuration was changed since, or its time has passed.
 */
export type ConfiguredContract =
  | { readonly type: 'unknown' }
  | { readonly type: 'anew'; readonly terms: ContractTerms }
  | { readonly type: 'running'; readonly terms: ContractTerms }
  | { readonly type: 'finished'; readonly contractId: string; readonly reason: string };

/** Reads what a configured contract has come to; the terms of one that runs are those in force. */
export async function configuredContract(
  ledger: Ledger,
  config: ContractConfig,
  height: () => Promise<number>,
): Promise<ConfiguredContract> {
  const proposal = await readProposal(ledger, config.name);
  if (proposal === undefined) return { type: 'unknown' };
  const { terms } = proposal;
  const stored = await loadContract(ledger, contractIdOf(terms));
  const isChanged = !isSameConfig(proposal, config);
  const end = endOf(stored);
  if (end !== undefined) return { type: 'finished', contractId: contractIdOf(terms), reason: end };
  const isChannel = stored?.channel !== undefined;
  if (!isChannel && (isChanged || isTooLateToFund(terms, DEFAULT_CLOSE_MARGINS, await height())))
    return { type: 'anew', terms };
  return { type: 'running', terms: stored?.contract.terms ?? terms };
}

/** Why a contract is over; undefined while it is not. */
export function endOf(stored: StoredContract | undefined): string | undefined {
  const { status, reason = '' } = stored?.channel ?? {};
  return status === 'closed' || status === 'failed' ? `${status}: ${reason}` : undefined;
}

const proposalCodec = object({
  version: ['version', integer(2, 2)],
  configHex: ['config', hexOf(32)],
  terms: ['terms', termsCodec],
});

/** The ledger entry of what is proposed for a configured contract, to be on disk before it is. */
export function proposalEntry(config: ContractConfig | MeteringConfig, terms: ContractTerms): LedgerEntry {
  const body = bodyOf(proposalCodec, { version: 2, configHex: digestOf(config), terms });
  return { type: 'put', kind: PROPOSAL_KIND, id: proposalId(config.name), body };
}

/** True where what was proposed was made of this configuration, as far as that is known. */
export function isSameConfig({ configHex }: Proposal, config: ContractConfig | MeteringConfig): boolean {
  return configHex === undefined || configHex === digestOf(config);
}

/** What was proposed for a configured contract of this name. Throws `ledger_corrupt`. */
export async function readProposal(
  ledger: Pick<Ledger, 'get'>,
  name: string,
): Promise<Proposal | undefined> {
  const body = await ledger.get(PROPOSAL_KIND, proposalId(name));
  if (body !== undefined) {
    const { terms, configHex } = parseBody(PROPOSAL_KIND, proposalCodec, body);
    return { terms, configHex };
  }
  const old = name === FIRST_NAME ? await ledger.get(PROPOSAL_KIND, OLD_ID) : undefined;
  return old === undefined
    ? undefined
    : { terms: parseBody(PROPOSAL_KIND, termsCodec, old), configHex: undefined };
}

/** Digest of all that goes into the terms; how the maker is reached and who is paid may change freely. */
function digestOf(config: ContractConfig | MeteringConfig): string {
  const all: Partial<ContractConfig> = config;
  const { maker: _maker, payout: _payout, returnsBonds: _returns, name: _name, ...others } = all;
  const { destination: _destination, quota: _quota, renews: _renews, leaseMs: _lease, ...ofTerms } = others;
  const text = JSON.stringify(ofTerms, (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
  const fields: Json = JSON.parse(text);
  return toHex(sha256(new TextEncoder().encode(canonicalJson(fields))));
}
