import { useEffect, useState } from 'preact/hooks';
import { type Answer, ask } from './api.ts';
import { Sparkline } from './chart.ts';
import { Csv } from './csv.ts';
import { ago, grouped, hashrate, instant, percent, si } from './format.ts';
import { Guide } from './guide.ts';
import { html } from './html.ts';
import { useNow, usePolled } from './live.ts';
import { Card, Facts, Failed, Mark } from './parts.ts';
import { type Column, type Order, Table, type Wanted } from './table.ts';
import { Trends } from './workers.ts';

type Miner = Answer<'proxy', 'listMiners'>;
type Worker = Answer<'proxy', 'findWorkers'>['items'][number];
/** Connections of one worker that are shown. */
const SESSIONS_SHOWN = 20;
const LIST_MS = 5_000;
/** A page that is scrolled, or a word that is typed, is asked for when it stands still. */
const STILL_MS = 120;
const FIRST: Order = { key: 'hashes_per_second_5m', isDescending: true };
const trends = new Trends();

/** Every worker, with its connections. */
export function ProxyMiners() {
  const [words, setWords] = useState('');
  const [wanted, setWanted] = useState<Wanted>({ order: FIRST, offset: 0, limit: 50 });
  const way = useStill(wayOf(words, wanted));
  const workers = usePolled(
    async (signal) => {
      const table = await ask<Answer<'proxy', 'findWorkers'>>(way, signal);
      for (const { name, hashes_per_second_5m: rate } of table.items) trends.add(name, rate);
      return table;
    },
    LIST_MS,
    way,
  );
  const now = useNow();
  if (workers.value === undefined) return html`<${Failed} error=${workers.error} />`;
  const { total, matched, offset, items, hashes_per_second_5m: rate } = workers.value;
  if (total === 0) return html`<${Guide} />`;
  const aside = html`
    <span class="number">${grouped(matched)} of ${grouped(total)}, ${hashrate(rate)}</span>
    <label>Filter <input type="search" value=${words} placeholder="name, address, model"
      onInput=${(event: InputEvent) => setWords((event.currentTarget as HTMLInputElement).value)} /></label>
    <${Csv} path="/miners" name="miners.csv" />`;
  return html`<${Card} title="Workers" aside=${aside}>
    <${Table} label="workers" rows=${items} columns=${columnsOf(now)} keyOf=${(row: Worker) => row.name}
      order=${FIRST} far=${{ count: matched, offset, look: setWanted }}
      more=${(row: Worker) => html`<${Sessions} row=${row} now=${now} />`} />
    ${matched === 0 && html`<p class="note">No worker is called so.</p>`}
  <//>`;
}

function wayOf(words: string, { order = FIRST, offset, limit }: Wanted): string {
  const query = new URLSearchParams({
    ...{ q: words, sort: order.key, order: order.isDescending ? 'descending' : 'ascending' },
    ...{ offset: String(offset), limit: String(limit) },
  });
  return `/workers?${query.toString()}`;
}

/** A value, once it has not changed for a moment. */
function useStill(value: string): string {
  const [still, setStill] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setStill(value), STILL_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return still;
}

const RATES = [
  ['1 min', 'hashes_per_second_1m', 'over the last minute'],
  ['5 min', 'hashes_per_second_5m', 'over five minutes'],
  ['1 h', 'hashes_per_second_1h', 'over an hour, or since it connected'],
] as const;

function columnsOf(now: number): readonly Column<Worker>[] {
  return [
    {
      ...{ key: 'name', title: 'Worker', by: ({ name }) => name },
      cell: ({ name, last_share_at_ms: last }) => html`<span class="text" title=${name}>
        <${Mark} tone=${last > now - 300_000 ? 'good' : 'warn'}>${name === '' ? 'not authorised' : name}<//></span>`,
    },
    ...RATES.map(([title, key, says]) => ({
      ...{ key, title, says, isNumber: true, isExtra: key !== FIRST.key },
      by: (row: Worker) => row[key],
      cell: (row: Worker) => hashrate(row[key]),
    })),
    {
      ...{ key: 'trend', title: 'Trend', says: 'over 5 minutes, since this page shows it', isExtra: true },
      cell: ({ name }) => html`<${Sparkline} values=${trends.of(name)} />`,
    },
    {
      ...{ key: 'accepted', title: 'Accepted', isNumber: true, by: ({ accepted }) => accepted },
      cell: ({ accepted }) => grouped(accepted),
    },
    {
      ...{ key: 'reject_ratio', title: 'Rejected', isNumber: true, by: (row) => row.reject_ratio },
      cell: ({ rejected, reject_ratio: ratio }) =>
        rejected === 0 ? '0' : `${grouped(rejected)} (${percent(ratio)})`,
    },
    {
      ...{ key: 'difficulty', title: 'Difficulty', isNumber: true, isExtra: true },
      by: ({ difficulty }) => difficulty,
      cell: ({ difficulty }) => si(difficulty, '').trim(),
    },
    {
      ...{ key: 'user_agent', title: 'Model', isExtra: true, by: (row) => row.user_agent },
      cell: (row) => html`<span class="text" title=${row.user_agent}>${row.user_agent}</span>`,
    },
    {
      ...{ key: 'destination', title: 'Mines to', isExtra: true, by: ({ destination }) => destination },
      cell: ({ destination }) => html`<span class="text">${destination}</span>`,
    },
    {
      ...{ key: 'last_share_at_ms', title: 'Last share', isNumber: true },
      by: ({ last_share_at_ms: last }) => last,
      cell: ({ last_share_at_ms: last }) =>
        html`<span title=${last > 0 ? instant(last) : ''}>${ago(last, now)}</span>`,
    },
    {
      ...{ key: 'connected_at_ms', title: 'Connected', isNumber: true, isExtra: true },
      by: ({ connected_at_ms: at }) => at,
      cell: ({ connected_at_ms: at }) => html`<span title=${instant(at)}>${ago(at, now)}</span>`,
    },
  ];
}

/** The connections of a worker. */
function Sessions({ row, now }: { row: Worker; now: number }) {
  const { name: worker } = row;
  const way = `/miners?limit=${SESSIONS_SHOWN}&worker=${encodeURIComponent(worker)}`;
  const { value, error } = usePolled(
    (signal) => ask<{ items: Miner[]; next_cursor: string | null }>(way, signal),
    LIST_MS,
    way,
  );
  if (value === undefined) return html`<${Failed} error=${error} />`;
  return html`<div class="stack">
    <${Facts} rows=${RATES.map(([title, key]) => [`Hashrate, ${title}`, hashrate(row[key])])} />
    ${value.items.map((session) => {
      const luck = session.workers.find(({ name }) => name === worker)?.luck?.upstream;
      return html`<${Facts} key=${session.id} rows=${[
        ['Connection', `${session.id} from ${session.address}`],
        ['Model', session.user_agent === '' ? 'not said' : session.user_agent],
        ['Mines to', session.destination],
        ['Hashrate of all its workers', hashrate(session.hashes_per_second)],
        ['Difficulty', String(session.difficulty)],
        ['Version rolling', session.version_rolling ? 'yes' : 'no'],
        ['Connected', `${ago(session.connected_at_ms, now)}, heard ${ago(session.last_seen_ms, now)}`],
        luck === undefined
          ? undefined
          : ['Shares for its pool', `${grouped(luck.solutions)}, ${luck.expected.toFixed(1)} expected`],
        session.own_pool_reason === null ? undefined : ['Not for a contract', session.own_pool_reason],
      ]} />`;
    })}
    ${value.items.length === 0 && html`<p class="note">It is not connected any more.</p>`}
    ${value.next_cursor !== null && html`<p class="note">and more connections</p>`}
  </div>`;
}
