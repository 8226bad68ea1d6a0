import { useState } from 'preact/hooks';
import { askAll } from './api.ts';
import { Chart, type Line } from './chart.ts';
import { type Child, html } from './html.ts';
import { type Polled, usePolled } from './live.ts';
import { Card, Failed } from './parts.ts';
import { joined, plotted } from './plotted.ts';

const HOUR_MS = 3_600_000;
/** What can be looked back on; beyond six hours there is a row for each hour. */
const SPANS = { '6 h': 6 * HOUR_MS, '7 days': 168 * HOUR_MS, '90 days': 2_160 * HOUR_MS } as const;
export type Span = keyof typeof SPANS;

const EVERY_MS = 30_000;
/** Of the rows of six hours: one for each half minute is more than a chart has points. */
const EVERY_ROW = 3;

type At = { readonly at_ms: number };

/** How a daemon was: what it remembers, and before that the hours of its ledger. */
export function useHistory<Row extends At>(span: Span = '6 h'): Polled<readonly Row[]> {
  return usePolled(
    async (signal) => {
      const since = Date.now() - SPANS[span];
      const [hours, rows] = await Promise.all([
        askAll<Row>(`/history?step=hour&since_ms=${since}`, signal),
        askAll<Row>(`/history?every=${EVERY_ROW}`, signal),
      ]);
      return joined(hours, span === '6 h' ? rows : rows.slice(-1));
    },
    EVERY_MS,
    span,
  );
}

/** A line and what of a row it shows. */
export type Shown<Row> = Line & { readonly of: (row: Row) => number };

type HistoryProps<Row> = {
  readonly title: string;
  readonly label: string;
  readonly lines: (span: Span) => readonly Shown<Row>[];
  readonly format: (value: number) => string;
  readonly children?: Child;
};

/** A chart of how a daemon was, as far back as one wants. */
export function History<Row extends At>({ title, label, lines, format, children }: HistoryProps<Row>) {
  const [span, setSpan] = useState<Span>('6 h');
  const { value: rows, error } = useHistory<Row>(span);
  const aside = html`<label>Last <select value=${span}
    onChange=${(event: Event) => setSpan((event.currentTarget as HTMLSelectElement).value as Span)}>
    ${Object.keys(SPANS).map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
  </select></label>`;
  if (rows === undefined)
    return html`<${Card} title=${title} aside=${aside}><${Failed} error=${error} /><//>`;
  const shown = lines(span);
  const { times, values } = plotted(
    rows,
    shown.map(({ of }) => of),
  );
  return html`<${Card} title=${title} aside=${aside}>
    ${
      rows.length < 2
        ? html`<p class="note">The line begins with its second row, half a minute from the start.</p>`
        : html`<${Chart} label=${label} format=${format} lines=${shown} times=${times} values=${values} />`
    }
    ${children}
  <//>`;
}
