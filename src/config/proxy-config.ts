import { join } from 'node:path';
import { HASHES_PER_EH, owedMsat } from '../base/units.ts';
import { targetOfDifficulty, workOfTarget } from '../bitcoin/target.ts';
import { beadBindingOf } from './bead-config.ts';
import { type Context, chainOf, commonOf } from './common-config.ts';
import type {
  BindingConfig,
  BondsConfig,
  ContractConfig,
  DestinationConfig,
  PayoutConfig,
  ProxyConfig,
  SealConfig,
} from './config.ts';
import { destinationOf } from './destination-config.ts';
import type { Values } from './options.ts';
import type { PROXY_OPTIONS } from './proxy-options.ts';
import { isLoopback, samePort, stratumOf } from './stratum-config.ts';

type ProxyValues = Values<typeof PROXY_OPTIONS>;

/** From checked single values to the configuration, with the relations between them. */
export function proxyConfigOf(values: ProxyValues, context: Context): ProxyConfig {
  const { failover, split } = values;
  const common = commonOf(values, context);
  const chain = chainOf(values.chain, values.network, context);
  return {
    ...common,
    closeDir: context.path(values.closeDir ?? join(common.dataDir, 'close')),
    stratum: stratumOf(values.stratum, values.metrics.listen, context),
    destinations: destinationsOf(values, context),
    failover: {
      returnAfterMs: failover.returnAfter,
      maxRejectRatio: failover.maxRejectRatio,
      maxRoundTripMs: failover.maxRoundTrip,
    },
    split: { minStayMs: split.minStay, sliceMs: split.slice, tolerance: split.tolerance },
    contract: values.contract.enabled ? contractOf(values, context) : undefined,
    chain,
  };
}

function destinationsOf(values: ProxyValues, context: Context): DestinationConfig[] {
  const names = new Set<string>();
  const destinations = values.destination.map((item, index): DestinationConfig => {
    const path = `destination.${index}`;
    if (names.has(item.name))
      context.refuse(`${path}.name`, `"${item.name}" is taken by another destination`);
    names.add(item.name);
    const ports = [values.stratum, ...values.stratum.listener];
    if (isLoopback(item.url.host) && ports.some(({ listen }) => samePort(listen, item.url))) {
      context.refuse(`${path}.url`, 'is the address of the proxy itself (stratum.listen)');
    }
    return destinationOf(item, path, values.stratum.versionMask, context);
  });
  const forContract = destinations.filter(({ role }) => role === 'contract').length;
  if (forContract > 1) context.refuse('destination', 'has more than one with role = "contract"');
  const binding = bindingTypeOf(values.contract);
  if (values.contract.enabled && binding !== 'work' && forContract === 0) {
    context.refuse('destination', `needs one with role = "contract" for contract.binding "${binding}"`);
  }
  const rank = (item: DestinationConfig): number => (item.role === 'contract' ? -1 : item.priority);
  return destinations.sort((a, b) => rank(a) - rank(b));
}

const REQUIRED = {
  makerUrl: 'contract.maker_url',
  makerNodeId: 'contract.maker_node_id',
  price: 'contract.price',
  workTotal: 'contract.work_total',
} as const;

function contractOf(values: ProxyValues, context: Context): ContractConfig | undefined {
  const { contract } = values;
  const payout = payoutOf(values, context);
  for (const [key, path] of Object.entries(REQUIRED)) {
    if (contract[key as keyof typeof REQUIRED] === undefined) {
      context.refuse(path, 'is missing: contract.enabled needs it');
    }
  }
  if (values.chain.rpcUrl === undefined && values.chain.nodes.length === 0)
    context.refuse('chain.rpc_url', 'is missing: contract.enabled needs it');
  const { makerUrl, makerNodeId, price, workTotal } = contract;
  if (makerUrl === undefined || makerNodeId === undefined || price === undefined) return undefined;
  if (workTotal === undefined || payout === undefined) return undefined;
  const budgetSat = contract.budget ?? roundedUpSat(workTotal, price);
  if (workTotal < contract.step) context.refuse('contract.work_total', 'must be at least contract.step');
  if (owedMsat(workTotal, price) / 1000n > budgetSat) {
    const needed = roundedUpSat(workTotal, price);
    context.refuse('contract.budget', `does not cover work_total at this price: that earns ${needed} sat`);
  }
  const binding = bindingOf(values, context);
  if (binding === undefined) return undefined;
  return {
    maker: makerUrl,
    makerNodeId,
    priceMsatPerEh: price,
    workTotalHashes: workTotal,
    name: contract.name,
    stepHashes: contract.step,
    maxUnpaidSteps: contract.maxUnpaidSteps,
    maxUnpaidTotalSat: contract.maxUnpaidTotal,
    budgetSat,
    reserveSat: contract.reserve,
    minerReserveSat: contract.minerReserve,
    expiryBlocks: contract.expiryBlocks,
    minDepth: contract.minDepth,
    shareDifficulty: contract.shareDifficulty,
    binding,
    staleGraceSeconds: Math.floor(contract.staleGrace / 1000),
    termsVersion: contract.termsVersion === 3 ? 3 : 2,
    bonds: bondsOf(contract.bonds, context),
    returnsBonds: contract.bonds.release,
    seal: sealOf(contract.seal),
    payout,
  };
}

/** Range of a pool that adapts to a connection: share_difficulty up to so many times that, or a step. */
const HARDEST_SHARES = 64;

type ContractValues = ProxyValues['contract'];

/** What version 2 of the terms calls unbound is the default where that is asked for. */
function bindingTypeOf({ binding, bindingScript, termsVersion }: ContractValues) {
  if (binding !== undefined) return binding;
  if (bindingScript !== undefined) return 'payout';
  return termsVersion === 2 ? 'none' : 'work';
}

function bindingOf(values: ProxyValues, context: Context): BindingConfig | undefined {
  const { contract } = values;
  const type = bindingTypeOf(contract);
  const { bindingScript: scriptHex, workBinding, shareDifficulty } = contract;
  if (type === 'payout') {
    if (scriptHex !== undefined) return { type, scriptHex, ...contract.payoutBinding };
    context.refuse('contract.binding_script', 'is missing: contract.binding "payout" needs it');
    return undefined;
  }
  if (scriptHex !== undefined)
    context.refuse('contract.binding_script', 'is for contract.binding "payout"');
  if (type === 'none') return { type };
  if (contract.termsVersion === 2)
    context.refuse('contract.terms_version', `2 has no contract.binding "${type}"`);
  if (type === 'bead') return beadBindingOf(values, context);
  const hardestShare = hardestShareOf(contract);
  if (hardestShare < shareDifficulty)
    context.refuse('contract.work_binding.hardest_share', 'must be at least contract.share_difficulty');
  if (hardestShare > shareDifficulty && workOfDifficulty(hardestShare) > contract.step)
    context.refuse('contract.work_binding.hardest_share', 'may not be worth more than contract.step');
  return { type, ...workBinding, hardestShare };
}

function hardestShareOf({ workBinding, shareDifficulty, step }: ContractValues): number {
  const sharesOfStep = Number(step / workOfDifficulty(shareDifficulty));
  return workBinding.hardestShare ?? shareDifficulty * Math.max(1, Math.min(sharesOfStep, HARDEST_SHARES));
}

const workOfDifficulty = (difficulty: number): bigint => workOfTarget(targetOfDifficulty(difficulty));

/** The shape; the relations of the amounts are those of the terms. */
function bondsOf(bonds: ProxyValues['contract']['bonds'], context: Context): BondsConfig | undefined {
  const { mode: bondMode, makerBond: makerBondSat, collateral: collateralSat } = bonds;
  if (bondMode === 'none') {
    if (makerBondSat + collateralSat > 0n)
      context.refuse('contract.bonds.mode', 'is "none": there are no bonds then');
    return undefined;
  }
  if (makerBondSat + collateralSat === 0n)
    context.refuse('contract.bonds.collateral', 'or contract.bonds.maker_bond must be above 0');
  if (bondMode !== 'auditor') return { bondMode, makerBondSat, collateralSat };
  const { auditorKey: auditorKeyHex, csvBlocks: bondCsvBlocks } = bonds;
  if (auditorKeyHex === undefined) {
    context.refuse('contract.bonds.auditor_key', 'is missing: mode auditor needs it');
    return undefined;
  }
  return { bondMode, makerBondSat, collateralSat, bondCsvBlocks, auditorKeyHex };
}

function sealOf({ enabled, value, claimFeeRate }: ProxyValues['contract']['seal']): SealConfig | undefined {
  return enabled ? { sealSat: value, claimFeeRateSatPerKvb: claimFeeRate } : undefined;
}

function payoutOf(values: ProxyValues, context: Context): PayoutConfig | undefined {
  const { address, script } = values.payout;
  if (address !== undefined && script !== undefined) {
    context.refuse('payout.script', 'and payout.address exclude each other');
  }
  if (script !== undefined) return { type: 'script', scriptHex: script };
  if (address !== undefined) return { type: 'address', address };
  context.refuse('payout.address', 'is missing: contract.enabled needs it (or payout.script)');
  return undefined;
}

/** What the work earns, in whole sats, rounded up. */
function roundedUpSat(workHashes: bigint, priceMsatPerEh: bigint): bigint {
  const sat = HASHES_PER_EH * 1000n;
  return (workHashes * priceMsatPerEh + sat - 1n) / sat;
}
