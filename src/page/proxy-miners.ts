import { useState } from 'preact/hooks';
import { type Answer, askAll } from './api.ts';
import { Sparkline } from './chart.ts';
import { ago, grouped, hashrate, instant, percent, si } from './format.ts';
import { Guide } from './guide.ts';
import { html } from './html.ts';
import { useNow, usePolled } from './live.ts';
import { Card, Facts, Failed, Mark } from './parts.ts';
import { type Column, Table } from './table.ts';
import { type WorkerRow, workersOf } from './workers.ts';

type Miner = Answer<'proxy', 'listMiners'>;
/** Connections of one worker that are shown. */
const SESSIONS_SHOWN = 20;
const LIST_MS = 5_000;
/** Rates of workers, as long as the page is open; a name is a key and nothing else. */
const seenRates = new Map<string, number[]>();

/** Every worker, with its connections. */
export function ProxyMiners() {
  const [wanted, setWanted] = useState('');
  const miners = usePolled(async (signal) => {
    return workersOf(await askAll<Miner>('/miners', signal), seenRates);
  }, LIST_MS);
  const now = useNow();
  if (miners.value === undefined) return html`<${Failed} error=${miners.error} />`;
  if (miners.value.length === 0) return html`<${Guide} />`;
  const words = wanted.toLowerCase().split(/\s+/);
  const rows = miners.value.filter((row) => {
    const text = [
      row.name,
      ...row.sessions.flatMap((each) => [each.address, each.user_agent, each.destination]),
    ];
    return words.every((word) => text.some((each) => each.toLowerCase().includes(word)));
  });
  const total = rows.reduce((sum, { rate }) => sum + rate, 0);
  const aside = html`
    <span class="number">${grouped(rows.length)} of ${grouped(miners.value.length)}, ${hashrate(total)}</span>
    <label>Filter <input type="search" value=${wanted} placeholder="name, address, model"
      onInput=${(event: InputEvent) => setWanted((event.currentTarget as HTMLInputElement).value)} /></label>
    <a class="button" href="/api/v1/miners?format=csv&limit=500" download="miners.csv">CSV</a>`;
  return html`<${Card} title="Workers" aside=${aside}>
    <${Table} label="workers" rows=${rows} columns=${columnsOf(now)} keyOf=${(row: WorkerRow) => row.name}
      order=${{ key: 'rate', isDescending: true }}
      more=${(row: WorkerRow) => html`<${Sessions} row=${row} now=${now} />`} />
    ${rows.length === 0 && html`<p class="note">No worker is called so.</p>`}
  <//>`;
}

function columnsOf(now: number): readonly Column<WorkerRow>[] {
  return [
    {
      ...{ key: 'name', title: 'Worker', by: ({ name }) => name },
      cell: ({ name, lastShareMs }) => html`<span class="text" title=${name}>
        <${Mark} tone=${lastShareMs > now - 300_000 ? 'good' : 'warn'}>${name === '' ? 'not authorised' : name}<//></span>`,
    },
    {
      ...{ key: 'rate', title: 'Hashrate', isNumber: true, by: ({ rate }) => rate },
      cell: ({ rate }) => hashrate(rate),
    },
    {
      ...{ key: 'trend', title: 'Trend', says: 'since this page was opened', isExtra: true },
      cell: ({ seen }) => html`<${Sparkline} values=${seen} />`,
    },
    {
      ...{ key: 'accepted', title: 'Accepted', isNumber: true, by: ({ accepted }) => accepted },
      cell: ({ accepted }) => grouped(accepted),
    },
    {
      ...{
        key: 'rejected',
        title: 'Rejected',
        isNumber: true,
        by: ({ accepted, rejected }) => rejected / (accepted + rejected + 1),
      },
      cell: ({ accepted, rejected }) =>
        rejected === 0 ? '0' : `${grouped(rejected)} (${percent(rejected / (accepted + rejected))})`,
    },
    {
      ...{ key: 'difficulty', title: 'Difficulty', isNumber: true, isExtra: true },
      by: ({ sessions }) => sessions[0]!.difficulty,
      cell: ({ sessions }) => si(sessions[0]!.difficulty, '').trim(),
    },
    {
      ...{ key: 'model', title: 'Model', isExtra: true, by: ({ sessions }) => sessions[0]!.user_agent },
      cell: ({ sessions }) =>
        html`<span class="text" title=${sessions[0]!.user_agent}>${sessions[0]!.user_agent}</span>`,
    },
    {
      ...{ key: 'to', title: 'Mines to', isExtra: true, by: ({ sessions }) => sessions[0]!.destination },
      cell: ({ sessions }) => html`<span class="text">${sessions[0]!.destination}</span>`,
    },
    {
      ...{ key: 'last', title: 'Last share', isNumber: true, by: ({ lastShareMs }) => lastShareMs },
      cell: ({ lastShareMs }) =>
        html`<span title=${lastShareMs > 0 ? instant(lastShareMs) : ''}>${ago(lastShareMs, now)}</span>`,
    },
    {
      ...{
        key: 'since',
        title: 'Connected',
        isNumber: true,
        isExtra: true,
        by: ({ connectedMs }) => connectedMs,
      },
      cell: ({ connectedMs }) => html`<span title=${instant(connectedMs)}>${ago(connectedMs, now)}</span>`,
    },
  ];
}

/** The connections of a worker. */
function Sessions({ row, now }: { row: WorkerRow; now: number }) {
  const more = row.sessions.length - SESSIONS_SHOWN;
  return html`<div class="stack">
    ${row.sessions.slice(0, SESSIONS_SHOWN).map((session) => {
      const luck = session.workers.find(({ name }) => name === row.name)?.luck?.upstream;
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
    ${more > 0 && html`<p class="note">and ${grouped(more)} more connections</p>`}
  </div>`;
}
