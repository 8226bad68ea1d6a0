import type { Answer } from './api.ts';
import { Cap, Figure, Sat } from './figure.ts';
import { grouped, hashrate, sats, span, words, work } from './format.ts';
import { History, type Shown } from './history.ts';
import { type Child, html } from './html.ts';
import {
  type Book,
  type Bought,
  boughtOf,
  type Contract,
  type Status,
  standingOf,
  sumOf,
  useMaker,
} from './maker-data.ts';
import { Card, Facts, Failed, Id, Mark, Notice, Tile } from './parts.ts';
import { type Column, Table } from './table.ts';

type Row = Answer<'maker', 'listHistory'>;

const BLOCK_MS = 600_000;
/** Blocks before an expiry from which it is to be looked at: two days. */
const NEAR_BLOCKS = 288;

/** What can be lost, what is locked up until when, and how much of each limit is used. */
export function MakerRisk() {
  const { value, error } = useMaker();
  if (value === undefined) return html`<${Failed} error=${error} />`;
  const { book, status } = value;
  const open = boughtOf(value).filter(({ booked }) => booked !== undefined);
  const tip = status.chain?.height ?? undefined;
  return html`
    <${Totals} book=${book} open=${open} tip=${tip} />
    <${Warnings} contracts=${status.contracts} />
    <div class="columns">
      <${Caps} book=${book} />
      <${Owed} />
    </div>
    ${
      open.length === 0
        ? html`<${Notice} title="Nothing is locked up">No contract is open.<//>`
        : html`<${Card} title="Open contracts">
            <${Table} label="exposure of open contracts" rows=${open} columns=${columnsOf(tip)} more=${More}
              keyOf=${({ contract }: Bought) => contract.contract_id}
              order=${{ key: 'expiry', isDescending: false }} />
          <//>`
    }
    <${ClosingOnly} status=${status} />`;
}

function Totals({ book, open, tip }: { book: Book; open: readonly Bought[]; tip: number | undefined }) {
  const { locked_sat: locked, of_max_sat: most } = book.exposure;
  const free = BigInt(most) - BigInt(locked);
  const owed = sumOf(open.map(({ contract }) => contract.unsigned_sat));
  const bonds = sumOf(open.map(({ booked }) => booked!.bonds.maker_sat));
  const first = open.map(({ contract }) => contract.expiry_height).toSorted((a, b) => a - b)[0];
  return html`<div class="tiles">
    <${Tile} name="Locked up" value=${html`<${Sat} of="book.exposure.locked_sat" value=${locked} />`}
      note=${html`free within the limit: <${Sat} of="risk.free_sat" value=${free} />`} />
    <${Tile} name="Own bonds" value=${html`<${Sat} of="risk.bonds_sat" value=${bonds} />`}
      note="at stake for paying what is delivered" />
    <${Tile} name="Delivered, not signed" value=${html`<${Sat} of="risk.owed_sat" value=${owed} />`}
      note="owed to miners, in no state yet" />
    <${Tile} name="Next expiry" value=${
      first === undefined
        ? '–'
        : html`<${Figure}
      of="risk.next_expiry_height" value=${first} />`
    }
      note=${first === undefined ? 'no contract is open' : leftText(first, tip)} />
  </div>`;
}

function leftText(height: number, tip: number | undefined): string {
  if (tip === undefined) return 'the height of the chain is not known';
  const left = height - tip;
  return left <= 0 ? 'over' : `in ${grouped(left)} blocks, about ${span(left * BLOCK_MS)}`;
}

/** What is wrong with a contract, and what to do. */
function Warnings({ contracts }: { contracts: readonly Contract[] }) {
  const wrong = contracts.filter(({ fault, frozen }) => fault !== undefined || frozen !== undefined);
  return wrong.map(
    ({ contract_id: id, fault, frozen }) => html`<${Notice} key=${id} tone="bad"
      title=${fault === 'broken' ? 'The miner broke a contract' : 'A contract is suspended'}>
      <p><${Id} value=${id} label="contract id" /> ${frozen}</p>
      <p>${
        fault === 'broken'
          ? 'No work is taken any more; it is closed at its deadline, or by “sharestream channel force-close”.'
          : 'It goes on by itself when the fault is over; its channel is closed at its deadline at the latest.'
      }</p>
    <//>`,
  );
}

function Caps({ book }: { book: Book }) {
  const { exposure, rate, pools, target_inventory_hashes: target } = book;
  const caps: Child[] = [
    html`<${Cap} name="All contracts" used=${exposure.locked_sat} of=${exposure.of_max_sat}
      format=${sats} />`,
    Number(exposure.of_strangers_max_sat) > 0 &&
      html`<${Cap} name="Strangers" used=${exposure.strangers_locked_sat}
        of=${exposure.of_strangers_max_sat} format=${sats} />`,
    rate.of_max_hps !== null &&
      html`<${Cap} name="Hashrate" used=${rate.peak_hps} of=${rate.of_max_hps}
        format=${(value: string) => hashrate(Number(value))} />`,
    target !== undefined &&
      html`<${Cap} name="Work bought" used=${book.inventory_hashes} of=${target} format=${work} />`,
    ...exposure.miners.map(
      ({ miner, locked_sat: used, of_max_sat: of }) =>
        html`<${Cap} key=${miner} name=${`Miner ${miner.slice(0, 8)}…`} used=${used} of=${of}
          format=${sats} />`,
    ),
    ...pools.map(({ pool, unpaid_hashes: used, of_max_hashes: of }) =>
      of === undefined
        ? null
        : html`<${Cap} key=${pool} name=${`Pool ${pool}, unpaid`} used=${used} of=${of} format=${work} />`,
    ),
  ];
  return html`<${Card} title="Limits of the policy">${caps}<//>`;
}

const OWED: readonly Shown<Row>[] = [
  { name: 'owed', tone: 2, isFilled: true, of: (row) => Number(row.unsigned_sat) },
];

function Owed() {
  return html`<${History} title="Owed and not signed" label="owed" lines=${() => OWED}
    format=${(value: number) => sats(String(Math.round(value)))} />`;
}

function columnsOf(tip: number | undefined): readonly Column<Bought>[] {
  const of = ({ contract_id: id }: Contract, name: string): string => `risk.${id}.${name}`;
  return [
    {
      ...{ key: 'contract', title: 'Contract', by: ({ contract }) => contract.contract_id },
      cell: ({ contract }) => html`<${Id} value=${contract.contract_id} label="contract id" />`,
    },
    {
      ...{ key: 'state', title: 'State' },
      cell: ({ contract }) => {
        const { tone, says } = standingOf(contract);
        return html`<${Mark} tone=${tone}>${words(says)}<//>`;
      },
    },
    {
      ...{ key: 'locked', title: 'Locked', isNumber: true, by: ({ booked }) => Number(booked!.locked_sat) },
      cell: ({ contract, booked }) =>
        html`<${Sat} of=${of(contract, 'locked_sat')} value=${booked!.locked_sat} />`,
    },
    {
      ...{
        key: 'bond',
        title: 'Own bond',
        isNumber: true,
        by: ({ booked }) => Number(booked!.bonds.maker_sat),
      },
      cell: ({ contract, booked }) =>
        html`<${Sat} of=${of(contract, 'maker_sat')} value=${booked!.bonds.maker_sat} />`,
    },
    {
      ...{
        key: 'owed',
        title: 'Owed',
        isNumber: true,
        by: ({ contract }) => Number(contract.unsigned_sat),
      },
      cell: ({ contract }) =>
        html`<${Sat} of=${of(contract, 'unsigned_sat')} value=${contract.unsigned_sat} />`,
    },
    {
      ...{
        key: 'expiry',
        title: 'Locked until',
        isNumber: true,
        by: ({ contract }) => contract.expiry_height,
      },
      cell: ({ contract }) => {
        const isNear = tip !== undefined && contract.expiry_height - tip <= NEAR_BLOCKS;
        const text = html`<${Figure} of=${of(contract, 'expiry_height')} value=${contract.expiry_height}
          title=${leftText(contract.expiry_height, tip)} />`;
        return isNear ? html`<${Mark} tone="warn">${text}<//>` : text;
      },
    },
    {
      ...{
        key: 'leaving',
        title: 'Leaving pays',
        says: 'to whom leaving now is worth more than it forfeits',
      },
      cell: ({ booked }) =>
        booked!.leaving_pays === null
          ? 'nobody'
          : html`<${Mark} tone="warn">the ${booked!.leaving_pays}<//>`,
    },
  ];
}

function More({ contract }: Bought) {
  const { leaving, seal, funding_depth: depth } = contract;
  const side = (who: 'miner' | 'maker'): Child =>
    leaving === null
      ? 'the value of hashes is not known'
      : [
          `gains ${sats(leaving[who].gain_sat)}, forfeits ${sats(leaving[who].forfeit_sat)};`,
          `a bond of ${sats(leaving[who].bond_needed_sat)} would hold it`,
        ].join(' ');
  return html`<${Facts} rows=${[
    ['The miner, by leaving', side('miner')],
    ['The maker, by leaving', side('maker')],
    ['Depth of the funding', grouped(depth)],
    seal === 'none' ? undefined : ['Seal', words(seal)],
  ]} />`;
}

type Watched = Status['closing_only']['channels'][number];
const WATCHED: readonly Column<Watched>[] = [
  {
    key: 'contract',
    title: 'Contract',
    cell: ({ contract }) => html`<${Id} value=${contract} label="contract id" />`,
  },
  { key: 'state', title: 'State', cell: ({ state }) => state },
  { key: 'expiry', title: 'Expires', isNumber: true, cell: ({ expiry_height: height }) => grouped(height) },
];

function ClosingOnly({ status: { closing_only: closing } }: { status: Status }) {
  if (closing.reason === null && closing.channels.length === 0) return null;
  return html`<${Card} title="Closed by their files alone">
    ${
      closing.reason !== null &&
      html`<${Notice} tone="bad"
      title="No contract is served">${closing.reason.detail}<//>`
    }
    <${Table} label="channels that are closed" rows=${closing.channels} columns=${WATCHED}
      keyOf=${({ channel }: Watched) => channel} />
  <//>`;
}
