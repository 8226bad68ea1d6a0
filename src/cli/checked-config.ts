import type { MakerConfig, ProxyConfig, Role } from '../config/config.ts';
import { type ConfigInput, type ConfigOf, openConfig } from '../config/load.ts';
import { configError, type Problem } from '../config/problems.ts';
import { assertKeysKnown } from '../daemon/node-keys.ts';
import { checkMaker, checkProxy, descriptorLimit, type Findings } from '../operator/config-check.ts';

export type CheckedConfig<R extends Role> = Pick<Findings, 'warnings' | 'facts'> & {
  readonly config: ConfigOf<R>;
};

/**
 * A configuration that a daemon may start with, and what is to be said of it. Throws as `loadConfig`, then
 * `config_placeholder` or `config_invalid` for what its checks find, `key_file_missing`.
 */
export function checkedConfig<R extends Role>(role: R, input: ConfigInput): CheckedConfig<R> {
  const { config, file, sourceOf, destinationPath } = openConfig(role, input);
  const findings =
    role === 'proxy'
      ? checkProxy(config as ProxyConfig, { descriptors: descriptorLimit(), destinationPath })
      : checkMaker(config as MakerConfig);
  const placed = (problem: Problem): Problem => ({ ...problem, source: sourceOf(problem.path) });
  if (findings.problems.length > 0) throw configError(findings.problems.map(placed), file);
  assertKeysKnown(config);
  return { config, warnings: findings.warnings.map(placed), facts: findings.facts };
}
