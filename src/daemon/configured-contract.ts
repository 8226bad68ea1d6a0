import { toHex } from '../base/bytes.ts';
import { codeOf } from '../base/errors.ts';
import { sha256 } from '../base/hash.ts';
import { canonicalJson, type Json } from '../base/json.ts';
import { DEFAULT_CLOSE_MARGINS } from '../chain/watcher.ts';
import { assertTimeToFund } from '../channel/deadlines.ts';
import type { ContractConfig } from '../config/config.ts';
import { type ContractTerms, contractIdOf, parseTerms, termsToJson } from '../contract/terms.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { loadContract, type StoredContract } from '../settlement/records.ts';

/**
 * The kind of ledger documents of what was proposed for a configured contract; the id is its name. Ledgers
 * of earlier versions have one, under `OLD_ID`, with the terms alone.
 */
const PROPOSAL_KIND = 'proposal';
const OLD_ID = 'current';
const idOf = (name: string): string => `name:${name}`;

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

/** Reads what a configured contract has come to. */
export async function configuredContract(
  ledger: Ledger,
  config: ContractConfig,
  height: () => Promise<number>,
): Promise<ConfiguredContract> {
  const proposal = await readProposal(ledger, config.name);
  if (proposal === undefined) return { type: 'unknown' };
  const { terms } = proposal;
  const stored = await loadContract(ledger, contractIdOf(terms));
  const isChanged = proposal.configHex !== undefined && proposal.configHex !== digestOf(config);
  const end = endOf(stored);
  if (end !== undefined) return { type: 'finished', contractId: contractIdOf(terms), reason: end };
  const isChannel = stored?.channel !== undefined;
  if (!isChannel && (isChanged || isPast(terms, await height()))) return { type: 'anew', terms };
  return { type: 'running', terms };
}

function endOf(stored: StoredContract | undefined): string | undefined {
  const { status, reason = '' } = stored?.channel ?? {};
  return status === 'closed' || status === 'failed' ? `${status}: ${reason}` : undefined;
}

function isPast(terms: ContractTerms, height: number): boolean {
  try {
    assertTimeToFund(terms, DEFAULT_CLOSE_MARGINS, height);
    return false;
  } catch (error) {
    if (codeOf(error) !== 'expiry_near') throw error;
    return true;
  }
}

/** The ledger entry of what is proposed for a configured contract, to be on disk before it is. */
export function proposalEntry(config: ContractConfig, terms: ContractTerms): LedgerEntry {
  const body = JSON.stringify({ version: 2, config: digestOf(config), terms: termsToJson(terms) });
  return { type: 'put', kind: PROPOSAL_KIND, id: idOf(config.name), body };
}

async function readProposal(ledger: Ledger, name: string): Promise<Proposal | undefined> {
  const body = await ledger.get(PROPOSAL_KIND, idOf(name));
  if (body !== undefined) {
    const { config, terms }: Record<string, unknown> = JSON.parse(body);
    return { terms: parseTerms(terms), configHex: String(config) };
  }
  const old = name === FIRST_NAME ? await ledger.get(PROPOSAL_KIND, OLD_ID) : undefined;
  return old === undefined ? undefined : { terms: parseTerms(JSON.parse(old)), configHex: undefined };
}

/** Digest of all that goes into the terms; how the maker is reached and who is paid may change freely. */
function digestOf(config: ContractConfig): string {
  const { maker: _maker, payout: _payout, returnsBonds: _returns, name: _name, ...ofTerms } = config;
  const text = JSON.stringify(ofTerms, (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
  const fields: Json = JSON.parse(text);
  return toHex(sha256(new TextEncoder().encode(canonicalJson(fields))));
}
