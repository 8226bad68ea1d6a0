import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { MetricRole } from '../../src/metrics/catalogue.ts';
import { knownSeries, rolesOf, unknownIn } from './known-metrics.ts';
import { readQuery } from './promql.ts';

const FOLDER = new URL('../../config/grafana/dashboards/', import.meta.url);
const SCHEMA_VERSION = 39;

type Target = { readonly expr: string; readonly datasource: unknown; readonly refId: string };
type Panel = {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: unknown;
  readonly targets?: readonly Target[];
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
};
type Variable = {
  readonly name: string;
  readonly type: string;
  readonly datasource?: unknown;
  readonly query: unknown;
};
type Dashboard = {
  readonly id: unknown;
  readonly uid: string;
  readonly title: string;
  readonly timezone: string;
  readonly graphTooltip: number;
  readonly schemaVersion: number;
  readonly tags: readonly string[];
  readonly links: readonly {
    readonly type: string;
    readonly asDropdown: boolean;
    readonly tags: readonly string[];
  }[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly panels: readonly Panel[];
  readonly annotations: { readonly list: readonly Annotation[] };
};
type Annotation = {
  readonly name: string;
  readonly expr: string;
  readonly datasource: unknown;
  readonly enable: boolean;
  readonly titleFormat: string;
  readonly textFormat: string;
};

/** Whose boards they are, and what is marked on them. */
const BOARDS: Readonly<Record<string, { roles: readonly MetricRole[]; annotations: readonly string[] }>> = {
  'overview.json': { roles: ['proxy'], annotations: ['Blocks', 'Switches', 'States', 'Starts', 'Alerts'] },
  'miners.json': { roles: ['proxy'], annotations: ['Blocks', 'Switches', 'States', 'Starts', 'Alerts'] },
  'contracts.json': { roles: ['proxy'], annotations: ['Blocks', 'Switches', 'States', 'Starts', 'Alerts'] },
  'validation.json': { roles: ['proxy', 'maker'], annotations: ['States', 'Starts', 'Alerts'] },
  'chain.json': { roles: ['proxy', 'maker'], annotations: ['States', 'Starts', 'Alerts'] },
  'maker.json': { roles: ['maker'], annotations: ['States', 'Starts', 'Alerts'] },
};

const files = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));
// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own syntax for its variables
const DATASOURCE = '${datasource}';
const SOURCE = { type: 'prometheus', uid: DATASOURCE };

it('there are five for a proxy, of which two are for makers too, and one for makers', () => {
  expect(files.toSorted()).toEqual(Object.keys(BOARDS).toSorted());
});

describe.each(files)('dashboard %s', (name) => {
  const text = readFileSync(new URL(name, FOLDER), 'utf8');
  const board = JSON.parse(text) as Dashboard;
  const panels = board.panels.filter((panel) => panel.type !== 'row');

  it('can be imported anywhere', () => {
    expect(board.id).toBeNull();
    expect(board.uid).toBe(`sharestream-${name.replace('.json', '')}`);
    expect(board.schemaVersion).toBe(SCHEMA_VERSION);
    expect(board.timezone).toBe('browser');
    expect(board.graphTooltip, 'shared crosshair').toBe(1);
    expect(board.tags).toContain('sharestream');
    expect(board.links).toMatchObject([{ type: 'dashboards', asDropdown: true, tags: ['sharestream'] }]);
    const variables = board.templating.list.map(({ name: variable, type }) => `${variable}:${type}`);
    expect(variables).toEqual(['datasource:datasource', 'job:query', 'instance:query']);
    const sources = [...text.matchAll(/"uid": "([^"]*)"/g)].map((match) => match[1]);
    expect(new Set(sources), 'no data source by its own uid').toEqual(new Set([board.uid, DATASOURCE]));
  });

  it('has its keys sorted, so that a change shows as what it is', () => {
    const unsorted: string[] = [];
    JSON.parse(text, (_key, value: unknown) => {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
      const keys = Object.keys(value);
      if (keys.join() !== [...keys].sort().join()) unsorted.push(keys.join());
      return value;
    });
    expect(unsorted).toEqual([]);
  });

  it('explains every panel, with a unit', () => {
    for (const panel of panels) {
      expect(panel.description ?? '', panel.title).toMatch(/.{20,}\.$/s);
      expect(panel.fieldConfig?.defaults.unit ?? '', panel.title).not.toBe('');
      expect(panel.datasource, panel.title).toEqual(SOURCE);
      expect(panel.targets?.length ?? 0, panel.title).toBeGreaterThan(0);
    }
    const ids = board.panels.map((panel) => panel.id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('asks only for what is exported, filtered by job and instance', async () => {
    const known = await knownSeries();
    for (const panel of panels) {
      for (const target of panel.targets ?? []) {
        const where = `${panel.title}: ${target.expr}`;
        const query = readQuery(target.expr);
        expect(unknownIn(query, known), where).toEqual([]);
        for (const selector of query.selectors) {
          expect(selector.labels, where).toEqual(expect.arrayContaining(['job', 'instance']));
        }
        expect(target.expr, where).toMatch(/job="\$job", instance=~"\$instance"/);
        for (const range of query.ranges) expect(['$__rate_interval', '1h', '24h'], where).toContain(range);
        expect(target.datasource, where).toEqual(SOURCE);
      }
    }
    for (const variable of board.templating.list.filter(({ type }) => type === 'query')) {
      const { query } = variable.query as { query: string };
      expect(
        unknownIn({ ...readQuery(query.replace(/,\s*\w+\)$/, ')')), groupings: [] }, known),
        query,
      ).toEqual([]);
      expect(variable.datasource).toEqual(SOURCE);
    }
  });

  it('shows no instance for which a panel were empty by construction', async () => {
    const { roles } = BOARDS[name]!;
    for (const panel of panels) {
      for (const { expr } of panel.targets ?? []) {
        for (const { metric } of readQuery(expr).selectors)
          expect(rolesOf(metric), `${panel.title}: ${metric}`).toEqual(expect.arrayContaining([...roles]));
      }
    }
    for (const variable of board.templating.list.filter(({ type }) => type === 'query')) {
      const { query } = variable.query as { query: string };
      const [metric = ''] = /sharestream_\w+/.exec(query) ?? [];
      expect(rolesOf(metric).toSorted(), 'only whose board it is').toEqual(roles.toSorted());
    }
  });

  it('marks blocks, switches, states, starts and alerts, where they are known', async () => {
    const { list } = board.annotations;
    expect(list.map((each) => each.name)).toEqual(BOARDS[name]!.annotations);
    const known = await knownSeries();
    for (const { expr, datasource, enable, titleFormat, textFormat } of list) {
      expect(unknownIn(readQuery(expr), known), expr).toEqual([]);
      expect(expr).toMatch(/job="\$job", instance=~"\$instance"/);
      for (const { metric } of readQuery(expr).selectors)
        expect(rolesOf(metric), metric).toEqual(expect.arrayContaining([...BOARDS[name]!.roles]));
      expect({ datasource, enable }).toEqual({ datasource: SOURCE, enable: true });
      expect(titleFormat + textFormat).toContain('{{instance}}');
    }
  });

  it('lays its panels out side by side, not over each other', () => {
    const taken = new Map<string, string>();
    for (const { title, gridPos } of board.panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect(taken.get(`${x},${y}`), `${title} covers another panel`).toBeUndefined();
          taken.set(`${x},${y}`, title);
        }
      }
    }
  });
});
