import { useState } from 'preact/hooks';
import { type Answer, ask } from './api.ts';
import { grouped, PRICES, type PriceUnit, percent, price } from './format.ts';
import { html } from './html.ts';
import { usePolled } from './live.ts';
import { Card, Facts, Failed, Mark, Notice, Sats } from './parts.ts';
import { Premium } from './premium.ts';
import { Offers } from './proxy-offers.ts';
import { type Column, Table } from './table.ts';

type Status = Answer<'proxy', 'getStatus'>;
type Contract = Status['contracts'][number];
const UNITS = Object.keys(PRICES) as PriceUnit[];

/** What hashes are worth, what is paid for them, and who would gain by leaving. */
export function ProxyMarket() {
  const [unit, setUnit] = useState<PriceUnit>('sat/PH/day');
  const status = usePolled((signal) => ask<Status>('/status?miners=0', signal), 10_000);
  if (status.value === undefined) return html`<${Failed} error=${status.error} />`;
  const { contracts, hash_value_msat_per_eh: value, luck } = status.value;
  const units = html`<div class="choice" role="group" aria-label="unit of prices">
    ${UNITS.map(
      (each) => html`<button key=${each} type="button" aria-pressed=${each === unit}
        onClick=${() => setUnit(each)}>${each}</button>`,
    )}
  </div>`;
  return html`
    <${Card} title="What hashes are worth" aside=${units}>
      <${Facts} rows=${[
        ['Hash value, by the own node', value === null ? 'not known yet' : price(value, unit)],
        ...contracts.map((each) => [
          `${each.name} pays`,
          html`${price(each.price_msat_per_eh, unit)}
            <${Premium} price=${each.price_msat_per_eh} value=${value} />`,
        ]),
      ]} />
      <p class="note">The value is what the last 144 buried blocks paid, subsidy and fees, for the work that they took;
        no other site is asked. It takes a bitcoin node that tells fees, and a day of blocks.</p>
    <//>
    <${Offers} unit=${unit} value=${value} />
    ${contracts.map((contract) => html`<${Incentive} key=${contract.id} contract=${contract} />`)}
    <${Luck} luck=${luck} />
  `;
}

const GAINS = {
  maker: 'Its bond does not cover what it would save: deliver less ahead of its signature.',
  miner: 'Another buyer pays more than this contract; the own bond is what holds it.',
} as const;

/** What leaving a contract now would bring each side, and what it would cost. */
function Incentive({ contract: { name, leaving } }: { contract: Contract }) {
  if (leaving === null)
    return html`<${Card} title=${`Who would gain by leaving ${name}`}>
      <p class="note">Not known: the contract does not run, or the own node tells no value of hashes.</p>
    <//>`;
  const sides = [
    { side: 'miner', ...leaving.miner },
    { side: 'market maker', ...leaving.maker },
  ];
  return html`<${Card} title=${`Who would gain by leaving ${name}`}>
    ${
      leaving.pays === null
        ? html`<p><${Mark} tone="good">Neither side: each has more to lose than to gain.<//></p>`
        : html`<${Notice} tone="warn" title=${`The ${leaving.pays} would gain.`}>
            ${GAINS[leaving.pays]}
          <//>`
    }
    <${Table} label="gain and loss" rows=${sides} columns=${SIDES} keyOf=${(row: SideRow) => row.side} />
  <//>`;
}

type SideRow = { readonly side: string } & NonNullable<Contract['leaving']>['miner'];
const SIDES: readonly Column<SideRow>[] = [
  { key: 'side', title: 'Side', cell: ({ side }) => side },
  {
    ...{ key: 'gain', title: 'Would gain', isNumber: true },
    cell: ({ gain_sat: value }) => html`<${Sats} value=${value} />`,
  },
  {
    ...{ key: 'forfeit', title: 'Would lose', isNumber: true },
    cell: ({ forfeit_sat: value }) => html`<${Sats} value=${value} />`,
  },
  {
    ...{ key: 'bond', title: 'Bond that would hold it', isNumber: true },
    cell: ({ bond_needed_sat: value }) => html`<${Sats} value=${value} />`,
  },
];

type Unlikely = Status['luck']['unlikely'][number];
const LUCK: readonly Column<Unlikely>[] = [
  {
    key: 'worker',
    title: 'Worker',
    cell: ({ worker }) => html`<span class="text" title=${worker}>${worker}</span>`,
  },
  {
    key: 'of',
    title: 'Solutions of',
    cell: ({ solution }) => (solution === 'block' ? 'a block' : 'its pool'),
  },
  { key: 'found', title: 'Found', isNumber: true, cell: ({ solutions }) => grouped(solutions) },
  { key: 'expected', title: 'Expected', isNumber: true, cell: ({ expected }) => expected.toFixed(1) },
  {
    ...{ key: 'odds', title: 'Odds', isNumber: true },
    cell: ({ fewer, more }) => percent(Math.min(fewer, more), 4),
  },
];

/** Workers whose solutions are unlikely few, which is how withholding looks, or many. */
function Luck({ luck: { workers, unlikely } }: { luck: Status['luck'] }) {
  return html`<${Card} title="Luck">
    ${
      unlikely.length === 0
        ? html`<p><${Mark} tone="good">Of ${grouped(workers)} workers none has unlikely luck.<//></p>`
        : html`<p class="note">Too few solutions for the work may mean that they are held back.</p>
            <${Table} label="unlikely luck" rows=${unlikely} columns=${LUCK}
              keyOf=${(row: Unlikely) => `${row.worker} ${row.solution}`} />`
    }
  <//>`;
}
