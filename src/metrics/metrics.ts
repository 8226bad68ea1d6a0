import { performance } from 'node:perf_hooks';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { assert } from '../base/assert.ts';
import {
  type CATALOGUE,
  METRIC_PREFIX,
  METRIC_ROWS,
  type MetricName,
  type MetricRole,
  type MetricRow,
} from './catalogue.ts';

type Rows = typeof CATALOGUE;

type HasRole<N extends MetricName, R extends MetricRole> = R extends Rows[N]['roles'][number] ? N : never;

type SourceName<R extends MetricRole> = {
  [N in MetricName]: Rows[N] extends { builtin: true } | { type: 'histogram' } ? never : HasRole<N, R>;
}[MetricName];

type ObserverName<R extends MetricRole> = {
  [N in MetricName]: Rows[N] extends { type: 'histogram' } ? HasRole<N, R> : never;
}[MetricName];

/** Value by label value; a number that is missing or undefined makes no series. */
export type ByLabel = Readonly<Record<string, number | undefined>>;

type LabelsOf<N extends MetricName> = Rows[N] extends { labels: infer L } ? L : readonly [];

type SourceOf<N extends MetricName> =
  LabelsOf<N> extends readonly []
    ? () => number | undefined
    : LabelsOf<N> extends readonly [string]
      ? () => ByLabel
      : () => Readonly<Record<string, ByLabel>>;

/**
 * Where the numbers come from at a scrape, by metric name without the prefix: a number, values by label, or
 * values by first and second label. Counters must be totals since the start. What is left out: a counter
 * stays at 0, a gauge has no series.
 */
export type MetricSources<R extends MetricRole> = { readonly [N in SourceName<R>]?: SourceOf<N> };

/** `metrics.observe.share_ack_seconds(0.003)`. Seconds, or what the name says; about 100 ns a call. */
export type MetricObservers<R extends MetricRole> = {
  readonly [N in ObserverName<R>]: (value: number) => void;
};

export type BuildInfo = {
  readonly version: string;
  readonly commit: string;
  /** Which SHA-256 implementation hashes the shares. */
  readonly kernel: string;
  /** Ledger engine and version. */
  readonly ledger: string;
};

export type Metrics<R extends MetricRole = MetricRole> = {
  readonly contentType: string;
  /** Everything in Prometheus' text format. */
  readonly text: () => Promise<string>;
  readonly observe: MetricObservers<R>;
};

/**
 * The registry of one process; nothing is registered globally.
 * @param sourcesOf called at each `text()`, and once before for which there are: so what several of them are
 * made of is read once a scrape
 */
export function createMetrics<R extends MetricRole>(
  options: { readonly role: R; readonly build: BuildInfo },
  sourcesOf: () => MetricSources<R>,
): Metrics<R> {
  const registry = new Registry();
  const state = { failures: 0 };
  const own = builtins(options.build, state);
  const read = (): Sources => ({ ...(sourcesOf() as Sources), ...own });
  let sources = read();
  const observe: Record<string, (value: number) => void> = {};
  for (const [name, row] of Object.entries(METRIC_ROWS)) {
    if (!row.roles.includes(options.role)) continue;
    if (row.type === 'histogram') observe[name] = histogram(registry, name, row, state);
    else if (row.type === 'counter' || sources[name] !== undefined)
      pulled(registry, name, row, () => sources[name]?.(), state);
  }
  collectDefaultMetrics({ register: registry, prefix: METRIC_PREFIX });
  return {
    contentType: registry.contentType,
    text: () => {
      sources = read();
      return registry.metrics();
    },
    observe: observe as MetricObservers<R>,
  };
}

type Source = () => unknown;
type Sources = Readonly<Record<string, Source | undefined>>;
type State = { failures: number };

function histogram(
  registry: Registry,
  name: string,
  row: MetricRow,
  state: State,
): (value: number) => void {
  assert(row.buckets !== undefined && row.labels === undefined, 'histogram_row', name);
  const { help } = row;
  const buckets = [...row.buckets];
  const metric = new Histogram({ name: METRIC_PREFIX + name, help, buckets, registers: [registry] });
  return (value) => {
    if (Number.isFinite(value)) metric.observe(value);
    else state.failures += 1;
  };
}

function pulled(registry: Registry, name: string, row: MetricRow, source: Source, state: State): void {
  const labels = row.labels ?? [];
  const write = (metric: Counter | Gauge): void => {
    metric.reset();
    if (labels.length === 0) metric.remove();
    try {
      const series = [...zeroSeries(row), ...seriesOf(source(), labels)];
      for (const { key, value } of latest(series)) metric.inc(key, value);
    } catch {
      state.failures += 1;
    }
  };
  const config = {
    name: METRIC_PREFIX + name,
    help: row.help,
    labelNames: [...labels],
    registers: [registry],
  };
  if (row.type === 'counter') {
    new Counter({
      ...config,
      collect() {
        write(this);
      },
    });
  } else {
    new Gauge({
      ...config,
      collect() {
        write(this);
      },
    });
  }
}

type Series = { readonly key: Record<string, string>; readonly value: number };

/**
 * A zero for each combination of closed label values, so that rates and alerts work from the first scrape. A
 * gauge without labels has none: what is not known is not 0.
 */
function zeroSeries(row: MetricRow): Series[] {
  if (row.type === 'gauge' && row.labels === undefined) return [];
  let keys: Record<string, string>[] = [{}];
  for (const label of row.labels ?? []) {
    keys = keys.flatMap((key) => (row.values?.[label] ?? []).map((value) => ({ ...key, [label]: value })));
  }
  return keys.map((key) => ({ key, value: 0 }));
}

function seriesOf(value: unknown, labels: readonly string[], key: Record<string, string> = {}): Series[] {
  const [label, ...rest] = labels;
  if (value === undefined || value === null) return [];
  if (label === undefined) {
    if (typeof value !== 'number' || !Number.isFinite(value))
      throw new TypeError('a metric must be a finite number');
    return [{ key, value }];
  }
  return Object.entries(value).flatMap(([name, item]) => seriesOf(item, rest, { ...key, [label]: name }));
}

/** The last value of each series: a source overrides the zero. */
function latest(series: readonly Series[]): Iterable<Series> {
  return new Map(series.map((item) => [JSON.stringify(item.key), item])).values();
}

function builtins(build: BuildInfo, state: State): Readonly<Record<string, Source>> {
  const startTimeSeconds = Math.round(performance.timeOrigin) / 1000;
  let lastUtilization = performance.eventLoopUtilization();
  return {
    build_info: () => ({
      [build.version]: { [build.commit]: { [process.version]: { [build.kernel]: { [build.ledger]: 1 } } } },
    }),
    start_time_seconds: () => startTimeSeconds,
    event_loop_utilization_ratio: () => {
      const now = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(now, lastUtilization);
      lastUtilization = now;
      return utilization;
    },
    metrics_failures_total: () => state.failures,
  };
}
