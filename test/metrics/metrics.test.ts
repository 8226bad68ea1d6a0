import { describe, expect, it } from 'vitest';
import { ERROR_TABLE } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { METRIC_PREFIX, METRIC_ROWS, metricTable } from '../../src/metrics/catalogue.ts';
import { createMetrics, type MetricSources } from '../../src/metrics/metrics.ts';

const BUILD = { version: '1.2.3', commit: 'abcdef', kernel: 'simd', ledger: 'sqlite 3.53.4' };

function proxyMetrics(sources: MetricSources<'proxy'> = {}) {
  return createMetrics({ role: 'proxy', build: BUILD }, () => sources);
}

/** `name{labels}` -> value of a scrape. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(' ');
      return [line.slice(METRIC_PREFIX.length, space), Number(line.slice(space + 1))];
    }),
  );
}

describe('catalogue', () => {
  it('follows the naming rules', () => {
    for (const [name, row] of Object.entries(METRIC_ROWS)) {
      expect(name, name).toMatch(/^[a-z][a-z0-9_]*$/);
      expect(name.endsWith('_total'), `${name}: _total is for counters, and only for them`).toBe(
        row.type === 'counter',
      );
      if (row.type === 'histogram') {
        expect(name, name).toMatch(/_(seconds|shares)$/);
        expect(row.buckets, name).toEqual([...(row.buckets ?? [])].sort((a, b) => a - b));
      }
      expect(row.help, name).toMatch(/^[A-Z0-9].*\.$/);
      for (const label of Object.keys(row.values ?? {})) expect(row.labels ?? [], name).toContain(label);
    }
  });

  it('makes a table with a line for each metric', () => {
    const lines = metricTable().trim().split('\n');
    expect(lines).toHaveLength(Object.keys(METRIC_ROWS).length + 2);
    for (const line of lines) expect(line.split('|'), line).toHaveLength(7);
  });
});

describe('createMetrics', () => {
  it('exports every counter of its role from the start, and no metric of the other role', async () => {
    const text = await createMetrics({ role: 'maker', build: BUILD }, () => ({})).text();
    for (const [name, row] of Object.entries(METRIC_ROWS)) {
      const exported = text.includes(`# TYPE ${METRIC_PREFIX}${name} `);
      if (!row.roles.includes('maker')) expect(exported, name).toBe(false);
      else if (row.type !== 'gauge' || row.builtin) expect(exported, name).toBe(true);
    }
  });

  it('asks for its sources once a scrape, whatever number of them there is', async () => {
    let asked = 0;
    const metrics = createMetrics({ role: 'proxy', build: BUILD }, () => {
      asked += 1;
      const now = asked;
      return { shares_accepted_total: () => now, blocks_found_total: () => now, ledger_held: () => now };
    });
    for (const scrape of [2, 3]) {
      const samples = samplesOf(await metrics.text());
      const read = ['shares_accepted_total', 'blocks_found_total', 'ledger_held'];
      expect(read.map((name) => samples.get(name))).toEqual([scrape, scrape, scrape]);
    }
    expect(asked).toBe(3);
  });

  it('starts closed label sets at 0', async () => {
    const samples = samplesOf(await proxyMetrics().text());
    expect(samples.get('shares_rejected_total{reason="stale"}')).toBe(0);
    expect(samples.get('shares_accepted_total')).toBe(0);
    for (const code of [...Object.keys(ERROR_TABLE), 'internal']) {
      expect(samples.get(`errors_total{code="${code}"}`), code).toBe(0);
    }
    for (const limit of Object.keys(LIMITS)) {
      expect(samples.get(`limit_hits_total{limit="${limit}"}`), limit).toBe(0);
    }
  });

  it('reads its sources at each scrape', async () => {
    const stats = { submitted: 1, rejected: { stale: 2 }, pool: { accepted: 3, refused: 4 } };
    const metrics = proxyMetrics({
      shares_submitted_total: () => stats.submitted,
      shares_rejected_total: () => stats.rejected,
      upstream_shares_total: () => ({ pool: stats.pool }),
      upstream_up: () => ({ pool: 1, spare: 0 }),
    });
    await metrics.text();
    stats.submitted = 10;
    stats.rejected.stale = 20;
    const samples = samplesOf(await metrics.text());
    expect(samples.get('shares_submitted_total')).toBe(10);
    expect(samples.get('shares_rejected_total{reason="stale"}')).toBe(20);
    expect(samples.get('shares_rejected_total{reason="duplicate"}')).toBe(0);
    expect(samples.get('upstream_shares_total{target="pool",result="refused"}')).toBe(4);
    expect(samples.get('upstream_up{target="spare"}')).toBe(0);
  });

  it('has no series of what is not known yet, or no more, and so no zero that an alert takes for one', async () => {
    let known: number | undefined;
    const metrics = proxyMetrics({ disk_full_seconds: () => known, channel_expiry_blocks: () => known });
    const shown = async (): Promise<(number | undefined)[]> => {
      const samples = samplesOf(await metrics.text());
      return ['disk_full_seconds', 'channel_expiry_blocks'].map((name) => samples.get(name));
    };
    expect(await shown()).toEqual([undefined, undefined]);
    known = 5;
    expect(await shown()).toEqual([5, 5]);
    known = undefined;
    expect(await shown()).toEqual([undefined, undefined]);
  });

  it('drops a series that its source no longer has', async () => {
    let targets: Record<string, number> = { a: 1, b: 1 };
    const metrics = proxyMetrics({ upstream_up: () => targets });
    await metrics.text();
    targets = { b: 1 };
    const samples = samplesOf(await metrics.text());
    expect(samples.has('upstream_up{target="a"}')).toBe(false);
    expect(samples.get('upstream_up{target="b"}')).toBe(1);
  });

  it('loses only the metric whose source fails, counts it, and makes no false zero of it', async () => {
    const metrics = proxyMetrics({
      shares_submitted_total: () => Number.NaN,
      job_age_seconds: () => {
        throw new Error('boom');
      },
      downstream_sessions: () => 7,
    });
    await metrics.text();
    const samples = samplesOf(await metrics.text());
    expect(samples.has('shares_submitted_total')).toBe(false);
    expect(samples.has('job_age_seconds')).toBe(false);
    expect(samples.get('downstream_sessions')).toBe(7);
    expect(samples.get('metrics_failures_total')).toBeGreaterThanOrEqual(2);
  });

  it('observes histograms, and survives a number that is none', async () => {
    const metrics = proxyMetrics();
    metrics.observe.share_ack_seconds(0.003);
    metrics.observe.share_ack_seconds(0.3);
    metrics.observe.share_ack_seconds(Number.NaN);
    const samples = samplesOf(await metrics.text());
    expect(samples.get('share_ack_seconds_bucket{le="0.005"}')).toBe(1);
    expect(samples.get('share_ack_seconds_bucket{le="+Inf"}')).toBe(2);
    expect(samples.get('share_ack_seconds_count')).toBe(2);
  });

  it('says what is running, and since when', async () => {
    const samples = samplesOf(await proxyMetrics().text());
    const labels = `version="1.2.3",commit="abcdef",node="${process.version}",kernel="simd",ledger="sqlite 3.53.4"`;
    expect(samples.get(`build_info{${labels}}`)).toBe(1);
    expect(samples.get('start_time_seconds')).toBeCloseTo(Date.now() / 1000 - process.uptime(), 0);
    const busy = samples.get('event_loop_utilization_ratio') ?? -1;
    expect(busy).toBeGreaterThanOrEqual(0);
    expect(busy).toBeLessThanOrEqual(1);
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(0);
  });

  it('shares nothing between two registries of one process', async () => {
    const one = proxyMetrics({ downstream_sessions: () => 1 });
    const two = proxyMetrics({ downstream_sessions: () => 2 });
    expect(samplesOf(await one.text()).get('downstream_sessions')).toBe(1);
    expect(samplesOf(await two.text()).get('downstream_sessions')).toBe(2);
  });
});
