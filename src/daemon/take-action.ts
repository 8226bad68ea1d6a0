import type { Action } from '../api/operation.ts';
import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { nodeIdBytes, type SeedSigner } from '../channel/signer.ts';
import type { ProxyConfig, SellConfig } from '../config/config.ts';
import { ENDPOINT, Invalid } from '../config/values.ts';
import { bondsOf } from '../contract/bond-terms.ts';
import { refuseTerm } from '../contract/fields.ts';
import { assertMeant, factorPpmOf, type OffMarket, offMarketJson } from '../contract/off-market.ts';
import { priceToday } from '../contract/quote-rank.ts';
import { type ContractTerms, contractIdOf, parseTerms } from '../contract/terms.ts';
import { fixedPriceMsatPerEh } from '../contract/terms-access.ts';
import type { AuditorLink } from '../settlement/auditor-link.ts';
import type { TodaysValue } from '../settlement/todays-value.ts';
import { payoutScriptOf } from './contract-runner.ts';
import type { RunningContracts } from './running-contracts.ts';
import type { TakenContract } from './taken-contracts.ts';

export type TakeDeps = {
  readonly contracts: Pick<RunningContracts, 'add' | 'passedWith' | 'side'>;
  readonly signer: SeedSigner;
  /** Whom the own log is told; undefined where no program is. */
  readonly auditor?: Pick<AuditorLink, 'assertNamed'>;
  /** What hashes are worth today, by the own node. */
  readonly chain?: { readonly value: Pick<TodaysValue, 'msatPerEh'> };
};

/**
 * `POST /api/v1/contract/take`: serves a contract whose maker has signed its quote, from now on. With
 * `dry_run` it says whether it would, and how the price stands to the value of hashes. One that is far below
 * is taken with `off_market` alone, whoever asks: the command line, a rule, a program. Throws
 * `config_invalid`, `bad_terms` with the term, `exposure_limit`, `off_market`.
 */
export function takeActions(config: ProxyConfig, deps: TakeDeps): Readonly<Record<string, Action>> {
  return {
    'contract/take': async (input) => {
      const { sell } = config;
      if (sell === undefined) throw new CodedError('config_invalid', 'sell.floor_price is missing');
      const taken = takenOf(config, sell, input);
      judge(taken.terms, config, sell, deps);
      const fields = isRecord(input) ? input : {};
      const off = offMarket(taken.terms, sell, deps, fields['off_market'] === true);
      await deps.auditor?.assertNamed(taken.terms);
      const contract = contractIdOf(taken.terms);
      const isDryRun = fields['dry_run'] === true;
      if (!isDryRun && deps.contracts.side(contract) === undefined) await deps.contracts.add(taken);
      return { contract, taken: !isDryRun, off_market: offMarketJson(off) };
    },
  };
}

function takenOf({ network }: ProxyConfig, sell: SellConfig, input: unknown): TakenContract {
  const { terms, maker, name } = isRecord(input) ? input : {};
  const place = ENDPOINT.parse(maker);
  if (place instanceof Invalid) throw new CodedError('config_invalid', `maker ${place.why}`);
  if (typeof name !== 'string' || !/^[\x20-\x7e]{1,80}$/.test(name))
    throw new CodedError('config_invalid', 'name must be printable text');
  return {
    ...{ name, terms: parseTerms(terms), maker: place, returnsBonds: false },
    payoutScriptHex: toHex(payoutScriptOf(sell.payout, network)),
  };
}

/** What is signed is judged where the hashrate is, whoever asked for the quote. */
function judge(
  terms: ContractTerms,
  { network, destinations }: ProxyConfig,
  sell: SellConfig,
  { contracts, signer }: TakeDeps,
): void {
  const { binding } = terms;
  if (terms.network !== network) refuseTerm('network', `must be ${network}`);
  if (terms.minerNodeId !== toHex(nodeIdBytes(signer))) refuseTerm('miner_node_id', 'is another node');
  judgeBonds(terms, sell);
  const price = fixedPriceMsatPerEh(terms);
  if (price < sell.floorMsatPerEh)
    refuseTerm('price.msat_per_eh', `is below the floor, ${sell.floorMsatPerEh}`);
  if (binding.type === 'none' || binding.type === 'coinbase' || !sell.bindings.includes(binding.type))
    refuseTerm('binding.type', 'is not among sell.bindings');
  const isServed = binding.type === 'work' || destinations.some(({ role }) => role === 'contract');
  if (!isServed) refuseTerm('binding.type', 'needs a destination with role = "contract"');
  const passed = contracts.passedWith(terms);
  if (passed === undefined) return;
  const { name, limitSat, sat } = passed;
  throw new CodedError(
    'exposure_limit',
    `with this one ${name} would have to be ${sat} sat; it is ${limitSat} sat`,
  );
}

/** How today's price is off the market. Throws `off_market` where it is not meant. */
function offMarket(
  terms: ContractTerms,
  { offMarket: factor }: SellConfig,
  { chain }: TakeDeps,
  isMeant: boolean,
): OffMarket | undefined {
  const value = chain?.value.msatPerEh;
  const factorPpm = factor === undefined ? undefined : factorPpmOf(factor);
  return assertMeant(priceToday(terms, value), value, factorPpm, isMeant);
}

/** Who decides on the own bond is the configuration's to say. */
function judgeBonds(terms: ContractTerms, sell: SellConfig): void {
  const [got, asked] = [bondsOf(terms), bondsOf({ ...(sell.bonds && { bonds: sell.bonds }) })];
  if (got.bondMode !== asked.bondMode) refuseTerm('bonds.bond_mode', `must be ${asked.bondMode}`);
  if (got.bondMode !== 'auditor' || asked.bondMode !== 'auditor') return;
  const { auditorKeyHex } = asked;
  if (got.auditorKeyHex !== auditorKeyHex) refuseTerm('bonds.auditor_key', `must be ${auditorKeyHex}`);
}
