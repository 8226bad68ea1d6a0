import { join } from 'node:path';
import { auditorPlaceOf } from './auditor-config.ts';
import { beadScriptOf } from './bead-config.ts';
import { type Context, chainOf, commonOf } from './common-config.ts';
import type {
  BraidpoolConfig,
  MakerConfig,
  PolicyConfig,
  PricingConfig,
  StakesConfig,
  StrangersConfig,
  UpstreamConfig,
  WalletConfig,
} from './config.ts';
import { upstreamOf } from './destination-config.ts';
import type { MAKER_OPTIONS } from './maker-options.ts';
import type { Values } from './options.ts';
import { offMarketOn } from './sale-terms.ts';

/** From checked single values to the configuration, with the relations between them. */
export function makerConfigOf(values: Values<typeof MAKER_OPTIONS>, context: Context): MakerConfig {
  const { policy, peer, peers, metrics } = values;
  if (policy.minStep > policy.maxStep) context.refuse('policy.min_step', 'must not exceed policy.max_step');
  if (policy.maxTotalBudget < policy.maxBudget) {
    context.refuse('policy.max_total_budget', 'must be at least policy.max_budget');
  }
  if (policy.minExpiryBlocks > policy.maxExpiryBlocks) {
    context.refuse('policy.min_expiry_blocks', 'must not exceed policy.max_expiry_blocks');
  }
  if (peer.listen.port === metrics.listen.port && peer.listen.port !== 0) {
    context.refuse('metrics.listen', 'must be another port than peer.listen');
  }
  const common = commonOf(values, context);
  return {
    ...common,
    closeDir: context.path(values.closeDir ?? join(common.dataDir, 'close')),
    peer,
    peers: { allow: [...new Set(peers.allow)] },
    policy: {
      maxPriceMsatPerEh: policy.maxPrice,
      maxBudgetSat: policy.maxBudget,
      maxTotalBudgetSat: policy.maxTotalBudget,
      maxBudgetPerMinerSat: policy.maxBudgetPerMiner,
      maxContractsPerMiner: policy.maxContractsPerMiner,
      isHalted: policy.halt,
      pricing: pricingOf(policy, context),
      strangers: strangersOf(policy, context),
      minStepHashes: policy.minStep,
      maxStepHashes: policy.maxStep,
      maxUnpaidSteps: policy.maxUnpaidSteps,
      minShareDifficulty: policy.minShareDifficulty,
      minExpiryBlocks: policy.minExpiryBlocks,
      maxExpiryBlocks: policy.maxExpiryBlocks,
      minDepth: policy.minDepth,
      maxStaleGraceSeconds: Math.floor(policy.maxStaleGrace / 1000),
      minNoticeBlocks: policy.minNoticeBlocks,
      maxIndexPremiumPpm: policy.maxIndexPremium,
      ...{ maxRateHps: policy.maxRate, maxPoolUnpaidHashes: policy.maxPoolUnpaid },
      offMarket: offMarketOn(values.network, policy.offMarket),
      bindingScriptHex: policy.bindingScript,
      bindings: bindingsOf(values, context),
      payout: policy.payout,
      stakes: stakesOf(policy, values.auditor.key, context),
    },
    braidpool: braidpoolOf(values, context),
    pools: poolsOf(values, context),
    chain: chainOf({ ...values.chain, rpcUrl: nodeUrlOf(values) }, values.network, context),
    wallet: walletOf(values, context),
    auditor: auditorPlaceOf(values, context),
  };
}

/** Blocks for which a value of hashes stands in for a newer one that cannot be had: of no quote. */
const TTL_BLOCKS = 144;

type PolicyValues = Values<typeof MAKER_OPTIONS>['policy'];

function pricingOf(
  { pricing, maxPrice, targetInventory, targetRate }: PolicyValues,
  context: Context,
): PricingConfig {
  const { rule, premium: premiumPpm, strike, share: sharePpm, minPrice = 1n, epoch } = pricing;
  if (minPrice > maxPrice) context.refuse('policy.pricing.min_price', 'must not exceed policy.max_price');
  if (rule !== 'collar' && strike !== undefined)
    context.refuse('policy.pricing.strike', 'is for policy.pricing.rule "collar"');
  if (rule === 'collar' && (strike === undefined || strike < minPrice || strike > maxPrice))
    context.refuse('policy.pricing.strike', 'must be from min_price to policy.max_price for rule "collar"');
  const bounds = { minMsatPerEh: minPrice, maxMsatPerEh: maxPrice };
  const follows = { formula: 'hash_value_144', epoch, ttlBlocks: TTL_BLOCKS, ...bounds } as const;
  const rules = {
    fixed: { type: 'fixed', msatPerEh: maxPrice },
    index: { type: 'index', ...follows, premiumPpm },
    collar: { type: 'collar', ...follows, strikeMsatPerEh: strike ?? maxPrice, sharePpm },
  } as const;
  return {
    rule: rules[rule],
    spread: {
      ...{ inventoryPpm: pricing.inventorySpread, volatilityPpm: pricing.volatilitySpread },
      ...{ sizePpm: pricing.sizeSpread, durationPpm: pricing.durationSpread },
    },
    ...{ targetInventoryHashes: targetInventory, targetRateHps: targetRate },
  };
}

function strangersOf(policy: PolicyValues, context: Context): StrangersConfig | undefined {
  const { maxBudget: maxBudgetSat, maxContracts, requireCollateral } = policy.strangers;
  if (maxContracts === 0) {
    if (maxBudgetSat > 0n)
      context.refuse('policy.strangers.max_contracts', 'is 0: nothing of max_budget could be used');
    return undefined;
  }
  if (maxBudgetSat === 0n) context.refuse('policy.strangers.max_budget', 'is 0: no contract would fit');
  if (requireCollateral && policy.bonds.modes.every((mode) => mode === 'none'))
    context.refuse('policy.strangers.require_collateral', 'needs a mode with bonds in policy.bonds.modes');
  return { maxBudgetSat, maxContracts, requireCollateral };
}

const DEFAULT_NODE_URL = 'http://127.0.0.1:8332';

/** Metering without money is all that needs no node. */
function nodeUrlOf({ chain, policy: { bindings } }: Values<typeof MAKER_OPTIONS>): string | undefined {
  const isMeteringAlone = bindings?.length === 1 && bindings[0] === 'none';
  return chain.rpcUrl ?? (isMeteringAlone ? undefined : DEFAULT_NODE_URL);
}

function braidpoolOf(
  { braidpool, network }: Values<typeof MAKER_OPTIONS>,
  context: Context,
): BraidpoolConfig | undefined {
  const { rpcUrl, payoutAddress, profiles, minStopPpb, maxLoss: maxLossSat } = braidpool;
  if (rpcUrl === undefined && payoutAddress === undefined) return undefined;
  if (profiles.length === 0) context.refuse('braidpool.profiles', 'must name one at least');
  if (rpcUrl === undefined) context.refuse('braidpool.rpc_url', 'is missing: beads are judged by it');
  const scriptHex = beadScriptOf('braidpool.payout_address', payoutAddress, network, context);
  if (rpcUrl === undefined || scriptHex === undefined) return undefined;
  return { rpcUrl, scriptHex, profiles: [...new Set(profiles)], minStopPpb, maxLossSat };
}

function poolsOf({ pool }: Values<typeof MAKER_OPTIONS>, context: Context): UpstreamConfig[] {
  const names = new Set<string>();
  const pools = pool.map((item, index) => {
    const path = `pool.${index}`;
    if (names.has(item.name)) context.refuse(`${path}.name`, 'is the name of another pool');
    names.add(item.name);
    return upstreamOf(item, path, context);
  });
  return pools.toSorted((a, b) => a.priority - b.priority);
}

function bindingsOf(
  { policy, pool, braidpool }: Values<typeof MAKER_OPTIONS>,
  context: Context,
): PolicyConfig['bindings'] {
  const { bindings } = policy;
  if (bindings === undefined) {
    return [
      ...(pool.length > 0 ? (['work'] as const) : []),
      ...(braidpool.rpcUrl === undefined ? [] : (['bead'] as const)),
      'payout',
    ];
  }
  if (bindings.length === 0) context.refuse('policy.bindings', 'must name one at least');
  if (bindings.includes('work') && pool.length === 0)
    context.refuse('policy.bindings', 'names work, which needs a [[pool]]');
  return [...new Set(bindings)];
}

function walletOf({ wallet, dataDir }: Values<typeof MAKER_OPTIONS>, context: Context): WalletConfig {
  const { type, name, xpub, fingerprint, path, folder } = wallet;
  if (type === 'key') return { type };
  if (type === 'node') {
    if (name === undefined) context.refuse('wallet.name', 'is missing: type node needs it');
    return { type, name: name ?? '' };
  }
  for (const [key, value] of Object.entries({ xpub, fingerprint, path })) {
    if (value === undefined) context.refuse(`wallet.${key}`, 'is missing: type file needs it');
  }
  const account = { xpub: xpub ?? '', fingerprintHex: fingerprint ?? '', path: path ?? '' };
  return { type, account, folder: context.path(folder ?? join(dataDir, 'psbt')) };
}

function stakesOf(
  { bonds, seal }: PolicyValues,
  auditorKey: string | undefined,
  context: Context,
): StakesConfig {
  const auditors = bonds.auditors.length === 0 && auditorKey !== undefined ? [auditorKey] : bonds.auditors;
  if (bonds.minCsvBlocks > bonds.maxCsvBlocks) {
    context.refuse('policy.bonds.min_csv_blocks', 'must not exceed policy.bonds.max_csv_blocks');
  }
  if (bonds.modes.includes('auditor') && auditors.length === 0) {
    context.refuse(
      'policy.bonds.auditors',
      'is empty, and there is no auditor.key: mode auditor needs one',
    );
  }
  if (bonds.modes.length === 0) context.refuse('policy.bonds.modes', 'must name one mode at least');
  return {
    bondModes: [...new Set(bonds.modes)],
    maxMakerBondSat: bonds.maxMakerBond,
    minCollateralSat: bonds.minCollateral,
    auditorKeysHex: [...new Set(auditors)],
    minBondCsvBlocks: bonds.minCsvBlocks,
    maxBondCsvBlocks: bonds.maxCsvBlocks,
    minCureBlocks: bonds.minCureBlocks,
    seal: seal.mode,
    minClaimFeeRateSatPerKvb: seal.minClaimFeeRate,
    earlyClose: bonds.earlyClose,
    returnsBonds: bonds.release,
  };
}
