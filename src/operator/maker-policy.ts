import { CodedError } from '../base/errors.ts';
import { didYouMean } from '../base/spelling.ts';
import { targetOfDifficulty, workOfTarget } from '../bitcoin/target.ts';
import type { MakerConfig } from '../config/config.ts';
import type { ExplainedOption } from '../config/load.ts';
import { flatRows, isLive } from '../config/options.ts';
import { POLICY } from '../config/policy-options.ts';
import { factorPpmOf } from '../contract/off-market.ts';
import type { MakerPolicy } from '../maker/policy.ts';
import type { PolicySettings } from '../maker/policy-book.ts';

/** The configuration that a running maker goes by, with settings over it. Throws as `loadConfig`. */
export type MakerSource = {
  readonly load: (flags: PolicySettings) => MakerConfig;
  readonly explain: (flags: PolicySettings) => readonly ExplainedOption[];
};

/** The options of the policy that can be set while a maker runs, as they are named under `[policy]`. */
const [SETTABLE, FIXED] = [true, false].map((isSettable) =>
  flatRows(POLICY.rows)
    .filter(({ path }) => isLive(POLICY.rows, path) === isSettable)
    .map(({ path }) => path),
) as [string[], string[]];

const PREFIX = 'policy.';

/** The path of an option that can be set at run time. Throws `config_invalid`. */
export function settablePath(name: string): string {
  const short = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
  if (SETTABLE.includes(short)) return PREFIX + short;
  if (FIXED.includes(short))
    throw new CodedError('config_invalid', `policy.${short} is set in the file, for the next start`);
  throw new CodedError('config_invalid', `the policy has no ${short}${didYouMean(short, SETTABLE)}`);
}

/** One option of the policy in force. */
export type PolicyRow = {
  readonly name: string;
  /** As it is typed; null where it has none. */
  readonly value: string | null;
  readonly from: 'set' | ExplainedOption['source'];
  /** Of an option that was set: what holds without that. */
  readonly otherwise: string | null;
};

/** A value as it is typed for `maker policy set`: without the quotes of TOML. */
function plain(toml: string | undefined): string | null {
  return toml?.replace(/^"([^"\\]*)"$/, '$1') ?? null;
}

/** The options of a policy, each with where its value comes from. */
export function policyRows(source: MakerSource, settings: PolicySettings): readonly PolicyRow[] {
  const before = new Map(source.explain({}).map((row) => [row.path, row]));
  return source
    .explain(settings)
    .filter(({ path }) => path.startsWith(PREFIX))
    .map(({ path, value, source: from }) => {
      const isSet = Object.hasOwn(settings, path);
      return {
        ...{ name: path.slice(PREFIX.length), value: plain(value), from: isSet ? 'set' : from },
        otherwise: isSet ? plain(before.get(path)?.value) : null,
      };
    });
}

/** The policy that a configuration says. */
export function policyOf({ network, policy, braidpool }: MakerConfig): MakerPolicy {
  return {
    ...{ network, maxPriceMsatPerEh: policy.maxPriceMsatPerEh, maxBudgetSat: policy.maxBudgetSat },
    maxTotalBudgetSat: policy.maxTotalBudgetSat,
    ...(policy.maxBudgetPerMinerSat === undefined
      ? {}
      : { maxBudgetOfMinerSat: policy.maxBudgetPerMinerSat }),
    ...{ isHalted: policy.isHalted, pricing: policy.pricing },
    ...(policy.strangers === undefined ? {} : { strangers: policy.strangers }),
    maxOpenContractsPerMiner: policy.maxContractsPerMiner,
    ...{ minStepHashes: policy.minStepHashes, maxStepHashes: policy.maxStepHashes },
    maxUnpaidSteps: policy.maxUnpaidSteps,
    minShareWorkHashes: workOfTarget(targetOfDifficulty(policy.minShareDifficulty)),
    ...{ minExpiryBlocks: policy.minExpiryBlocks, maxExpiryBlocks: policy.maxExpiryBlocks },
    minDepth: policy.minDepth,
    maxStaleGraceSeconds: policy.maxStaleGraceSeconds,
    ...(policy.maxIndexPremiumPpm === undefined ? {} : { maxIndexPremiumPpm: policy.maxIndexPremiumPpm }),
    ...(policy.minNoticeBlocks === undefined ? {} : { minNoticeBlocks: policy.minNoticeBlocks }),
    ...(policy.maxRateHps === undefined ? {} : { maxRateHps: policy.maxRateHps }),
    ...(policy.maxPoolUnpaidHashes === undefined
      ? {}
      : { maxPoolUnpaidHashes: policy.maxPoolUnpaidHashes }),
    ...(policy.offMarket === undefined ? {} : { offMarketPpm: factorPpmOf(policy.offMarket) }),
    bindingScriptHex: policy.bindingScriptHex,
    // Unbound terms of earlier versions have a channel, and are not taken.
    bindings: policy.bindings.filter((type) => type !== 'none'),
    ...{ meters: policy.bindings.includes('none'), payout: policy.payout },
    stakes: policy.stakes,
    ...(braidpool === undefined ? {} : { bead: braidpool }),
  };
}
