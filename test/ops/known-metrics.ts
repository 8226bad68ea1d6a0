import {
  METRIC_PREFIX,
  METRIC_ROWS,
  type MetricName,
  type MetricRole,
} from '../../src/metrics/catalogue.ts';
import { createMetrics } from '../../src/metrics/metrics.ts';
import type { Query } from './promql.ts';

/** Labels that Prometheus adds to every series. */
const TARGET_LABELS = ['job', 'instance', 'role'];

/** Every series a dashboard or a rule may ask for, with its labels. */
export async function knownSeries(): Promise<Map<string, ReadonlySet<string>>> {
  const known = new Map<string, ReadonlySet<string>>([
    ['up', new Set(TARGET_LABELS)],
    ['ALERTS', new Set([...TARGET_LABELS, 'alertname', 'alertstate', 'severity'])],
  ]);
  for (const [name, row] of Object.entries(METRIC_ROWS)) {
    const labels = [...TARGET_LABELS, ...(row.labels ?? [])];
    if (row.type !== 'histogram') known.set(METRIC_PREFIX + name, new Set(labels));
    else {
      known.set(`${METRIC_PREFIX}${name}_bucket`, new Set([...labels, 'le']));
      known.set(`${METRIC_PREFIX}${name}_sum`, new Set(labels));
      known.set(`${METRIC_PREFIX}${name}_count`, new Set(labels));
    }
  }
  const build = { version: '', commit: '', kernel: '', ledger: '' };
  const text = await createMetrics({ role: 'proxy', build }, () => ({})).text();
  for (const match of text.matchAll(/^(sharestream_(?:process|nodejs)_\w+)(?:\{([^}]*)\})? /gm)) {
    const labels = [...(match[2] ?? '').matchAll(/(\w+)="/g)].map((label) => label[1]!);
    known.set(match[1]!, new Set([...TARGET_LABELS, ...labels]));
  }
  return known;
}

/** What a query asks for that does not exist. */
export function unknownIn(query: Query, known: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const problems: string[] = [];
  const available = new Set<string>();
  for (const { metric, labels } of query.selectors) {
    const has = known.get(metric);
    if (has === undefined) problems.push(`no metric ${metric}`);
    for (const label of has ?? []) available.add(label);
    for (const label of labels)
      if (has !== undefined && !has.has(label)) problems.push(`${metric} has no label ${label}`);
  }
  if (query.selectors.length === 0) problems.push('asks for no metric');
  for (const label of query.groupings)
    if (!available.has(label)) problems.push(`groups by unknown label ${label}`);
  return problems;
}

const EVERY: readonly MetricRole[] = ['proxy', 'maker', 'watch', 'auditor'];

/** The daemons that have a series; all of them have those of Prometheus, and of the process. */
export function rolesOf(series: string): readonly MetricRole[] {
  if (/^(?:up|ALERTS|sharestream_(?:process|nodejs)_\w+)$/.test(series)) return EVERY;
  const name = series.replace(METRIC_PREFIX, '').replace(/_(?:bucket|sum|count)$/, '');
  return METRIC_ROWS[name as MetricName]?.roles ?? [];
}
