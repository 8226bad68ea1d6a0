import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { knownSeries, unknownIn } from './known-metrics.ts';
import { readQuery } from './promql.ts';
import { parseYaml } from './yaml.ts';

const PROMETHEUS = new URL('../../config/prometheus/', import.meta.url);
const ruleFiles = readdirSync(new URL('rules/', PROMETHEUS));
const testFiles = readdirSync(new URL('tests/', PROMETHEUS));

type Rule = {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: { readonly severity: string };
  readonly annotations: {
    readonly summary: string;
    readonly description: string;
    readonly runbook: string;
  };
};

function rulesOf(name: string): Rule[] {
  const document = parseYaml(readFileSync(new URL(`rules/${name}`, PROMETHEUS), 'utf8')) as unknown as {
    groups: { rules: Rule[] }[];
  };
  return document.groups.flatMap((group) => group.rules);
}

const rules = ruleFiles.flatMap(rulesOf);
const runbook = readFileSync(new URL('runbook.md', PROMETHEUS), 'utf8');

describe('alerts', () => {
  it('cover what can go wrong', () => {
    expect(rules.map((rule) => rule.alert)).toEqual(
      expect.arrayContaining([
        'ProxyDown',
        'UpstreamDown',
        'JobStale',
        'RejectRatioHigh',
        'LedgerError',
        'UnsignedExposureHigh',
        'ChannelFrozen',
      ]),
    );
  });

  it.each(rules)('$alert asks for metrics that exist and says what to do', async (rule) => {
    expect(unknownIn(readQuery(rule.expr), await knownSeries()), rule.expr).toEqual([]);
    expect(rule.for).toMatch(/^\d+m$/);
    expect(['page', 'warn']).toContain(rule.labels.severity);
    expect(rule.annotations.summary).not.toBe('');
    expect(rule.annotations.description).toMatch(/\.$/);
    expect(rule.annotations.runbook).toBe(`config/prometheus/runbook.md#${rule.alert.toLowerCase()}`);
    expect(runbook).toMatch(new RegExp(`^## ${rule.alert}\\n\\n\\S`, 'm'));
  });

  it('are each tested firing', () => {
    const tests = testFiles
      .map((name) => readFileSync(new URL(`tests/${name}`, PROMETHEUS), 'utf8'))
      .join('\n');
    for (const { alert } of rules) expect(tests, alert).toContain(`alertname="${alert}"`);
  });
});

describe('promtool', () => {
  const promtool = spawnSync('promtool', ['--version']).error === undefined;
  const run = (...words: string[]): string => {
    return execFileSync('promtool', words, {
      cwd: fileURLToPath(PROMETHEUS),
      encoding: 'utf8',
      stdio: 'pipe',
    });
  };

  const why = 'promtool is not installed (apt-get install prometheus)';

  it('accepts the configuration and the rules', ({ skip }) => {
    skip(!promtool, why);
    expect(run('check', 'config', 'prometheus.yml')).toContain('SUCCESS');
    expect(run('check', 'rules', ...ruleFiles.map((name) => `rules/${name}`))).toContain(
      `${rules.length} rules found`,
    );
  });

  it('runs the rule tests', ({ skip }) => {
    skip(!promtool, why);
    expect(run('test', 'rules', ...testFiles.map((name) => `tests/${name}`))).toContain('SUCCESS');
  });
});
