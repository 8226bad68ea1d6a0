import { useState } from 'preact/hooks';
import type { Answer } from './api.ts';
import { ago, grouped, instant, si, span } from './format.ts';
import { type Child, html } from './html.ts';
import { useNow } from './live.ts';
import { Card, Copy, Facts, Mark } from './parts.ts';
import { type Column, Table } from './table.ts';

/** What daemons tell of themselves alike. */
type System = Answer<'proxy', 'getSystem'>;

/** The checks of `/readyz`. */
export function Readiness({ checks }: { checks: System['checks'] }) {
  const wrong = checks.filter(({ ok }) => !ok).length;
  const says = wrong === 0 ? 'ready' : `${wrong} of ${checks.length} fail`;
  const aside = html`<${Mark} tone=${wrong === 0 ? 'good' : 'bad'}>${says}<//>`;
  return html`<${Card} title="Readiness" aside=${aside}>
    <ul class="checks">${checks.map(
      ({ name, ok, says }) => html`<li key=${name}><${Mark} tone=${ok ? 'good' : 'bad'}>${name}<//>
        <span class="note">${says ?? 'ok'}</span></li>`,
    )}</ul>
  <//>`;
}

/** Version, ports, and how the ledger is. */
export function LedgerFacts({ system }: { system: System }) {
  const now = useNow();
  const { ledger, listeners } = system;
  const fault = ledger.failed ? ', does not write' : '';
  const { disk_free_bytes: free, disk_full_in_seconds: full, backup_at_ms: backup } = ledger;
  return html`<${Card} title="Program and ledger">
    <${Facts} rows=${[
      [
        'Version',
        `${system.version}${system.commit === 'unknown' ? '' : ` (${system.commit.slice(0, 12)})`}`,
      ],
      ['Node', system.node],
      [
        'Running for',
        html`<span title=${instant(system.started_at_ms)}>${span(now - system.started_at_ms)}</span>`,
      ],
      ...listeners.map(({ name, at }) => [name, html`<code>${at}</code>`] as [string, Child]),
      ['This page', html`<code>${location.host}</code>`],
      ['Ledger', html`<${Mark} tone=${ledger.failed ? 'bad' : 'good'}>${ledger.engine}${fault}<//>`],
      ['Rows since the start', `${grouped(ledger.rows)} in ${grouped(ledger.commits)} commits`],
      ['Last commit', ago(ledger.last_commit_at_ms, now)],
      ['Waiting to be written', grouped(ledger.queued_writes)],
      free === null
        ? undefined
        : ['Free on its disk', `${si(free, 'B')}${full === null ? '' : `, full in ${span(full * 1000)}`}`],
      [
        'Last backup',
        backup === null ? 'not known' : html`<span title=${instant(backup)}>${ago(backup, now)}</span>`,
      ],
    ]} />
  <//>`;
}

type Warning = System['warnings'][number];

/** The last warnings and errors of the log. */
export function Warnings({ warnings }: { warnings: System['warnings'] }) {
  const now = useNow();
  const columns: readonly Column<Warning>[] = [
    {
      ...{ key: 'at', title: 'When' },
      cell: ({ at_ms: at }) => html`<time title=${instant(at)}>${ago(at, now)}</time>`,
    },
    {
      ...{ key: 'level', title: 'Level' },
      cell: ({ level }) => html`<${Mark} tone=${level === 'error' ? 'bad' : 'warn'}>${level}<//>`,
    },
    { key: 'message', title: 'What', cell: ({ message }) => message },
    { key: 'code', title: 'Code', cell: ({ code }) => (code === null ? '' : html`<code>${code}</code>`) },
  ];
  return html`<${Card} title="Warnings of the log">
    ${
      warnings.length === 0
        ? html`<p><${Mark} tone="good">None since the start.<//></p>`
        : html`<${Table} label="warnings" rows=${warnings} columns=${columns}
            keyOf=${(row: Warning) => `${row.at_ms} ${row.message} ${row.code}`} />`
    }
  <//>`;
}

/** The job that is mined, whole. */
export function Job({ job }: { job: System['job'] }) {
  if (job === null) return html`<${Card} title="Job"><p class="note">Nothing is mined now.</p><//>`;
  const zeros = /^0*/.exec(job.previous_block)![0];
  return html`<${Card} title="Job that is mined" aside=${`of ${job.destination}, ${span(job.age_ms)} old`}>
    <${Facts} rows=${[
      ['Height', job.height === null ? 'not said' : grouped(job.height)],
      ['Time', instant(job.time * 1000)],
      ['Version', html`<code>${job.version}</code>`],
      ['Bits', html`<code>${job.bits}</code>`],
      ['Difficulty of a block', si(job.difficulty, '')],
      ['Difficulty for its pool', si(job.upstream_difficulty, '')],
      ['Clean', job.clean ? 'yes: what came before is void' : 'no'],
    ]} />
    <dl class="whole">
      <div><dt>Previous block</dt><dd><code><span class="dim">${zeros}</span>${job.previous_block.slice(zeros.length)}</code>
        <${Copy} text=${job.previous_block} label="the hash of the previous block" /></dd></div>
      <div><dt>Coinbase, zeros for the extranonces</dt><dd><code>${job.coinbase_hex}</code>
        <${Copy} text=${job.coinbase_hex} label="the coinbase" /></dd></div>
      <div><dt>${grouped(job.branches.length)} merkle branches</dt>
        <dd>${job.branches.map((branch) => html`<code key=${branch}>${branch}</code> `)}</dd></div>
    </dl>
  <//>`;
}

type Option = System['config'][number];
const OPTIONS: readonly Column<Option>[] = [
  {
    key: 'option',
    title: 'Option',
    by: ({ option }) => option,
    cell: ({ option }) => html`<code>${option}</code>`,
  },
  {
    ...{ key: 'value', title: 'Value' },
    cell: ({ value }) =>
      value === null ? html`<span class="note">none</span>` : html`<code>${value}</code>`,
  },
  { key: 'source', title: 'From', by: ({ source }) => source, cell: ({ source }) => source },
];

/** The configuration in force, without its secrets. */
export function Config({ config }: { config: System['config'] }) {
  const [isAll, setAll] = useState(false);
  if (config.length === 0) return null;
  const rows = isAll ? config : config.filter(({ source }) => source !== 'default');
  const aside = html`<label><input type="checkbox" checked=${isAll} onChange=${() => setAll(!isAll)} /> defaults too</label>`;
  return html`<${Card} title="Configuration" aside=${aside}>
    <${Table} label="configuration" rows=${rows} columns=${OPTIONS} keyOf=${(row: Option) => row.option} />
    <p class="note">Secrets are hidden. What each option means, and which take a new start: <code>config/OPTIONS.md</code>.</p>
  <//>`;
}
