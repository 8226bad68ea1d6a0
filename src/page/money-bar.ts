import { percent, sats } from './format.ts';
import { html } from './html.ts';
import { Sats } from './parts.ts';

/** Of a channel, in sats: they add up to what was put in. */
export type Money = {
  readonly settled: string;
  readonly signed: string;
  readonly accrued: string;
  readonly unspent: string;
};

export const MONEY = [
  { name: 'settled', key: 'settled', says: 'on chain, final' },
  { name: 'signed', key: 'signed', says: 'in the newest state: safe' },
  { name: 'at risk', key: 'accrued', says: 'delivered, in no state yet' },
  { name: 'unspent', key: 'unspent', says: 'not yet earned' },
] as const satisfies readonly { readonly key: keyof Money; readonly name: string; readonly says: string }[];

/** The parts of the money in proportion; a share that is not nothing is seen. */
export function MoneyBar({ money }: { money: Money }) {
  const total = MONEY.reduce((sum, { key }) => sum + BigInt(money[key]), 0n);
  const ratio = (key: keyof Money): number =>
    total === 0n ? 0 : Number(BigInt(money[key])) / Number(total);
  const words = MONEY.map(({ name, key }) => `${name} ${sats(money[key])}`).join(', ');
  return html`<div class="money">
    <div class="bar" role="img" aria-label=${words}>
      ${MONEY.filter(({ key }) => ratio(key) > 0).map(
        ({ key }) => html`<span class=${key} style=${{ flexGrow: ratio(key) }}></span>`,
      )}
    </div>
    <dl>
      ${MONEY.map(
        ({ name, key, says }) => html`<div class=${key}>
          <dt>${name} <small>${says}</small></dt>
          <dd><${Sats} value=${money[key]} /> <small>${percent(ratio(key))}</small></dd>
        </div>`,
      )}
    </dl>
  </div>`;
}
