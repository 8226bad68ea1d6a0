import type { AuditorConfig, MakerConfig, ProxyConfig, Role } from '../config/config.ts';
import { ConfigInForce } from '../config/in-force.ts';
import { type ConfigInput, type ConfigOf, type OpenedConfig, openConfig } from '../config/load.ts';
import { configError, type Problem } from '../config/problems.ts';
import { assertKeysKnown } from '../daemon/node-keys.ts';
import {
  checkAuditor,
  checkMaker,
  checkProxy,
  descriptorLimit,
  type Findings,
} from '../operator/config-check.ts';

export type CheckedConfig<R extends Role> = Pick<Findings, 'warnings' | 'facts'> & {
  readonly config: ConfigOf<R>;
};

/**
 * A configuration that a daemon may start with, and what is to be said of it. Throws as `loadConfig`, then
 * `config_placeholder` or `config_invalid` for what its checks find, `key_file_missing`.
 */
export function checkedConfig<R extends Role>(role: R, input: ConfigInput): CheckedConfig<R> {
  const opened = openConfig(role, input);
  const { warnings, facts } = findingsOfSound(role, opened);
  return { config: opened.config, warnings, facts };
}

/** The configuration that a daemon runs by, checked as `checkedConfig` does. */
export function configInForce<R extends Role>(role: R, input: ConfigInput): ConfigInForce<R> {
  return new ConfigInForce(role, input, (opened) => void findingsOfSound(role, opened));
}

/** Throws `config_placeholder`, `config_invalid`, `key_file_missing`. */
function findingsOfSound<R extends Role>(role: R, opened: OpenedConfig<R>): Findings {
  const findings = findingsOf(role, opened);
  if (findings.problems.length > 0) throw configError(findings.problems, opened.file);
  assertKeysKnown(opened.config);
  return findings;
}

/** What the checks of a role find, each with the place that its value came from. */
export function findingsOf<R extends Role>(role: R, opened: OpenedConfig<R>): Findings {
  const { config, sourceOf, destinationPath } = opened;
  const check = {
    proxy: () => checkProxy(config as ProxyConfig, { descriptors: descriptorLimit(), destinationPath }),
    maker: () => checkMaker(config as MakerConfig),
    auditor: () => checkAuditor(config as AuditorConfig),
  }[role];
  const { problems, warnings, facts } = check();
  const placed = (problem: Problem): Problem => ({ ...problem, source: sourceOf(problem.path) });
  return { problems: problems.map(placed), warnings: warnings.map(placed), facts };
}
