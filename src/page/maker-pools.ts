import { Csv } from './csv.ts';
import { Figure, Work } from './figure.ts';
import { grouped, words, work } from './format.ts';
import { html } from './html.ts';
import { type Book, type Contract, type Status, useMaker } from './maker-data.ts';
import { Card, Facts, Failed, Id, Mark, Notice, Tile } from './parts.ts';
import { type Column, Table } from './table.ts';

type Pool = Status['pools'][number];
type Row = { readonly pool: Pool; readonly account: Book['pools'][number] | undefined };

/** Where the work that is bought goes, what became of it there, and what the pools owe. */
export function MakerPools() {
  const { value, error } = useMaker();
  if (value === undefined) return html`<${Failed} error=${error} />`;
  const { status, book } = value;
  const accounts = new Map(book.pools.map((row) => [row.pool, row]));
  const rows: readonly Row[] = status.pools.map((pool) => ({ pool, account: accounts.get(pool.name) }));
  return html`
    <${Totals} rows=${rows} contracts=${status.contracts} />
    ${
      rows.length === 0
        ? html`<${Notice}
          title="No pool of this maker">Contracts on its own jobs need a <code>[[pool]]</code>; those on the
            miner's jobs do not.<//>`
        : html`<${Card} title="Pools" aside=${html`<${Csv} path="/pools" name="pools.csv" />`}>
            <${Table} label="pools" rows=${rows} columns=${POOLS} more=${More}
              keyOf=${({ pool }: Row) => pool.name} />
          <//>`
    }
    <${WorkGiven} contracts=${status.contracts} />
    <${Blocks} contracts=${status.contracts} />`;
}

const countOf = (rows: readonly Row[], pick: (pool: Pool) => number): number =>
  rows.reduce((sum, { pool }) => sum + pick(pool), 0);

function Totals({ rows, contracts }: { rows: readonly Row[]; contracts: readonly Contract[] }) {
  const refused = countOf(rows, ({ solutions }) => solutions.refused);
  const unpaid = rows.reduce((sum, { account }) => sum + BigInt(account?.unpaid_hashes ?? 0), 0n);
  const blocks = contracts.reduce((sum, { luck }) => sum + luck.block.solutions, 0);
  return html`<div class="tiles">
    <${Tile} name="Connections that give work" value=${html`<${Figure} of="pools.connections"
      value=${countOf(rows, ({ connections }) => connections)} />`}
      note=${`${rows.length} ${rows.length === 1 ? 'pool' : 'pools'}`} />
    <${Tile} name="Solutions accepted" value=${html`<${Figure} of="pools.accepted"
      value=${countOf(rows, ({ solutions }) => solutions.accepted)} />`}
      note=${`${grouped(refused)} refused`} tone=${refused > 0 ? 'warn' : undefined} />
    <${Tile} name="Blocks found" value=${html`<${Figure} of="pools.blocks" value=${blocks} />`}
      note="among the shares of all contracts" />
    <${Tile} name="Pools owe for" value=${html`<${Work} of="pools.unpaid_hashes" value=${unpaid} />`}
      note="credited to miners, not paid by the pool" />
  </div>`;
}

const of = ({ pool }: Row, name: string): string => `pools.${pool.name}.${name}`;

const POOLS: readonly Column<Row>[] = [
  {
    key: 'pool',
    title: 'Pool',
    by: ({ pool }) => pool.name,
    cell: ({ pool }) => html`<span class="wide-text">${pool.name}</span>`,
  },
  {
    ...{ key: 'up', title: 'Work', by: ({ pool }) => pool.connections },
    cell: ({ pool }) =>
      pool.connections > 0
        ? html`<${Mark} tone="good">${grouped(pool.connections)} connected<//>`
        : html`<${Mark} tone="idle">none<//>`,
  },
  {
    ...{ key: 'accepted', title: 'Accepted', isNumber: true, by: ({ pool }) => pool.solutions.accepted },
    cell: (row) => html`<${Figure} of=${of(row, 'accepted')} value=${row.pool.solutions.accepted} />`,
  },
  {
    ...{ key: 'refused', title: 'Refused', isNumber: true, by: ({ pool }) => pool.solutions.refused },
    cell: (row) => html`<${Figure} of=${of(row, 'refused')} value=${row.pool.solutions.refused} />`,
  },
  {
    ...{ key: 'lost', title: 'No answer', isNumber: true, isExtra: true },
    cell: ({ pool: { solutions } }) => grouped(solutions.timeout + solutions.lost),
  },
  {
    ...{ key: 'credited', title: 'Credited', says: 'to miners, for its jobs', isNumber: true },
    by: ({ pool }) => Number(pool.credited_work_hashes),
    cell: (row) =>
      html`<${Work} of=${of(row, 'credited_work_hashes')} value=${row.pool.credited_work_hashes} />`,
  },
  {
    ...{ key: 'took', title: 'Accepted work', says: 'by its own difficulty', isNumber: true },
    by: ({ pool }) => Number(pool.accepted_work_hashes),
    cell: (row) =>
      html`<${Work} of=${of(row, 'accepted_work_hashes')} value=${row.pool.accepted_work_hashes} />`,
  },
  {
    ...{
      key: 'unpaid',
      title: 'Owes for',
      isNumber: true,
      by: ({ account }) => Number(account?.unpaid_hashes ?? 0),
    },
    cell: (row) =>
      row.account === undefined
        ? '–'
        : html`<${Work} of=${of(row, 'unpaid_hashes')} value=${row.account.unpaid_hashes} />`,
  },
];

const VERDICTS = [
  ['we_accepted_they_accepted', 'both accepted'],
  ['we_rejected_they_rejected', 'both refused'],
  ['we_accepted_they_rejected', 'we accepted, the pool refused'],
  ['we_rejected_they_accepted', 'we refused, the pool accepted'],
  ['we_accepted_they_silent', 'we accepted, the pool said nothing'],
  ['we_rejected_they_silent', 'we refused, the pool said nothing'],
] as const;

function More({ pool, account }: Row) {
  return html`<${Facts} rows=${[
    ...VERDICTS.map(([key, says]) => [says, grouped(pool.verdicts[key])] as const),
    ['Late solutions', grouped(pool.late_solutions)],
    account === undefined ? undefined : ['Paid for, as was said', work(account.paid_hashes)],
    ['Newest refusal', pool.last_refusal ?? 'none'],
  ]} />`;
}

type Given = Contract & { readonly work: NonNullable<Contract['work']> };
const GIVEN: readonly Column<Given>[] = [
  {
    key: 'contract',
    title: 'Contract',
    cell: (row) => html`<${Id} value=${row.contract_id} label="contract id" />`,
  },
  {
    ...{ key: 'up', title: 'Work' },
    cell: ({ work: { is_down: isDown, is_paused: isPaused } }) => {
      if (isDown) return html`<${Mark} tone="bad">no pool gives work<//>`;
      return isPaused ? html`<${Mark} tone="idle">paused<//>` : html`<${Mark} tone="good">given<//>`;
    },
  },
  {
    ...{ key: 'given', title: 'Jobs given', isNumber: true, by: ({ work: given }) => given.jobs_given },
    cell: (row) =>
      html`<${Figure} of=${`work.${row.contract_id}.jobs_given`} value=${row.work.jobs_given} />`,
  },
  { key: 'live', title: 'In force', isNumber: true, cell: ({ work: given }) => grouped(given.jobs_live) },
  {
    key: 'kept',
    title: 'Kept',
    isNumber: true,
    isExtra: true,
    cell: ({ work: given }) => grouped(given.jobs_kept),
  },
  {
    ...{ key: 'solutions', title: 'Solutions', isNumber: true, by: ({ work: given }) => given.solutions },
    cell: (row) =>
      html`<${Figure} of=${`work.${row.contract_id}.solutions`} value=${row.work.solutions} />`,
  },
  { key: 'late', title: 'Late', isNumber: true, cell: ({ work: given }) => grouped(given.late_solutions) },
  {
    ...{ key: 'not', title: 'Not given' },
    cell: ({ work: { not_given: not } }) =>
      Object.entries(not)
        .map(([code, count]) => `${words(code)}: ${count}`)
        .join(', ') || 'none',
  },
];

function WorkGiven({ contracts }: { contracts: readonly Contract[] }) {
  const rows = contracts.filter((each): each is Given => each.work !== undefined);
  if (rows.length === 0) return null;
  return html`<${Card} title="Work given, by contract">
    <${Table} label="work given by contract" rows=${rows} columns=${GIVEN}
      keyOf=${(row: Given) => row.contract_id} />
  <//>`;
}

type Finder = Contract & { readonly blocks: NonNullable<Contract['blocks']> };
const BLOCKS: readonly Column<Finder>[] = [
  {
    key: 'contract',
    title: 'Contract',
    cell: (row) => html`<${Id} value=${row.contract_id} label="contract id" />`,
  },
  {
    key: 'accepted',
    title: 'Accepted',
    isNumber: true,
    cell: ({ blocks }) => grouped(blocks.verdicts.accepted),
  },
  {
    key: 'refused',
    title: 'Refused',
    isNumber: true,
    cell: ({ blocks }) => grouped(blocks.verdicts.refused),
  },
  { key: 'fault', title: 'Newest fault', cell: ({ blocks }) => blocks.last_fault ?? 'none' },
];

/** Blocks of the miners' own jobs, which the own node publishes too. */
function Blocks({ contracts }: { contracts: readonly Contract[] }) {
  const rows = contracts.filter((each): each is Finder => each.blocks !== undefined);
  if (rows.length === 0) return null;
  return html`<${Card} title="Blocks of the miners' own jobs">
    <${Table} label="blocks by contract" rows=${rows} columns=${BLOCKS}
      keyOf=${(row: Finder) => row.contract_id} />
  <//>`;
}
