import { Figure, Sat, Work } from './figure.ts';
import { grouped, percent, sats, words } from './format.ts';
import { html } from './html.ts';
import {
  type Booked,
  type Bought,
  boughtOf,
  type Status,
  standingOf,
  sumOf,
  useMaker,
} from './maker-data.ts';
import { Card, Facts, Failed, Id, Mark, Notice, Tile } from './parts.ts';
import { type Column, Table } from './table.ts';

/** One miner, over all its contracts. */
type Party = {
  readonly miner: string;
  readonly rows: readonly Bought[];
  readonly delivered: bigint;
  readonly missing: bigint;
  readonly paid: bigint;
  readonly locked: bigint;
  readonly collateral: bigint;
};

/** With whom there are contracts, and whether they deliver what they promised. */
export function MakerMiners() {
  const { value, error } = useMaker();
  if (value === undefined) return html`<${Failed} error=${error} />`;
  const { status } = value;
  const parties = partiesOf(boughtOf(value));
  const open = status.contracts.filter(({ channel }) => channel === 'open');
  const near = open.filter(({ connected }) => connected);
  const inDefault = status.contracts.filter(({ delivery }) => delivery?.agreed === 'default');
  return html`
    <div class="tiles">
      <${Tile} name="Miners with contracts"
        note=${`${near.length} of ${open.length} open contracts are connected`}
        value=${html`<${Figure} of="miners.count" value=${parties.length} />`} />
      <${Tile} name="Delivered" value=${html`<${Work} of="miners.delivered_hashes"
        value=${parties.reduce((sum, { delivered }) => sum + delivered, 0n)} />`}
        note=${html`to be made up: <${Work} of="miners.missing_hashes"
          value=${parties.reduce((sum, { missing }) => sum + missing, 0n)} />`} />
      <${Tile} name="In default" tone=${inDefault.length > 0 ? 'bad' : undefined}
        value=${html`<${Figure} of="miners.in_default" value=${inDefault.length} />`}
          note="as both sides signed" />
      <${Tile} name="Their collateral" value=${html`<${Sat} of="miners.collateral_sat"
        value=${parties.reduce((sum, { collateral }) => sum + collateral, 0n)} />`}
        note="of contracts that are open" />
    </div>
    ${
      parties.length === 0
        ? html`<${Notice} title="Nobody sells to this maker yet">The tab Book says how a miner asks.<//>`
        : html`<${Card} title="Miners"><${Table} label="miners" rows=${parties} columns=${COLUMNS}
          keyOf=${({ miner }: Party) => miner} more=${More} /><//>`
    }
    <${Metering} status=${status} />`;
}

function partiesOf(bought: readonly Bought[]): readonly Party[] {
  return [...Map.groupBy(bought, ({ contract }) => contract.miner_node_id)].map(([miner, rows]) => ({
    ...{ miner, rows, delivered: sumOf(rows.map(({ contract }) => contract.verified_work_hashes)) },
    missing: sumOf(rows.map(({ contract }) => contract.delivery?.missing_hashes ?? '0')),
    paid: sumOf(rows.map(({ contract }) => contract.paid_sat)),
    locked: sumOf(rows.map(({ booked }) => booked?.locked_sat ?? '0')),
    collateral: sumOf(rows.map(({ booked }) => booked?.bonds.collateral_sat ?? '0')),
  }));
}

const TONES = { live: 'good', suspect: 'warn', cure: 'warn', default: 'bad' } as const;
const WORST = ['default', 'cure', 'suspect', 'live'] as const;

/** The worst of a miner's contracts. */
function deliveryOf({ rows }: Party) {
  const all = rows.flatMap(({ contract }) =>
    contract.delivery === undefined ? [] : [contract.delivery.agreed],
  );
  const worst = WORST.find((status) => all.includes(status));
  return worst === undefined
    ? html`<span class="quiet">no promise</span>`
    : html`<${Mark} tone=${TONES[worst]}>${worst}<//>`;
}

const of = ({ miner }: Party, name: string): string => `miners.${miner}.${name}`;

const COLUMNS: readonly Column<Party>[] = [
  {
    ...{ key: 'miner', title: 'Miner', by: ({ miner }) => miner },
    cell: ({ miner }) => html`<${Id} value=${miner} label="miner's node id" />`,
  },
  {
    ...{
      key: 'link',
      title: 'Link',
      by: ({ rows }) => Number(rows.some(({ contract }) => contract.connected)),
    },
    cell: ({ rows }) =>
      rows.some(({ contract }) => contract.connected)
        ? html`<${Mark} tone="good">connected<//>`
        : html`<${Mark} tone="idle">away<//>`,
  },
  {
    ...{ key: 'contracts', title: 'Contracts', isNumber: true, by: ({ rows }) => rows.length },
    cell: ({ rows }) => grouped(rows.length),
  },
  {
    ...{ key: 'delivered', title: 'Delivered', isNumber: true, by: ({ delivered }) => Number(delivered) },
    cell: (row) => html`<${Work} of=${of(row, 'delivered_hashes')} value=${row.delivered} />`,
  },
  {
    ...{
      key: 'missing',
      title: 'Due beyond',
      says: 'promised by now and still to be made up',
      isNumber: true,
    },
    by: ({ missing }) => Number(missing),
    cell: (row) => html`<${Work} of=${of(row, 'missing_hashes')} value=${row.missing} />`,
  },
  { key: 'delivery', title: 'Delivery', cell: deliveryOf },
  {
    ...{
      key: 'collateral',
      title: 'Collateral',
      isNumber: true,
      by: ({ collateral }) => Number(collateral),
    },
    cell: (row) => html`<${Sat} of=${of(row, 'collateral_sat')} value=${row.collateral} />`,
  },
  {
    ...{
      key: 'locked',
      title: 'Locked for it',
      isNumber: true,
      isExtra: true,
      by: ({ locked }) => Number(locked),
    },
    cell: (row) => html`<${Sat} of=${of(row, 'locked_sat')} value=${row.locked} />`,
  },
  {
    ...{ key: 'paid', title: 'Signed', isNumber: true, by: ({ paid }) => Number(paid) },
    cell: (row) => html`<${Sat} of=${of(row, 'paid_sat')} value=${row.paid} />`,
  },
];

/** Contract by contract: luck, faults, and what was refused. */
function More({ rows }: Party) {
  return rows.map(({ contract, booked }) => {
    const { luck, delivery, refused, contract_id: id } = contract;
    const { tone, says } = standingOf(contract);
    const faults = Object.entries(delivery?.minutes ?? {}).filter(([owner]) => owner !== 'none');
    return html`<section class="part" key=${id}>
      <h3><${Id} value=${id} label="contract id" /> <${Mark} tone=${tone}>${words(says)}<//></h3>
      <${Facts} rows=${[
        ['Blocks', luckText(luck.block)],
        ['Solutions of the pool', luckText(luck.upstream)],
        [
          'Minutes with a fault',
          faults.map(([owner, count]) => `${words(owner)}: ${count}`).join(', ') || 'none',
        ],
        ['Minutes without', grouped(delivery?.minutes['none'] ?? 0)],
        delivery?.cure_by_height === undefined
          ? undefined
          : ['To be made up by', `height ${delivery.cure_by_height}`],
        [
          'Refused shares',
          Object.entries(refused)
            .map(([code, count]) => `${words(code)}: ${count}`)
            .join(', ') || 'none',
        ],
        booked === undefined ? undefined : ['Bonds', bondsText(booked.bonds)],
        contract.auditor === undefined
          ? undefined
          : ['Auditor', contract.auditor.words ?? (contract.auditor.is_connected ? 'connected' : 'away')],
      ]} />
    </section>`;
  });
}

function bondsText({ mode, maker_sat: own, collateral_sat: collateral }: Booked['bonds']): string {
  return `${words(mode)}: maker ${sats(own)}, miner ${sats(collateral)}`;
}

type Luck = Status['contracts'][number]['luck']['block'];

/** Found beside what chance gives, and how likely so few are. */
function luckText({ solutions, expected, fewer, least, most }: Luck): string {
  const odds = expected < 1 ? '' : `; so few or fewer in ${percent(fewer, 0)} of cases`;
  const usual = `${Math.round(least)} to ${Math.round(most)}`;
  return `${solutions} where ${expected.toPrecision(2)} are expected (${usual} are usual)${odds}`;
}

type Meter = Status['metering'][number];
const METERS: readonly Column<Meter>[] = [
  {
    key: 'miner',
    title: 'Miner',
    cell: (row) => html`<${Id} value=${row.miner_node_id} label="miner's node id" />`,
  },
  { key: 'state', title: 'State', cell: ({ status }) => status },
  {
    ...{ key: 'work', title: 'Verified', isNumber: true },
    cell: (row) =>
      html`<${Work} of=${`metering.${row.contract_id}.verified_work_hashes`}
        value=${row.verified_work_hashes} />`,
  },
  { key: 'totals', title: 'Totals signed', isNumber: true, cell: ({ totals }) => grouped(totals) },
];

function Metering({ status: { metering } }: { status: Status }) {
  if (metering.length === 0) return null;
  return html`<${Card} title="Measured without money">
    <${Table} label="contracts without money" rows=${metering} columns=${METERS}
      keyOf=${(row: Meter) => row.contract_id} />
  <//>`;
}
