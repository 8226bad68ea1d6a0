import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { MetricRole } from '../../src/metrics/catalogue.ts';
import { knownSeries, rolesOf, unknownIn } from './known-metrics.ts';
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
    readonly runbook_url: string;
  };
};

function rulesOf(name: string): Rule[] {
  const document = parseYaml(readFileSync(new URL(`rules/${name}`, PROMETHEUS), 'utf8')) as unknown as {
    groups: { rules: Rule[] }[];
  };
  return document.groups.flatMap((group) => group.rules);
}

type RuleTest = { readonly name: string; readonly input_series: readonly unknown[] };
type Route = {
  readonly receiver: string;
  readonly matchers?: readonly string[];
  readonly routes?: readonly Route[];
};
type Inhibition = Readonly<Record<'source_matchers' | 'target_matchers' | 'equal', readonly string[]>>;

/** A second of work, on a machine that has others. */
const PROMTOOL_MS = 60_000;

const rules = ruleFiles.flatMap(rulesOf);
const runbook = readFileSync(new URL('runbook.md', PROMETHEUS), 'utf8');

describe('alerts', () => {
  it('cover what an operator must know', () => {
    const lists: Readonly<Record<string, readonly string[]>> = {
      'a process is gone': ['DaemonDown', 'DaemonRestarting', 'NothingScraped', 'Watchdog'],
      'no work, or worthless work': ['UpstreamDown', 'JobStale', 'UpstreamDisagrees', 'MakerWithoutWork'],
      'miners are gone': ['HashrateDropped', 'MinersDropped', 'MinersLetGo'],
      'the other side': [
        'PeerAway',
        'UnsignedExposureHigh',
        'DeliveryShort',
        'DeliveryDefault',
        'LuckUnlikely',
      ],
      channels: ['ChannelSuspended', 'ChannelBroken', 'ChannelExpiryNear', 'CloseOnly', 'ChannelUnserved'],
      'disk and ledger': ['LedgerError', 'LedgerHeld', 'DiskFilling', 'DiskLow', 'BackupOld'],
      'the chain': ['ChainStalled', 'ChainTipOld', 'ChainNodeDown'],
      'the watch': ['LadderOld', 'LadderUnreadable', 'LadderMissing', 'LadderExpiryNear', 'WatchEmpty'],
    };
    const names = rules.map((rule) => rule.alert);
    expect(names).toEqual(expect.arrayContaining(Object.values(lists).flat()));
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(rules)('$alert asks for metrics that exist and says what to do', async (rule) => {
    if (rule.alert !== 'Watchdog')
      expect(unknownIn(readQuery(rule.expr), await knownSeries()), rule.expr).toEqual([]);
    expect(rule.for).toMatch(/^\d+m$/);
    expect(rule.alert === 'Watchdog' ? ['none'] : ['page', 'warn']).toContain(rule.labels.severity);
    expect(rule.annotations.summary).not.toBe('');
    expect(rule.annotations.description).toMatch(/\.$/);
    expect(rule.annotations.runbook_url).toBe(`config/prometheus/runbook.md#${rule.alert.toLowerCase()}`);
    expect(runbook).toMatch(new RegExp(`^## ${rule.alert}\\n\\n\\S`, 'm'));
  });

  it.each(rules)('$alert can fire: one daemon has all that it looks at', ({ expr }) => {
    const roles: readonly MetricRole[] = ['proxy', 'maker', 'watch', 'auditor'];
    const metrics = readQuery(expr).selectors.map(({ metric }) => metric);
    const both = metrics.filter((metric) => metric !== 'sharestream_auditor_contracts');
    expect(roles.filter((role) => both.every((metric) => rolesOf(metric).includes(role)))).not.toEqual([]);
  });

  it('are each tested firing, and quiet beside the very series they look at', () => {
    const tests = testFiles.flatMap((name) => {
      const document = parseYaml(readFileSync(new URL(`tests/${name}`, PROMETHEUS), 'utf8'));
      return (document as unknown as { readonly tests: readonly RuleTest[] }).tests;
    });
    const text = JSON.stringify(tests);
    const quiet = tests.find((test) => test.name === 'everything in order')!;
    for (const { alert, expr } of rules) {
      expect(text, alert).toMatch(new RegExp(`alertname=\\\\?"${alert}\\\\?"|"alertname":"${alert}"`));
      const series = JSON.stringify(quiet.input_series);
      for (const { metric } of alert === 'Watchdog' ? [] : readQuery(expr).selectors)
        if (metric !== 'sharestream_auditor_contracts') expect(series, alert).toContain(`${metric}{`);
    }
  });

  it('has its runbook say nothing of an alert that is gone', () => {
    const headings = [...runbook.matchAll(/^## (\w+)$/gm)].map((match) => match[1]);
    expect(headings).toEqual(rules.map((rule) => rule.alert));
  });
});

describe('alertmanager.yml', () => {
  const text = readFileSync(new URL('alertmanager.yml', PROMETHEUS), 'utf8');
  const config = parseYaml(text) as unknown as {
    readonly route: Route;
    readonly receivers: readonly { readonly name: string }[];
    readonly inhibit_rules: readonly Inhibition[];
  };

  it('sends each severity somewhere that is there, and the one that always fires away from people', () => {
    const receivers = config.receivers.map(({ name }) => name);
    const routes = [config.route, ...(config.route.routes ?? [])];
    for (const { receiver } of routes) expect(receivers).toContain(receiver);
    expect(routes.map(({ matchers }) => matchers ?? [])).toEqual([
      [],
      ['severity="none"'],
      ['severity="page"'],
    ]);
  });

  it('holds back only what it names, and names only alerts that are there', () => {
    const names = rules.map((rule) => rule.alert);
    for (const { source_matchers, target_matchers, equal } of config.inhibit_rules) {
      const said = [...source_matchers, ...target_matchers].flatMap((matcher) =>
        matcher.startsWith('alertname') ? (/"(.*)"/.exec(matcher)?.[1] ?? '').split('|') : [],
      );
      expect(said.length).toBeGreaterThan(1);
      for (const name of said) expect(names).toContain(name);
      expect(equal).toEqual(['job', 'instance']);
    }
  });

  it('is what amtool takes, where that is there', ({ skip }) => {
    const amtool = spawnSync('amtool', ['check-config', 'alertmanager.yml'], {
      ...{ cwd: fileURLToPath(PROMETHEUS), encoding: 'utf8' },
    });
    // No suite needs it: the two tests above hold the structure.
    if (amtool.error !== undefined && process.env['CI'] !== undefined) return;
    skip(amtool.error !== undefined, 'amtool is not installed (apt-get install prometheus-alertmanager)');
    expect(amtool.stdout + amtool.stderr).toContain('SUCCESS');
    expect(amtool.status).toBe(0);
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

  it(
    'runs the rule tests',
    ({ skip }) => {
      skip(!promtool, why);
      expect(run('test', 'rules', ...testFiles.map((name) => `tests/${name}`))).toContain('SUCCESS');
    },
    PROMTOOL_MS,
  );
});
