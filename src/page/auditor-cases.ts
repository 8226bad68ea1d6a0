import { type Answer, ask, askAll } from './api.ts';
import { Figure, Sat, Work } from './figure.ts';
import { grouped, instant, words } from './format.ts';
import { html } from './html.ts';
import { usePolled } from './live.ts';
import { MinuteStrip } from './minute-strip.ts';
import { Card, Facts, Failed, Id, Mark, Notice, Tile, type Tone, Waiting } from './parts.ts';
import { type Column, Table } from './table.ts';

type Status = Answer<'auditor', 'getStatus'>;
export type Case = Status['contracts'][number];
export type Minute = Answer<'auditor', 'listMinutes'>;

const VERDICTS: Readonly<Record<Case['verdict'], { readonly tone: Tone; readonly says: string }>> = {
  none: { tone: 'good', says: 'nobody is in default' },
  miner: { tone: 'bad', says: 'the miner is in default' },
  maker: { tone: 'bad', says: 'the maker is in default' },
  undecided: { tone: 'warn', says: 'undecided' },
};

/** The contracts this auditor is told of, and how each stands. */
export function AuditorCases() {
  const { value, error } = usePolled((signal) => ask<Status>('/status', signal), 5_000);
  if (value === undefined) return html`<${Failed} error=${error} />`;
  const { contracts, stats } = value;
  const ruled = contracts.filter(({ verdict }) => verdict === 'miner' || verdict === 'maker');
  return html`
    <div class="tiles">
      <${Tile} name="Cases" value=${html`<${Figure} of="cases.count" value=${contracts.length} />`}
        note="contracts whose sides told of themselves" />
      <${Tile} name="In default" tone=${ruled.length > 0 ? 'bad' : undefined} value=${html`<${Figure}
        of="cases.in_default" value=${ruled.length} />`}
        note="a bond is signed to the other side when it asks" />
      <${Tile} name="Undecided" value=${html`<${Figure} of="cases.undecided"
        value=${contracts.filter(({ verdict }) => verdict === 'undecided').length} />`}
        note="by the logs alone; the shares may decide" />
      <${Tile} name="Minutes taken" value=${html`<${Figure} of="status.minutes" value=${stats.minutes} />`}
        note="since the start" />
    </div>
    ${
      contracts.length === 0
        ? html`<${Notice} title="No case yet">Terms name this auditor by its key: <${Id}
          value=${value.auditor_key} label="auditor's key" />
            Both sides need it in <code>[auditor]</code> of their configurations.<//>`
        : html`<${Card} title="Cases"><${Table} label="cases" rows=${contracts} columns=${COLUMNS}
          more=${More}
            keyOf=${({ contract_id: id }: Case) => id} /><//>`
    }`;
}

const of = ({ contract_id: id }: Case, name: string): string => `cases.${id}.${name}`;

const COLUMNS: readonly Column<Case>[] = [
  {
    ...{ key: 'contract', title: 'Contract', by: ({ contract_id: id }) => id },
    cell: ({ contract_id: id }) => html`<${Id} value=${id} label="contract id" />`,
  },
  {
    ...{ key: 'verdict', title: 'Ruling', by: ({ verdict }) => verdict },
    cell: (row) => html`<${Mark} tone=${VERDICTS[row.verdict].tone}>${VERDICTS[row.verdict].says}<//>`,
  },
  {
    ...{
      key: 'judged',
      title: 'Judged up to',
      isNumber: true,
      by: ({ judged_minute: minute }) => minute ?? 0,
    },
    cell: ({ judged_minute: minute }) => (minute === undefined ? '–' : instant(minute * 60_000)),
  },
  {
    ...{ key: 'minutes', title: 'Minutes', isNumber: true, by: (row) => totalOf(row) },
    cell: (row) => html`<${Figure} of=${of(row, 'minutes')} value=${totalOf(row)} />`,
  },
  {
    ...{ key: 'missing', title: 'To be made up', isNumber: true },
    cell: (row) =>
      row.delivery === undefined
        ? '–'
        : html`<${Work} of=${of(row, 'missing_hashes')} value=${row.delivery.missing_hashes} />`,
  },
  {
    ...{ key: 'bonds', title: 'Bonds', isNumber: true, isExtra: true },
    cell: (row) =>
      html`<${Sat} of=${of(row, 'bonds_sat')}
        value=${BigInt(row.bonds.miner_sat) + BigInt(row.bonds.maker_sat)} />`,
  },
  {
    ...{ key: 'deadline', title: 'Deadline', isNumber: true, by: (row) => deadlineOf(row) },
    cell: (row) => html`<${Figure} of=${of(row, 'deadline')} value=${deadlineOf(row)} title="height" />`,
  },
];

const totalOf = ({ minutes }: Case): number =>
  Object.values(minutes).reduce((sum, count) => sum + count, 0);

/** The height at which a cure ends, or the contract. */
const deadlineOf = ({ delivery, expiry_height: expiry }: Case): number =>
  delivery?.cure_by_height ?? expiry;

function More(row: Case) {
  const { bonds, delivery } = row;
  return html`<div class="case">
    <p>${words(row.words)}.</p>
    <${Facts} rows=${[
      ['Miner', html`<${Id} value=${row.miner_node_id} label="miner's node id" />`],
      ['Maker', html`<${Id} value=${row.maker_node_id} label="maker's node id" />`],
      ['Channel', CHANNELS[row.channel]],
      ['Delivery, by the rulings', delivery === undefined ? '–' : delivery.status],
      ['Height, as both have said', grouped(row.height)],
      delivery?.cure_by_height === undefined
        ? undefined
        : ['To be made up by', `height ${grouped(delivery.cure_by_height)}`],
      ['Contract expires', `height ${grouped(row.expiry_height)}`],
      ['A ruling is of use', `${grouped(bonds.csv_blocks)} blocks from the close`],
      ['Bond of the miner', html`<${Sat} of=${of(row, 'miner_sat')} value=${bonds.miner_sat} />`],
      ['Bond of the maker', html`<${Sat} of=${of(row, 'maker_sat')} value=${bonds.maker_sat} />`],
      ['Bonds were given to', bonds.given_to === undefined ? 'nobody' : `the ${bonds.given_to}`],
    ]} />
    <${Logs} row=${row} />
    <${Minutes} row=${row} />
  </div>`;
}

const CHANNELS: Readonly<Record<Case['channel'], string>> = {
  none: 'no side showed any',
  alone: 'one side alone showed it',
  differs: 'the sides show different ones: nothing is signed',
  shared: 'both stand behind it',
};

type Log = Case['logs'][number];

function Logs({ row }: { row: Case }) {
  const columns: readonly Column<Log>[] = [
    { key: 'side', title: 'Log of the', cell: ({ side }) => side },
    { key: 'teller', title: 'as told by the', cell: ({ teller }) => teller },
    {
      key: 'last',
      title: 'Newest minute',
      isNumber: true,
      cell: ({ last_minute: minute }) => (minute < 0 ? 'none' : instant(minute * 60_000)),
    },
    {
      ...{ key: 'told', title: 'Minutes', isNumber: true },
      cell: (log) =>
        html`<${Figure} of=${of(row, `${log.side}_by_${log.teller}.told`)} value=${log.told} />`,
    },
    {
      ...{ key: 'signed', title: 'Signed', isNumber: true },
      cell: (log) =>
        html`<${Figure} of=${of(row, `${log.side}_by_${log.teller}.signed`)} value=${log.signed} />`,
    },
  ];
  return html`<${Table} label="logs as they were told" rows=${row.logs} columns=${columns}
    keyOf=${(log: Log) => log.side + log.teller} />`;
}

/** Minutes that are shown: three hours. */
const SHOWN = 180;

/** The newest minutes, as they come. */
function Minutes({ row: { contract_id: id, last_minute: last } }: { row: Case }) {
  const since = Math.max(0, last - SHOWN + 1);
  const { value, error } = usePolled(
    (signal) => askAll<Minute>(`/contracts/${id}/minutes?since=${since}`, signal),
    10_000,
    `${id} ${since}`,
  );
  if (value === undefined)
    return error === undefined ? html`<${Waiting} />` : html`<${Failed} error=${error} />`;
  if (value.length === 0) return html`<p class="quiet">No minute was told yet.</p>`;
  return html`<h3>The last ${value.length} minutes</h3>
    <${MinuteStrip} minutes=${value} />
    <${Table} label="minutes" rows=${value.toReversed()} columns=${MINUTES}
      keyOf=${({ minute }: Minute) => String(minute)} />`;
}

const MINUTES: readonly Column<Minute>[] = [
  { key: 'minute', title: 'Minute', isNumber: true, cell: ({ at_ms: at }) => instant(at) },
  {
    key: 'miner',
    title: 'The miner says',
    cell: ({ miner }) => (miner === undefined ? 'nothing' : words(miner.says)),
  },
  {
    key: 'delivered',
    title: 'Delivered',
    isNumber: true,
    cell: ({ miner }) => (miner === undefined ? '–' : grouped(miner.work_hashes)),
  },
  {
    key: 'maker',
    title: 'The maker says',
    cell: ({ maker }) => (maker === undefined ? 'nothing' : words(maker.says)),
  },
  {
    key: 'credited',
    title: 'Credited',
    isNumber: true,
    cell: ({ maker }) => (maker === undefined ? '–' : grouped(maker.work_hashes)),
  },
  {
    key: 'ruling',
    title: 'Ruling',
    cell: ({ ruling }) => (ruling === undefined ? 'not judged' : words(ruling)),
  },
];
