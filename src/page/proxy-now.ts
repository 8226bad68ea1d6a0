import { type Answer, askAll } from './api.ts';
import { Chart } from './chart.ts';
import { grouped, hashrate } from './format.ts';
import { html } from './html.ts';
import { useLive, usePolled } from './live.ts';
import { Card, Tile, Waiting } from './parts.ts';

type Sample = Answer<'proxy', 'followEvents'>;
type Row = Answer<'proxy', 'listHistory'>;

export function ProxyNow() {
  const sample = useLive().sample as Sample | undefined;
  const history = usePolled((signal) => askAll<Row>('/history?every=3', signal), 30_000);
  if (sample === undefined) return html`<${Waiting} />`;
  const rows = history.value ?? [];
  return html`
    <div class="tiles">
      <${Tile} name="Delivered" value=${hashrate(sample.hashes_per_second_5m)} note="5 min" />
      <${Tile} name="Miners" value=${grouped(sample.sessions)} />
    </div>
    <${Card} title="Hashrate, six hours">
      <${Chart} label="hashrate" lines=${[{ name: '5 min', tone: 1, isFilled: true }]} format=${hashrate}
        times=${rows.map(({ at_ms }) => at_ms / 1000)}
        values=${[rows.map((row) => row.hashes_per_second_5m)]} />
    <//>`;
}
