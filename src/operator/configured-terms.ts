import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import { targetOfDifficulty, targetToHex } from '../bitcoin/target.ts';
import type { ContractConfig } from '../config/config.ts';
import {
  type ContractTerms,
  DEFAULT_FEE_LADDER_SAT_PER_KVB,
  parseTerms,
  type TermsV1or2,
  termsToJson,
} from '../contract/terms.ts';
import { TERMS_DEFAULTS } from '../contract/terms-defaults.ts';
import { termsV3From } from '../contract/terms-upgrade.ts';

/** What the terms of a configured contract depend on beside the configuration. */
export type TermsPlace = {
  readonly network: NetworkName;
  /** x-only key, 64 hex digits. */
  readonly minerNodeId: string;
  readonly tipHeight: number;
  /** 16 bytes that tell this contract from others with equal terms. */
  readonly nonce: Uint8Array;
};

/** The terms that a configuration asks for. Throws `bad_terms`, as their peer would. */
export function configuredTerms(contract: ContractConfig, place: TermsPlace): ContractTerms {
  return parseTerms(termsToJson(uncheckedTerms(contract, place)));
}

function uncheckedTerms(contract: ContractConfig, place: TermsPlace): ContractTerms {
  const { network, minerNodeId, tipHeight, nonce } = place;
  const older: TermsV1or2 = {
    network,
    minerNodeId,
    makerNodeId: contract.makerNodeId,
    priceMsatPerEh: contract.priceMsatPerEh,
    workTotalHashes: contract.workTotalHashes,
    stepHashes: contract.stepHashes,
    maxUnpaidSteps: contract.maxUnpaidSteps,
    budgetSat: contract.budgetSat,
    reserveSat: contract.reserveSat,
    minerReserveSat: contract.minerReserveSat,
    expiryHeight: tipHeight + contract.expiryBlocks,
    minDepth: contract.minDepth,
    feeLadderSatPerKvb: DEFAULT_FEE_LADDER_SAT_PER_KVB,
    maxTargetHex: targetToHex(targetOfDifficulty(contract.shareDifficulty)),
    binding:
      contract.binding.type === 'payout'
        ? { type: 'coinbase', scriptHex: contract.binding.scriptHex }
        : { type: 'none' },
    staleGraceSeconds: contract.staleGraceSeconds,
    nonceHex: toHex(nonce),
    ...(contract.bonds === undefined ? {} : { bonds: contract.bonds }),
    ...(contract.seal === undefined ? {} : { seal: contract.seal }),
  };
  if (contract.termsVersion !== 3) return older;
  const fundingByHeight = tipHeight + TERMS_DEFAULTS.fundingByBlocks;
  const { binding } = contract;
  if (binding.type === 'payout') {
    const { type, scriptHex, ...rest } = binding;
    return termsV3From(older, fundingByHeight, { type, outputs: [{ scriptHex, ppm: 1_000_000 }], ...rest });
  }
  if (binding.type !== 'work') return termsV3From(older, fundingByHeight, binding);
  const { hardestShare, ...work } = binding;
  const terms = termsV3From(older, fundingByHeight, work);
  return {
    ...terms,
    target: { ...terms.target, hardestHex: targetToHex(targetOfDifficulty(hardestShare)) },
  };
}

/** One term of a running contract that the configuration would have otherwise. */
export type EditWithoutEffect = {
  readonly term: string;
  readonly running: string;
  readonly configured: string;
};

/** Terms that are another for each contract. */
const OF_ONE_CONTRACT = new Set([
  'version',
  'nonce',
  'expiry_height',
  'funding_by_height',
  'miner_node_id',
  'network',
]);

/** What of a configuration has no effect on the contract that runs: it keeps the terms it was signed with. */
export function editsWithoutEffect(running: ContractTerms, contract: ContractConfig): EditWithoutEffect[] {
  const place = {
    network: running.network,
    minerNodeId: running.minerNodeId,
    tipHeight: Math.max(0, running.expiryHeight - contract.expiryBlocks),
    nonce: new Uint8Array(16),
  };
  const now = termsToJson(running);
  const wanted = wantedTerms(contract, place);
  const names = [...new Set([...Object.keys(now), ...Object.keys(wanted)])];
  const text = (value: unknown): string =>
    typeof value === 'string' ? value : (JSON.stringify(value) ?? 'none');
  return names
    .filter((name) => !OF_ONE_CONTRACT.has(name) && text(now[name]) !== text(wanted[name]))
    .map((term) => ({ term, running: text(now[term]), configured: text(wanted[term]) }));
}

/** Ones that make no terms any more are no reason to stop the contract that runs. */
function wantedTerms(contract: ContractConfig, place: TermsPlace): { readonly [key: string]: Json } {
  try {
    return termsToJson(uncheckedTerms(contract, place));
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { refused: error.message };
  }
}
