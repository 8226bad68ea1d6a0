import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MUTATIONS } from './sim/mutations.ts';
import { STRATEGIES } from './sim/strategies/strategies.ts';

const text = readFileSync(new URL('FAULTS.md', import.meta.url), 'utf8');
const [faults, suspected] = text.split('## Suspected') as [string, string];
const cellsOf = (line: string): string[] => line.split('|').map((cell) => cell.trim());
const namesIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
const rows = faults.split('\n').flatMap((line) => {
  const [, fault, strategies = '', mutations = '', tests = ''] = cellsOf(line);
  if (!/^F\d+$/.test(fault ?? '')) return [];
  const named = { strategies: namesIn(strategies), mutations: namesIn(mutations), tests: namesIn(tests) };
  return [{ fault: fault!, ...named }];
});

/** A test by its file and a part of its title. */
function expectTest(name: string): void {
  const [, path = '', title = ''] = /^(\S+): (.+)$/.exec(name) ?? [];
  const file = new URL(path, import.meta.url);
  expect(existsSync(file), name).toBe(true);
  const titles = [...readFileSync(file, 'utf8').matchAll(/(['"`])((?:(?!\1).)*)\1/g)].map(
    ([, , each]) => each,
  );
  expect(
    titles.some((each) => each?.includes(title)),
    name,
  ).toBe(true);
}

describe('the table of faults', () => {
  it('has each of them once, with something that would find it', () => {
    expect(rows.map(({ fault }) => fault)).toEqual(
      Array.from({ length: 28 }, (_, index) => `F${index + 1}`),
    );
    for (const { fault, strategies, tests } of rows)
      expect(strategies.length + tests.length, fault).toBeGreaterThan(0);
  });

  it.each(rows)('names what there is: $fault', ({ strategies, mutations, tests }) => {
    for (const name of strategies) expect(STRATEGIES[name], name).toBeDefined();
    for (const name of mutations) expect(MUTATIONS[name], name).toBeDefined();
    for (const name of tests) expectTest(name);
  });

  it('has a strategy for each misbehaviour that the simulation names', () => {
    const readme = readFileSync(new URL('sim/README.md', import.meta.url), 'utf8');
    const lines = readme.split('\n').filter((line) => line.startsWith('| ') && line.includes('`'));
    expect(lines).toHaveLength(19);
    for (const name of lines.flatMap(namesIn)) expect(STRATEGIES[name], name).toBeDefined();
  });

  it('has for each suspicion a test that shows or refutes it', () => {
    const tests = suspected.split('\n').flatMap((line) => namesIn(cellsOf(line)[2] ?? ''));
    expect(tests).toHaveLength(8);
    for (const name of tests) expectTest(name);
  });
});
