import { join } from 'node:path';
import { HASHES_PER_EH, owedMsat } from '../base/units.ts';
import { targetOfDifficulty, workOfTarget } from '../bitcoin/target.ts';
import { auditorPlaceOf } from './auditor-config.ts';
import { beadBindingOf } from './bead-config.ts';
import { type Context, chainOf, commonOf } from './common-config.ts';
import type {
  BindingConfig,
  BondRuleConfig,
  BondsConfig,
  ContractConfig,
  DeliveryConfig,
  DestinationConfig,
  IndexConfig,
  MakerPlace,
  MeteringConfig,
  PayoutConfig,
  ProxyConfig,
  QuotaConfig,
  SealConfig,
  SellConfig,
  TermConfig,
} from './config.ts';
import { destinationOf } from './destination-config.ts';
import type { Values } from './options.ts';
import { payeesOf } from './payees.ts';
import { payoutBindingOf } from './payout-config.ts';
import type { PROXY_OPTIONS } from './proxy-options.ts';
import { offMarketOn, type SaidTimes, saleTimesOf } from './sale-terms.ts';
import { isLoopback, samePort, stratumOf } from './stratum-config.ts';

type ProxyValues = Values<typeof PROXY_OPTIONS>;

/** From checked single values to the configuration, with the relations between them. */
export function proxyConfigOf(values: ProxyValues, context: Context): ProxyConfig {
  const { failover, split } = values;
  const common = commonOf(values, context);
  const chain = chainOf(values.chain, values.network, context);
  return {
    ...common,
    http: values.http,
    closeDir: context.path(values.closeDir ?? join(common.dataDir, 'close')),
    stratum: stratumOf(values.stratum, values.metrics.listen, context),
    destinations: destinationsOf(values, context),
    failover: {
      returnAfterMs: failover.returnAfter,
      maxRejectRatio: failover.maxRejectRatio,
      maxRoundTripMs: failover.maxRoundTrip,
    },
    split: { minStayMs: split.minStay, sliceMs: split.slice, tolerance: split.tolerance },
    contract:
      values.contract.enabled && !isMetering(values.contract) ? contractOf(values, context) : undefined,
    furtherContracts: furtherOf(values, context),
    makers: makersOf(values, context),
    sell: sellOf(values, context),
    metering:
      values.contract.enabled && isMetering(values.contract) ? meteringOf(values, context) : undefined,
    chain,
    auditor: auditorPlaceOf(values, context),
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
  if (values.contract.enabled) checkDestination(values.contract, 'contract', destinations, context);
  for (const [index, item] of values.furtherContract.entries())
    checkDestination(item, `further_contract.${index}`, destinations, context);
  const rank = (item: DestinationConfig): number => (item.role === 'contract' ? -1 : item.priority);
  return destinations.sort((a, b) => rank(a) - rank(b));
}

/** Which destination is mined for a contract is said where it is not the only one. */
function checkDestination(
  contract: Omit<ContractValues, 'enabled' | 'name' | 'maxUnpaidTotal'>,
  path: string,
  destinations: readonly DestinationConfig[],
  context: Context,
): void {
  const binding = bindingTypeOf(contract);
  const forContracts = destinations.filter(({ role }) => role === 'contract');
  const { destination } = contract;
  if (binding === 'work') {
    if (destination !== undefined) context.refuse(`${path}.destination`, 'is not for binding "work"');
  } else if (destination !== undefined) {
    if (!forContracts.some(({ name }) => name === destination))
      context.refuse(`${path}.destination`, `"${destination}" is no destination with role = "contract"`);
  } else if (forContracts.length === 0)
    context.refuse('destination', `needs one with role = "contract" for ${path}.binding "${binding}"`);
  else if (forContracts.length > 1)
    context.refuse(`${path}.destination`, 'is missing: more than one destination has role = "contract"');
}

/** The contracts beside the first, each refused under its own path. */
function furtherOf(values: ProxyValues, context: Context): ContractConfig[] {
  const names = new Set(values.contract.enabled ? [values.contract.name] : []);
  return values.furtherContract.flatMap((item, index) => {
    const path = `further_contract.${index}`;
    const refuse = (at: string, message: string): void =>
      context.refuse(at.replace(/^contract\b/, path), message);
    const { name } = item;
    if (name === undefined) refuse('contract.name', 'is missing: each contract has a name of its own');
    else if (names.has(name)) refuse('contract.name', `"${name}" is taken by another contract`);
    names.add(name ?? '');
    const { enabled, maxUnpaidTotal } = values.contract;
    const contract = { ...item, name: name ?? '', enabled, maxUnpaidTotal };
    if (isMetering(contract)) {
      refuse('contract.binding', '"none" is for [contract]');
      return [];
    }
    return contractOf({ ...values, contract }, { ...context, refuse }) ?? [];
  });
}

function makersOf({ maker }: ProxyValues, context: Context): MakerPlace[] {
  return maker.map(({ name, url, nodeId }, index) => {
    const isTaken = maker.slice(0, index).some((other) => other.name === name);
    if (isTaken) context.refuse(`maker.${index}.name`, `"${name}" is taken by another maker`);
    return { name, maker: url, makerNodeId: nodeId };
  });
}

const maxExposureOf = ({ sell }: ProxyValues): bigint | undefined => sell.maxExposure;

function sellOf(values: ProxyValues, context: Context): SellConfig | undefined {
  const { sell, chain } = values;
  const { floorPrice: floorMsatPerEh, step, bindings } = sell;
  if (floorMsatPerEh === undefined) return undefined;
  if (chain.rpcUrl === undefined && chain.nodes.length === 0)
    context.refuse('chain.rpc_url', 'is missing: [sell] needs it');
  const said = saidTimesOf(sell, context);
  const times = saleTimesOf(said);
  const { workTotalHashes } = times;
  const path = sell.work === undefined && times.rate !== undefined ? 'sell.rate' : 'sell.work';
  if (workTotalHashes < step) context.refuse(path, 'must come to at least sell.step');
  if (times.expiryBlocks > MOST_EXPIRY_BLOCKS)
    context.refuse('sell.duration_blocks', `leaves no expiry within ${MOST_EXPIRY_BLOCKS} blocks`);
  if (sell.keep > 0 && values.maker.length === 0) context.refuse('sell.keep', 'needs a [[maker]] to ask');
  if (sell.keep > 0 && maxExposureOf(values) === undefined)
    context.refuse('sell.keep', 'needs sell.max_exposure: what is taken by rule has a bound');
  if (bindings.length === 0) context.refuse('sell.bindings', 'must name one at least');
  if (sell.prices.length === 0) context.refuse('sell.prices', 'must name one at least');
  if (sell.minCap !== undefined && !sell.prices.includes('moving'))
    context.refuse('sell.min_cap', 'is for "moving" among sell.prices');
  const payout = payoutOf(values, context);
  if (payout === undefined) return undefined;
  const { shareDifficulty, maxUnpaidSteps, maxExposure, maxDepth } = sell;
  const hardestShare = hardestShareOf({ workBinding: {}, shareDifficulty, step });
  const bonds = bondsOf(sell.bonds, 'sell.bonds', values.auditor.key, context);
  const { collateralPpm, makerBondPpm } = sell.bonds;
  return {
    ...{ ...times, said, floorMsatPerEh, stepHashes: step, maxUnpaidSteps },
    ...{ shareDifficulty, hardestShare, bindings: [...new Set(bindings)], maxDepth, payout },
    ...{ prices: [...new Set(sell.prices)], leastCapMsatPerEh: sell.minCap },
    offMarket: offMarketOn(values.network, sell.offMarket),
    maxExposureSat: maxExposure,
    keepContracts: sell.keep,
    bonds: bonds && { ...bonds, collateralPpm, makerBondPpm },
    delivery: soldDelivery(sell, context),
  };
}

/** The most blocks to an expiry: a year. */
const MOST_EXPIRY_BLOCKS = 52_560;

function saidTimesOf(sell: ProxyValues['sell'], context: Context): SaidTimes {
  const { work, rate, maxRate, durationBlocks, expiryBlocks } = sell;
  const { startAfterBlocks: afterBlocks, startWithinBlocks: withinBlocks } = sell;
  if (maxRate !== undefined && rate === undefined) context.refuse('sell.max_rate', 'needs sell.rate');
  if (rate !== undefined && maxRate !== undefined && maxRate < rate)
    context.refuse('sell.max_rate', 'must be at least sell.rate');
  const start = afterBlocks === undefined ? undefined : { afterBlocks, withinBlocks };
  return { work, rate, maxRate, start, durationBlocks, expiryBlocks };
}

/** The rules by which it is judged whether the rate is kept; undefined where none are asked for. */
function soldDelivery({ rate, delivery }: ProxyValues['sell'], context: Context): SellConfig['delivery'] {
  const { enabled, ...rules } = delivery;
  if (!enabled) return undefined;
  if (rate === undefined) context.refuse('sell.delivery.enabled', 'needs sell.rate, which it promises');
  return rules;
}

function renewsOf({ renew, termsVersion }: ContractValues, context: Context): boolean {
  if (renew && termsVersion !== 3) context.refuse('contract.renew', 'needs contract.terms_version 3');
  return renew;
}

function quotaOf({ rate, maxRate, weight }: ContractValues, context: Context): QuotaConfig | undefined {
  if (rate === undefined) {
    if (maxRate !== undefined) context.refuse('contract.max_rate', 'needs contract.rate');
    return weight === undefined ? undefined : { type: 'weight', weight };
  }
  if (weight !== undefined) context.refuse('contract.weight', 'and contract.rate exclude each other');
  const most = maxRate ?? rate + rate / 4n;
  if (most < rate) context.refuse('contract.max_rate', 'must be at least contract.rate');
  return { type: 'rate', hashesPerSecond: rate, maxHashesPerSecond: most };
}

const METERED = {
  makerUrl: 'contract.maker_url',
  makerNodeId: 'contract.maker_node_id',
  workTotal: 'contract.work_total',
} as const;
const REQUIRED = { ...METERED, price: 'contract.price' } as const;

/** What version 2 of the terms calls unbound has a channel. */
function isMetering(contract: ContractValues): boolean {
  return bindingTypeOf(contract) === 'none' && contract.termsVersion === 3;
}

function meteringOf({ contract }: ProxyValues, context: Context): MeteringConfig | undefined {
  for (const [key, path] of Object.entries(METERED)) {
    if (contract[key as keyof typeof METERED] === undefined)
      context.refuse(path, 'is missing: contract.enabled needs it');
  }
  if (contract.index.enabled) context.refuse('contract.index.enabled', NO_MONEY);
  if (contract.delivery.enabled)
    context.refuse('contract.delivery.enabled', 'is not for contract.binding "none": nothing is promised');
  const { startAfterBlocks, durationBlocks, noticeBlocks } = contract.term;
  if (startAfterBlocks !== undefined || durationBlocks !== undefined || noticeBlocks > 0)
    context.refuse('contract.term', 'is not for contract.binding "none", which ends with its work');
  const money = { price: contract.price, budget: contract.budget, binding_script: contract.bindingScript };
  for (const [key, value] of Object.entries(money)) {
    if (value !== undefined) context.refuse(`contract.${key}`, NO_MONEY);
  }
  if (contract.bonds.mode !== 'none') context.refuse('contract.bonds.mode', NO_MONEY);
  if (contract.seal.enabled) context.refuse('contract.seal.enabled', NO_MONEY);
  const { makerUrl: maker, makerNodeId, workTotal: workTotalHashes } = contract;
  if (maker === undefined || makerNodeId === undefined || workTotalHashes === undefined) return undefined;
  const { name, step: stepHashes, expiryBlocks, shareDifficulty, staleGrace } = contract;
  if (workTotalHashes < stepHashes) context.refuse('contract.work_total', 'must be at least contract.step');
  return {
    ...{ name, maker, makerNodeId, workTotalHashes, stepHashes, expiryBlocks, shareDifficulty },
    ...{ destination: contract.destination, quota: quotaOf(contract, context) },
    staleGraceSeconds: Math.floor(staleGrace / 1000),
  };
}

const NO_MONEY = 'is not for contract.binding "none", which is metering without money';

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
    term: termOf(contract, context),
    delivery: deliveryOf(contract, context),
    index: indexOf(contract, context),
    bonds: bondsOf(contract.bonds, 'contract.bonds', values.auditor.key, context),
    bondRule: bondRuleOf(contract, context),
    returnsBonds: contract.bonds.release,
    seal: sealOf(contract.seal),
    payout,
    destination: contract.destination,
    quota: quotaOf(contract, context),
    payees:
      contract.payees.length === 0
        ? undefined
        : payeesOf(contract.payees, contract.payeeSeed, 'contract.payees', context),
    leaseMs: leaseOf(values, binding.type, context),
    renews: renewsOf(contract, context),
  };
}

/** Of a contract that several proxies serve: each takes jobs of its own from the maker. */
function leaseOf(
  { contract, ledger, auditor }: ProxyValues,
  binding: BindingConfig['type'],
  context: Context,
): number | undefined {
  const { lease } = contract;
  if (lease === undefined) return undefined;
  const refuse = (why: string): void => context.refuse('contract.lease', why);
  if (ledger.url === undefined) refuse('needs ledger.url: a ledger in a file is of one proxy');
  if (binding !== 'work') refuse('needs contract.binding "work"');
  if (contract.renew) refuse('and contract.renew exclude each other');
  if (contract.maxUnpaidTotal !== undefined) refuse('and contract.max_unpaid_total exclude each other');
  if (auditor.address !== undefined) refuse('is not for a proxy with [auditor]');
  return lease;
}

/** Undefined where it is not asked for: then the terms are as before there was this. */
function deliveryOf(contract: ContractValues, context: Context): DeliveryConfig | undefined {
  const { enabled, overDelivery, ...rules } = contract.delivery;
  if (!enabled) return undefined;
  if (contract.termsVersion === 2) context.refuse('contract.terms_version', '2 has no contract.delivery');
  const { rate, maxRate } = contract;
  if (rate === undefined) {
    context.refuse('contract.delivery.enabled', 'needs contract.rate, which it promises');
    return undefined;
  }
  return { rateHps: rate, maxRateHps: maxRate ?? rate + rate / 4n, overDelivery, rules };
}

/** Undefined where the price is fixed. */
function indexOf(
  { index, price, termsVersion }: ContractValues,
  context: Context,
): IndexConfig | undefined {
  const { enabled, premium: premiumPpm, minPrice: minMsatPerEh = 1n, epoch, ttlBlocks } = index;
  if (!enabled) return undefined;
  if (termsVersion === 2) context.refuse('contract.terms_version', '2 has no contract.index');
  if (price !== undefined && minMsatPerEh > price)
    context.refuse('contract.index.min_price', 'must not exceed contract.price, the most it may be');
  return { premiumPpm, minMsatPerEh, epoch, ttlBlocks };
}

/** Undefined where nothing is asked for: then the terms are as before there was this. */
function termOf({ term, termsVersion }: ContractValues, context: Context): TermConfig | undefined {
  const { startAfterBlocks, startWithinBlocks: withinBlocks, durationBlocks, noticeBlocks } = term;
  const isDefault = startAfterBlocks === undefined && durationBlocks === undefined && noticeBlocks === 0;
  if (isDefault) return undefined;
  if (termsVersion === 2) context.refuse('contract.terms_version', '2 has no contract.term');
  const start =
    startAfterBlocks === undefined ? undefined : { afterBlocks: startAfterBlocks, withinBlocks };
  return { start, durationBlocks, noticeBlocks };
}

/** Range of a pool that adapts to a connection: share_difficulty up to so many times that, or a step. */
const HARDEST_SHARES = 64;

type ContractValues = ProxyValues['contract'];

/** What version 2 of the terms calls unbound is the default where that is asked for. */
function bindingTypeOf({
  binding,
  bindingScript,
  termsVersion,
}: Pick<ContractValues, 'binding' | 'bindingScript' | 'termsVersion'>) {
  if (binding !== undefined) return binding;
  if (bindingScript !== undefined) return 'payout';
  return termsVersion === 2 ? 'none' : 'work';
}

function bindingOf(values: ProxyValues, context: Context): BindingConfig | undefined {
  const { contract } = values;
  const type = bindingTypeOf(contract);
  const { bindingScript: scriptHex, workBinding, shareDifficulty } = contract;
  if (type === 'payout') return payoutBindingOf(values, context);
  if (contract.payoutBinding.outputs.length > 0)
    context.refuse('contract.payout_binding.outputs', 'is for contract.binding "payout"');
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

function hardestShareOf({
  workBinding,
  shareDifficulty,
  step,
}: Pick<ContractValues, 'shareDifficulty' | 'step'> & {
  readonly workBinding: Partial<ContractValues['workBinding']>;
}): number {
  if (workBinding.hardestShare !== undefined) return workBinding.hardestShare;
  const sharesOfStep = Number(step / workOfDifficulty(shareDifficulty));
  const times = Math.max(1, Math.min(sharesOfStep, HARDEST_SHARES));
  // Works are whole hashes: so many shares may be worth less than one that is so many times as hard.
  const isTooMuch = workOfDifficulty(shareDifficulty * times) > step && times > 1;
  return shareDifficulty * (isTooMuch ? times - 1 : times);
}

const workOfDifficulty = (difficulty: number): bigint => workOfTarget(targetOfDifficulty(difficulty));

type BondValues = Omit<ProxyValues['contract']['bonds'], 'release'>;

/** The shape; the relations of the amounts are those of the terms. */
function bondsOf(
  bonds: BondValues,
  path: string,
  auditorKey: string | undefined,
  context: Context,
): BondsConfig | undefined {
  const { mode: bondMode, makerBond: makerBondSat, collateral: collateralSat } = bonds;
  const isSized = bonds.collateralPpm + bonds.makerBondPpm > 0;
  if (bondMode === 'none') {
    if (makerBondSat + collateralSat > 0n || isSized)
      context.refuse(`${path}.mode`, 'is "none": there are no bonds then');
    return undefined;
  }
  if (makerBondSat + collateralSat === 0n && !isSized)
    context.refuse(`${path}.collateral`, `or ${path}.maker_bond must be above 0`);
  if (bondMode !== 'auditor') return { bondMode, makerBondSat, collateralSat };
  const { auditorKey: auditorKeyHex = auditorKey, csvBlocks: bondCsvBlocks } = bonds;
  if (auditorKeyHex === undefined) {
    context.refuse(`${path}.auditor_key`, 'is missing, as is auditor.key: mode auditor needs one');
    return undefined;
  }
  if (auditorKey !== undefined && auditorKeyHex !== auditorKey)
    context.refuse(`${path}.auditor_key`, 'is another than auditor.key: it would not be told the log');
  return { bondMode, makerBondSat, collateralSat, bondCsvBlocks, auditorKeyHex };
}

/** The rule for the sizes of the bonds of a contract; undefined where amounts are all that is said. */
function bondRuleOf({ bonds, termsVersion }: ContractValues, context: Context): BondRuleConfig | undefined {
  const { collateralPpm, makerBondPpm } = bonds;
  if (collateralPpm + makerBondPpm === 0) return undefined;
  if (termsVersion !== 3)
    context.refuse(
      'contract.bonds.collateral_ppm',
      'needs contract.terms_version 3: older terms state amounts',
    );
  return { collateralPpm, makerBondPpm };
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
