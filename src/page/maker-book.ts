import { Csv } from './csv.ts';
import { Figure, Sat, Work } from './figure.ts';
import { hashrate, price, words, work } from './format.ts';
import { html } from './html.ts';
import {
  type Book,
  type Bought,
  boughtOf,
  type Contract,
  spreadOf,
  standingOf,
  sumOf,
  useMaker,
} from './maker-data.ts';
import { Card, Facts, Failed, Id, Mark, Notice, Tile } from './parts.ts';
import { type Column, Table } from './table.ts';

/** What is bought, at which price, and what of it is still to come. */
export function MakerBook() {
  const { value, error } = useMaker();
  if (value === undefined) return html`<${Failed} error=${error} />`;
  const { book, status } = value;
  return html`
    ${
      book.halted &&
      html`<${Notice} tone="warn" title="Halted: nothing new is taken">Contracts that run go on.
        <code>sharestream maker policy set halt=</code> takes it back.<//>`
    }
    <${Totals} book=${book} contracts=${status.contracts} />
    <${States} contracts=${status.contracts} />
    <${Contracts} rows=${boughtOf(value)} value=${book.hash_value_msat_per_eh} />
    <div class="columns">
      <${Quotes} book=${book} />
      <${Refused} book=${book} />
    </div>`;
}

function Totals({ book, contracts }: { book: Book; contracts: readonly Contract[] }) {
  const { rate, hash_value_msat_per_eh: value, target_inventory_hashes: target } = book;
  const paid = sumOf(contracts.map(({ paid_sat }) => paid_sat));
  const owed = sumOf(contracts.map(({ unsigned_sat }) => unsigned_sat));
  const limit = rate.of_max_hps === null ? '' : `, of ${hashrate(Number(rate.of_max_hps))}`;
  return html`<div class="tiles">
    <${Tile} name="Hashrate bought"
      note=${`${hashrate(Number(rate.peak_hps))} at the most${limit}`}
      value=${html`<${Figure} of="book.rate.now_hps"
        value=${rate.now_hps}>${hashrate(Number(rate.now_hps))}<//>`} />
    <${Tile} name="Bought, not delivered"
      note=${target === undefined ? 'no amount is wanted' : `of ${work(target)} wanted`}
      value=${html`<${Work} of="book.inventory_hashes" value=${book.inventory_hashes} />`} />
    <${Tile} name="Signed to miners" value=${html`<${Sat} of="status.paid_sat" value=${paid} />`}
      note=${html`owed beyond: <${Sat} of="status.unsigned_sat" value=${owed} />`} />
    <${Tile} name="Hashes are worth" note="by difficulty, subsidy and fees of the tip"
      value=${
        value === null
          ? '–'
          : html`<${Figure} of="book.hash_value_msat_per_eh"
        value=${value}>${price(value)}<//>`
      } />
  </div>`;
}

/** How many contracts there are of each state. */
function States({ contracts }: { contracts: readonly Contract[] }) {
  const groups = Map.groupBy(contracts, (contract) => standingOf(contract).says);
  if (contracts.length === 0)
    return html`<${Notice} title="No contract yet">A miner asks with <code>sharestream contract quote</code>,
      or names this maker in <code>[contract]</code> of its proxy. Who may is said in <code>[peers]</code> and
      <code>[policy.strangers]</code>.<//>`;
  return html`<ul class="states" aria-label="contracts by state">
    ${[...groups].map(
      ([says, rows]) =>
        html`<li key=${says}><${Mark}
          tone=${standingOf(rows[0]!).tone}>${rows.length} ${words(says)}<//></li>`,
    )}
  </ul>`;
}

function Contracts({ rows, value }: { rows: readonly Bought[]; value: string | null }) {
  if (rows.length === 0) return null;
  return html`<${Card} title="Contracts" aside=${html`<${Csv} path="/contracts" name="contracts.csv" />`}>
    <${Table} label="contracts" rows=${rows} columns=${columnsOf(value)} more=${More}
      keyOf=${({ contract }: Bought) => contract.contract_id} order=${{ key: 'open', isDescending: true }} />
  <//>`;
}

function columnsOf(value: string | null): readonly Column<Bought>[] {
  const of = ({ contract_id: id }: Contract, name: string): string => `contracts.${id}.${name}`;
  return [
    {
      ...{ key: 'contract', title: 'Contract', by: ({ contract }) => contract.contract_id },
      cell: ({ contract }) => html`<${Id} value=${contract.contract_id} label="contract id" />`,
    },
    {
      ...{ key: 'state', title: 'State', by: ({ contract }) => standingOf(contract).says },
      cell: ({ contract }) => {
        const { tone, says } = standingOf(contract);
        return html`<${Mark} tone=${tone}>${words(says)}<//>`;
      },
    },
    {
      ...{ key: 'price', title: 'Price', isNumber: true },
      by: ({ booked }) => Number(booked?.price_msat_per_eh ?? 0),
      cell: ({ contract, booked }) =>
        booked === undefined
          ? '–'
          : html`<${Figure} of=${of(contract, 'price_msat_per_eh')}
            value=${booked.price_msat_per_eh}>${price(booked.price_msat_per_eh)}<//>`,
    },
    {
      ...{
        key: 'spread',
        title: 'Spread',
        says: 'the price beside what hashes are worth today',
        isNumber: true,
      },
      cell: ({ booked }) => (booked === undefined ? '–' : spreadOf(booked.price_msat_per_eh, value)),
    },
    {
      ...{
        key: 'rate',
        title: 'Rate',
        isNumber: true,
        isExtra: true,
        by: ({ booked }) => Number(booked?.rate_hps ?? 0),
      },
      cell: ({ booked }) => (booked === undefined ? '–' : hashrate(Number(booked.rate_hps))),
    },
    {
      ...{
        key: 'work',
        title: 'Delivered',
        isNumber: true,
        by: ({ contract }) => Number(contract.verified_work_hashes),
      },
      cell: ({ contract }) =>
        html`<${Work} of=${of(contract, 'verified_work_hashes')} value=${contract.verified_work_hashes} />`,
    },
    {
      ...{
        key: 'open',
        title: 'To come',
        isNumber: true,
        by: ({ booked }) => Number(booked?.open_hashes ?? 0),
      },
      cell: ({ contract, booked }) =>
        booked === undefined
          ? '–'
          : html`<${Work} of=${of(contract, 'open_hashes')} value=${booked.open_hashes} />`,
    },
    {
      ...{ key: 'paid', title: 'Signed', isNumber: true, by: ({ contract }) => Number(contract.paid_sat) },
      cell: ({ contract }) => html`<${Sat} of=${of(contract, 'paid_sat')} value=${contract.paid_sat} />`,
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
  ];
}

function More({ contract, booked }: Bought) {
  const { balance, notices, refused } = contract;
  const ends = Object.entries(notices.ends).map(([side, end]) => `${side}: at ${end?.height}`);
  return html`<${Facts} rows=${[
    ['Miner', html`<${Id} value=${contract.miner_node_id} label="miner's node id" />`],
    ['Binding', booked === undefined ? '–' : words(booked.binding)],
    ['Work in all', work(contract.work_total_hashes)],
    ['Newest state', `${contract.n}, acknowledged ${contract.acked_n}`],
    ['Shares credited', String(contract.shares_credited)],
    [
      'Miner has',
      html`<${Sat} of=${`contracts.${contract.contract_id}.balance.miner_sat`} value=${balance.miner_sat} />`,
    ],
    [
      'Maker has',
      html`<${Sat} of=${`contracts.${contract.contract_id}.balance.maker_sat`} value=${balance.maker_sat} />`,
    ],
    ['Expires', `at height ${contract.expiry_height}`],
    contract.funding_txid === undefined
      ? undefined
      : ['Funding', html`<${Id} value=${contract.funding_txid} label="funding transaction" />`],
    [
      'Refused shares',
      Object.entries(refused)
        .map(([code, count]) => `${words(code)}: ${count}`)
        .join(', ') || 'none',
    ],
    contract.frozen === undefined ? undefined : ['Why it is frozen', contract.frozen],
    ends.length === 0 ? undefined : ['Notice of the end', ends.join(', ')],
  ]} />`;
}

type Quote = Book['quotes'][number];

function Quotes({ book }: { book: Book }) {
  const { quotes, hash_value_msat_per_eh: value } = book;
  const columns: readonly Column<Quote>[] = [
    {
      key: 'miner',
      title: 'Miner',
      cell: ({ miner }) => html`<${Id} value=${miner} label="miner's node id" />`,
    },
    {
      ...{
        key: 'price',
        title: 'Price',
        isNumber: true,
        by: (row: Quote) => Number(row.price_msat_per_eh),
      },
      cell: (row) => price(row.price_msat_per_eh),
    },
    {
      key: 'spread',
      title: 'Spread',
      isNumber: true,
      cell: (row) => spreadOf(row.price_msat_per_eh, value),
    },
    {
      ...{ key: 'budget', title: 'Budget', isNumber: true, by: (row: Quote) => Number(row.budget_sat) },
      cell: (row) => html`<${Sat} of=${`quotes.${row.quote}.budget_sat`} value=${row.budget_sat} />`,
    },
    { key: 'listed', title: 'Who', cell: ({ listed }) => (listed ? 'listed' : 'stranger') },
  ];
  return html`<${Card} title="Offers that hold" aside=${`${quotes.length} not over`}>
    ${
      quotes.length === 0
        ? html`<p class="quiet">Nobody holds an offer.</p>`
        : html`<${Table} label="offers" rows=${quotes} columns=${columns}
          keyOf=${({ quote }: Quote) => quote} />`
    }
  <//>`;
}

type Refusal = Book['refused'][number];
const REFUSED: readonly Column<Refusal>[] = [
  {
    key: 'at',
    title: 'When',
    by: ({ at }) => at,
    cell: ({ at }) => html`<time datetime=${at}>${at.slice(5, 19).replace('T', ' ')}</time>`,
  },
  { key: 'what', title: 'What', cell: ({ what }) => what },
  {
    key: 'miner',
    title: 'Miner',
    cell: ({ node_id }) => html`<${Id} value=${node_id} label="miner's node id" />`,
  },
  {
    key: 'reason',
    title: 'Why',
    cell: ({ reason }) => html`<span class="wide-text" title=${reason}>${reason}</span>`,
  },
];

function Refused({ book: { refused } }: { book: Book }) {
  return html`<${Card} title="Refused" aside="the newest first">
    ${
      refused.length === 0
        ? html`<p class="quiet">Nothing was refused.</p>`
        : html`<${Table} label="refusals" rows=${refused.toReversed()} columns=${REFUSED} more=${({
            path,
            got,
            allowed,
            code,
          }: Refusal) =>
            html`<${Facts} rows=${[
              ['Code', code],
              ['Term', path ?? '–'],
              ['Asked', got ?? '–'],
              ['Allowed', allowed ?? '–'],
            ]} />`} keyOf=${({ at, node_id }: Refusal) => at + node_id} />`
    }
  <//>`;
}
