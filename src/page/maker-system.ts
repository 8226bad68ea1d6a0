import { grouped, words } from './format.ts';
import { html } from './html.ts';
import { useLive } from './live.ts';
import { type Status, useMaker } from './maker-data.ts';
import { Card, Facts, Failed, Id, Mark, Notice } from './parts.ts';
import { type Column, Table } from './table.ts';

/** Whether the machine behind it is well. */
export function MakerSystem() {
  const { value, error } = useMaker();
  const { sample } = useLive();
  if (value === undefined) return html`<${Failed} error=${error} />`;
  const { status } = value;
  const durability = String(sample?.['durability'] ?? 'sound');
  return html`
    ${
      durability !== 'sound' &&
      html`<${Notice} tone="bad" title="The ledger cannot be written">Nothing new is signed until it can.
        <code>sharestream doctor</code> says what is wrong.<//>`
    }
    <div class="columns">
      <${Card} title="Program"><${Facts} rows=${[
        ['Version', status.version],
        ['Network', status.network],
        ['Node id', html`<${Id} value=${status.node_id} label="node id" />`],
        ['Ledger', html`<${Mark} tone=${durability === 'sound' ? 'good' : 'bad'}>${durability}<//>`],
        ['Connections of miners', grouped(status.connections)],
        [
          'Refused',
          Object.entries(status.refused_connections)
            .map(([code, count]) => `${words(code)}: ${count}`)
            .join(', ') || 'none',
        ],
        status.descriptors === null
          ? undefined
          : ['Open files', `${grouped(status.descriptors.open)} of ${grouped(status.descriptors.limit)}`],
      ]} /><//>
      <${Chain} status=${status} />
    </div>`;
}

type Node = NonNullable<Status['chain']>['nodes'][number];
const NODES: readonly Column<Node>[] = [
  {
    key: 'name',
    title: 'Node',
    cell: ({ name }) => html`<span class="wide-text" title=${name}>${name}</span>`,
  },
  {
    key: 'state',
    title: 'State',
    cell: ({ state }) => html`<${Mark} tone=${state === 'ready' ? 'good' : 'warn'}>${state}<//>`,
  },
  {
    key: 'height',
    title: 'Height',
    isNumber: true,
    cell: ({ height }) => (height === null ? '–' : grouped(height)),
  },
  { key: 'error', title: 'Newest error', cell: ({ last_error: error }) => error?.detail ?? 'none' },
];

function Chain({ status: { chain, bitcoin_node: node } }: { status: Status }) {
  if (chain === null) return html`<${Card} title="Chain"><p>No bitcoin node is asked.</p><//>`;
  return html`<${Card} title="Chain"
    aside=${chain.height === null ? 'no block was seen yet' : `height ${grouped(chain.height)}`}>
    ${
      chain.stalled &&
      html`<${Notice} tone="bad"
      title="No node hears of blocks">No work is taken meanwhile. See whether they run.<//>`
    }
    <${Table} label="bitcoin nodes" rows=${chain.nodes} columns=${NODES} keyOf=${({ name }: Node) => name} />
    <p class="quiet">Rules for version 3 transactions (TRUC) at the first node: ${node.truc}.</p>
  <//>`;
}
