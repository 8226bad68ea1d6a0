import { useState } from 'preact/hooks';
import type { z } from 'zod';
import type { WRITES } from '../api/operations.ts';
import { ActionButton, type ActionSpec } from './action.ts';
import { grouped, type PriceUnit, price, sats, work } from './format.ts';
import { html } from './html.ts';
import { Card, Mark, Sats } from './parts.ts';
import { Premium } from './premium.ts';
import { type Column, Table } from './table.ts';

type Quotes = z.output<(typeof WRITES)['proxy']['market/ask']['answer']>;
type Quote = Quotes['quotes'][number];

const ASK: ActionSpec = {
  ...{ path: 'market/ask', title: 'Ask the makers', body: {}, phrase: 'ask' },
  says: 'Asks every [[maker]] of the configuration what it pays for what [sell] offers. Nothing is bound by asking.',
};

/** What makers pay, side by side, best first. */
export function Offers({ unit, value }: { unit: PriceUnit; value: string | null }) {
  const [asked, setAsked] = useState<Quotes | undefined>(undefined);
  const tell = (answer: unknown): void => setAsked(answer as Quotes | undefined);
  return html`<${Card} title="Offers" aside=${html`<${ActionButton} spec=${ASK} onDone=${tell} />`}>
    ${
      asked === undefined
        ? html`<p class="note">What the makers of the configuration pay stands here once they were asked.</p>`
        : html`${
            asked.quotes.length > 0 &&
            html`<${Table} label="offers" rows=${asked.quotes} columns=${columnsOf(unit, value)}
              keyOf=${(row: Quote) => row.quote} />
              <p class="note">Net: less the fees of opening and closing, about ${sats(asked.fees_sat)}.</p>`
          }
          ${asked.refused.map(
            ({ maker, reason }) =>
              html`<p key=${maker}><${Mark} tone="warn">${maker} gives no offer: ${reason}<//></p>`,
          )}
          ${
            asked.quotes.length + asked.refused.length === 0 &&
            html`<p class="note">The configuration names no maker.</p>`
          }`
    }
  <//>`;
}

function columnsOf(unit: PriceUnit, value: string | null): readonly Column<Quote>[] {
  return [
    { key: 'maker', title: 'Maker', cell: ({ maker }) => html`<span class="text">${maker}</span>` },
    {
      ...{ key: 'price', title: 'Price', isNumber: true, by: (row) => Number(row.price_msat_per_eh) },
      cell: (row) => price(row.price_msat_per_eh, unit),
    },
    {
      ...{ key: 'net', title: 'Net', isNumber: true, by: (row) => Number(row.net_msat_per_eh) },
      cell: (row) => price(row.net_msat_per_eh, unit),
    },
    {
      ...{ key: 'premium', title: 'Against value' },
      cell: (row) => html`<${Premium} price=${row.price_msat_per_eh} value=${value} />`,
    },
    { key: 'work', title: 'Work', isNumber: true, cell: (row) => work(row.work_hashes) },
    {
      key: 'earns',
      title: 'Earns',
      isNumber: true,
      cell: (row) => html`<${Sats} value=${row.budget_sat} />`,
    },
    {
      key: 'deposit',
      title: 'Deposit',
      isNumber: true,
      cell: (row) => html`<${Sats} value=${row.deposit_sat} />`,
    },
    {
      key: 'bond',
      title: 'Its bond',
      isNumber: true,
      cell: (row) => html`<${Sats} value=${row.maker_bond_sat} />`,
    },
    { key: 'binding', title: 'Binding', cell: ({ binding }) => binding },
    { key: 'expiry', title: 'Expires', isNumber: true, cell: (row) => grouped(row.expiry_height) },
    {
      ...{ key: 'take', title: 'Take' },
      cell: (row) => html`<${ActionButton} spec=${takeOf(row)} onDone=${() => {}} />`,
    },
  ];
}

function takeOf({ maker, quote, off_market: off, deposit_sat: deposit }: Quote): ActionSpec {
  const warning = off === null ? '' : ` ${off.warning}: that is meant by confirming.`;
  return {
    ...{ path: 'market/take', title: 'Take', hasPreview: true, phrase: `take ${maker}` },
    body: { quote, ...(off === null ? {} : { off_market: true }) },
    says: `${maker} signs the terms, and the proxy serves them from then on. ${sats(deposit)} go into the channel.${warning}`,
  };
}
