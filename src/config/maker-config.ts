import { join } from 'node:path';
import { beadScriptOf } from './bead-config.ts';
import { type Context, chainOf, commonOf } from './common-config.ts';
import type {
  BraidpoolConfig,
  MakerConfig,
  PolicyConfig,
  StakesConfig,
  UpstreamConfig,
  WalletConfig,
} from './config.ts';
import { upstreamOf } from './destination-config.ts';
import type { MAKER_OPTIONS } from './maker-options.ts';
import type { Values } from './options.ts';

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
      maxContractsPerMiner: policy.maxContractsPerMiner,
      minStepHashes: policy.minStep,
      maxStepHashes: policy.maxStep,
      maxUnpaidSteps: policy.maxUnpaidSteps,
      minShareDifficulty: policy.minShareDifficulty,
      minExpiryBlocks: policy.minExpiryBlocks,
      maxExpiryBlocks: policy.maxExpiryBlocks,
      minDepth: policy.minDepth,
      maxStaleGraceSeconds: Math.floor(policy.maxStaleGrace / 1000),
      bindingScriptHex: policy.bindingScript,
      bindings: bindingsOf(values, context),
      payout: policy.payout,
      stakes: stakesOf(policy, context),
    },
    braidpool: braidpoolOf(values, context),
    pools: poolsOf(values, context),
    // Its first node has a default.
    chain: chainOf(values.chain, values.network, context)!,
    wallet: walletOf(values, context),
  };
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

function stakesOf({ bonds, seal }: Values<typeof MAKER_OPTIONS>['policy'], context: Context): StakesConfig {
  if (bonds.minCsvBlocks > bonds.maxCsvBlocks) {
    context.refuse('policy.bonds.min_csv_blocks', 'must not exceed policy.bonds.max_csv_blocks');
  }
  if (bonds.modes.includes('auditor') && bonds.auditors.length === 0) {
    context.refuse('policy.bonds.auditors', 'is empty: mode auditor needs one');
  }
  if (bonds.modes.length === 0) context.refuse('policy.bonds.modes', 'must name one mode at least');
  return {
    bondModes: [...new Set(bonds.modes)],
    maxMakerBondSat: bonds.maxMakerBond,
    minCollateralSat: bonds.minCollateral,
    auditorKeysHex: [...new Set(bonds.auditors)],
    minBondCsvBlocks: bonds.minCsvBlocks,
    maxBondCsvBlocks: bonds.maxCsvBlocks,
    seal: seal.mode,
    minClaimFeeRateSatPerKvb: seal.minClaimFeeRate,
    earlyClose: bonds.earlyClose,
    returnsBonds: bonds.release,
  };
}
