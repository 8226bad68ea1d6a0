import { type Answer, ask, askAll } from './api.ts';
import { Dag } from './dag.ts';
import { grouped, percent, si, span } from './format.ts';
import { html } from './html.ts';
import { usePolled } from './live.ts';
import { Card, Failed, Mark } from './parts.ts';
import { Config, Job, LedgerFacts, Readiness, Warnings } from './system-parts.ts';
import { type Column, Table } from './table.ts';

type System = Answer<'proxy', 'getSystem'>;
type Destination = Answer<'proxy', 'listDestinations'>;
type Braid = Answer<'proxy', 'getDag'>[number];

/** Is the box well, and what does it run with. */
export function ProxySystem() {
  const system = usePolled((signal) => ask<System>('/system', signal), 5_000);
  const destinations = usePolled((signal) => askAll<Destination>('/destinations', signal), 5_000);
  const dag = usePolled((signal) => ask<Braid[]>('/dag', signal), 5_000);
  if (system.value === undefined) return html`<${Failed} error=${system.error} />`;
  const { value } = system;
  return html`
    <div class="columns">
      <${Readiness} checks=${value.checks} />
      <${LedgerFacts} system=${value} />
    </div>
    <${Card} title="Pools and nodes">
      <${Table} label="pools and nodes" rows=${destinations.value ?? []} columns=${DESTINATIONS}
        keyOf=${(row: Destination) => row.name} />
    <//>
    ${(dag.value ?? []).map((braid) => html`<${Dag} key=${braid.name} braid=${braid} />`)}
    <${Warnings} warnings=${value.warnings} />
    <${Job} job=${value.job} />
    <${Config} config=${value.config} />
  `;
}

const DESTINATIONS: readonly Column<Destination>[] = [
  {
    ...{ key: 'name', title: 'Name', by: ({ name }) => name },
    cell: ({ name, up }) =>
      html`<span class="text"><${Mark} tone=${up ? 'good' : 'bad'}>${name}<//></span>`,
  },
  { key: 'role', title: 'Role', cell: ({ role }) => role },
  {
    ...{ key: 'rate', title: 'Hashrate', isNumber: true, by: (row) => row.hashrate.hashes_per_second },
    cell: (row) => si(row.hashrate.hashes_per_second, 'H/s'),
  },
  { key: 'sessions', title: 'Miners', isNumber: true, cell: ({ sessions }) => grouped(sessions) },
  {
    ...{ key: 'accepted', title: 'Accepted', isNumber: true, says: 'of the shares that were forwarded' },
    cell: ({ shares }) => grouped(shares.accepted),
  },
  { key: 'refused', title: 'Refused', isNumber: true, cell: ({ shares }) => grouped(shares.refused) },
  { key: 'ratio', title: 'Of late', isNumber: true, cell: ({ reject_ratio: ratio }) => percent(ratio) },
  {
    ...{ key: 'job', title: 'Job age', isNumber: true },
    cell: ({ job_age_ms: age }) => (age === null ? '–' : span(age)),
  },
  {
    ...{ key: 'rtt', title: 'Round trip', isNumber: true },
    cell: ({ rtt_ms: ms }) => (ms === null ? '–' : `${ms.toFixed(0)} ms`),
  },
  { key: 'tls', title: 'TLS', cell: ({ tls }) => (tls ? 'yes' : 'no') },
  {
    ...{ key: 'failure', title: 'Last trouble' },
    cell: ({ last_failure: failure, last_refusal: refusal }) => failure ?? refusal ?? '–',
  },
];
