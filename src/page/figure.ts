import { btc, grouped, sats, work } from './format.ts';
import type { Child } from './html.ts';
import { html } from './html.ts';

type FigureProps = {
  /** What of the API it is: `book.inventory_hashes`. */
  readonly of: string;
  /** As the API gives it; what is shown is made of it. */
  readonly value: string | number | bigint;
  readonly title?: string;
  readonly children?: Child;
};

/** A figure that says whose it is: whoever reads the page by a program has the whole of it. */
export function Figure({ of, value, title, children }: FigureProps) {
  return html`<data class="number" data-of=${of} value=${String(value)}
    title=${title}>${children ?? grouped(value)}</data>`;
}

export function Sat({ of, value }: Omit<FigureProps, 'children'>) {
  return html`<${Figure} of=${of} value=${value} title=${btc(value as string)}>${sats(value as string)}<//>`;
}

export function Work({ of, value }: Omit<FigureProps, 'children'>) {
  return html`<${Figure} of=${of} value=${value} title=${`${grouped(value)} hashes`}>${work(value)}<//>`;
}

/** How much of a limit is used; the rest is free. */
export function Cap(props: { name: string; used: string; of: string; format: (value: string) => string }) {
  const { name, used, of, format } = props;
  const ratio = Number(of) === 0 ? 0 : Math.min(1, Number(used) / Number(of));
  const tone = ratio >= 1 ? 'bad' : ratio >= 0.8 ? 'warn' : 'good';
  return html`<div class="cap">
    <div class="line"><span>${name}</span> <span class="number">${format(used)} of ${format(of)}</span></div>
    <div class="track" role="img" aria-label=${`${name}: ${format(used)} of ${format(of)}`}>
      <span class=${tone} style=${{ width: `${ratio * 100}%` }}></span>
    </div>
  </div>`;
}
