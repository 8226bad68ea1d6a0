import { useState } from 'preact/hooks';
import { askAll } from './api.ts';
import { ago, grouped, instant } from './format.ts';
import { html } from './html.ts';
import { useNow, usePolled } from './live.ts';
import { Card, Failed, Mark } from './parts.ts';
import { type Column, Table } from './table.ts';
import { type Happening, toldOf } from './timeline-words.ts';

const LOOK_MS = 5_000;
/** Rows that are shown until more are wanted. */
const FIRST_ROWS = 8;
const ALL_ROWS = 500;

/** What happened at a proxy, newest first. */
export function ProxyTimeline() {
  const [isWhole, setIsWhole] = useState(false);
  // One more than is shown says whether there are more.
  const newest = isWhole ? ALL_ROWS : FIRST_ROWS + 1;
  const way = `/timeline?newest=${newest}`;
  const { value, error } = usePolled((signal) => askAll<Happening>(way, signal), LOOK_MS, way);
  const now = useNow();
  if (value === undefined) return html`<${Card} title="Timeline"><${Failed} error=${error} /><//>`;
  const rows = value.toReversed().slice(0, isWhole ? ALL_ROWS : FIRST_ROWS);
  const aside =
    isWhole || value.length > FIRST_ROWS
      ? html`${isWhole && html`<span class="number">${grouped(rows.length)}</span>`}
          <button type="button" onClick=${() => setIsWhole(!isWhole)}>
            ${isWhole ? 'the newest' : 'all'}
          </button>`
      : undefined;
  return html`<${Card} title="Timeline" aside=${aside}>
    <${Table} label="timeline" rows=${rows} columns=${columnsOf(now)}
      keyOf=${({ number }: Happening) => String(number)} />
  <//>`;
}

function columnsOf(now: number): readonly Column<Happening>[] {
  return [
    {
      ...{ key: 'at', title: 'When' },
      cell: ({ at_ms: at }) => html`<time title=${instant(at)}>${ago(at, now)}</time>`,
    },
    {
      ...{ key: 'what', title: 'What' },
      cell: (row) => {
        const { tone, says } = toldOf(row);
        return html`<span class="wide-text" title=${says}><${Mark} tone=${tone}>${says}<//></span>`;
      },
    },
  ];
}
