import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseYaml } from '../ops/yaml.ts';
import { alertsOf, scaledRules } from './scaled-rules.ts';

const RULE = `groups:
  - name: some
    rules:
      - alert: One
        expr: rate(x_total[15m]) < 0.5 * rate(x_total{y="[6h]"}[6h]) and z > 120
        for: 10m
        annotations:
          summary: "within [15m] for: 10m"
      - alert: Two
        expr: age > 120
        for: 0m
`;

describe('rules scaled in time', () => {
  it('have their ranges and their `for` shortened, and nothing else', () => {
    expect(scaledRules(RULE, 60)).toBe(
      RULE.replace('[15m]) <', '[15s]) <')
        .replace('}[6h]', '}[360s]')
        .replace('for: 10m\n', 'for: 10s\n')
        .replace('for: 0m', 'for: 0s'),
    );
    expect(scaledRules(RULE, 7)).toContain('[128571ms]) <');
  });

  it('have a number of one alert replaced, and the same of another left', () => {
    const scaled = scaledRules(RULE, 1, [{ alert: 'Two', from: '> 120', to: '> 12' }]);
    expect(scaled).toContain('age > 12\n');
    expect(scaled).toContain('z > 120\n');
  });

  it.each([
    ['a number that is not there', 60, [{ alert: 'Two', from: '> 7', to: '> 1' }]],
    ['an alert that is not there', 60, [{ alert: 'Three', from: '> 120', to: '> 1' }]],
    ['no time at all', 10_000_000, []],
  ])('are refused for %s', (_name, factor, numbers) => {
    expect(() => scaledRules(RULE, factor, numbers)).toThrow();
  });

  it('are ours, with as many alerts, each as often as before', () => {
    const text = readFileSync(
      new URL('../../config/prometheus/rules/sharestream.yml', import.meta.url),
      'utf8',
    );
    const scaled = scaledRules(text, 60);
    expect(scaled.split('\n')).toHaveLength(text.split('\n').length);
    expect(scaled).not.toMatch(/for: \d+m$/m);
    expect(() => parseYaml(scaled)).not.toThrow();
    expect(alertsOf(scaled)).toEqual(alertsOf(text));
    expect(alertsOf(text)).toContain('Watchdog');
  });
});
