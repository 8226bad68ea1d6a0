import { type Context, chainOf, commonOf } from './common-config.ts';
import type { MakerConfig } from './config.ts';
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
  return {
    ...commonOf(values, context),
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
    },
    chain: chainOf(values.chain, values.chain.rpcUrl, context),
  };
}
