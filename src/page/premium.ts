import { percent } from './format.ts';
import { html } from './html.ts';
import { Mark } from './parts.ts';

/** How far a price is from the value of hashes. */
export function Premium({ price, value }: { price: string; value: string | null }) {
  if (value === null || BigInt(value) === 0n) return null;
  const ratio = Number(price) / Number(value) - 1;
  const words = ratio >= 0 ? `${percent(ratio)} above value` : `${percent(-ratio)} below value`;
  return html`<${Mark} tone=${ratio >= 0 ? 'good' : 'warn'}>${words}<//>`;
}
