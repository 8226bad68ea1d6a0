import { Fragment } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Child, html } from './html.ts';
import { windowOf } from './rows.ts';

export type Column<T> = {
  readonly key: string;
  readonly title: string;
  /** What the title stands for, where that is not plain. */
  readonly says?: string;
  readonly cell: (row: T) => Child;
  /** What it is sorted by; without it there is no order. */
  readonly by?: (row: T) => number | string;
  readonly isNumber?: boolean;
  /** Left out on narrow screens. */
  readonly isExtra?: boolean;
};

export type Order = { readonly key: string; readonly isDescending: boolean };

/** Rows in the order of a column; those that are equal stay in theirs. */
export function sorted<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  order: Order | undefined,
): readonly T[] {
  const by = columns.find(({ key }) => key === order?.key)?.by;
  if (by === undefined) return rows;
  const compare = (a: number | string, b: number | string): number =>
    typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b));
  const keyed = rows.map((row) => [by(row), row] as const);
  const sign = order?.isDescending === true ? -1 : 1;
  return keyed.toSorted(([a], [b]) => sign * compare(a, b)).map(([, row]) => row);
}

const ROW_PX = 36;
/** Rows that are asked for together, so that not each that comes into view is asked for. */
const BLOCK = 50;

/** Rows of which a daemon has many more than a page keeps: it sorts them, and gives what is looked at. */
export type Far = {
  readonly count: number;
  /** Of the first of the rows that are here. */
  readonly offset: number;
  /** Told which are looked at. */
  readonly look: (wanted: Wanted) => void;
};
export type Wanted = { readonly order: Order | undefined; readonly offset: number; readonly limit: number };

type TableProps<T> = {
  readonly label: string;
  readonly rows: readonly T[];
  readonly columns: readonly Column<T>[];
  readonly keyOf: (row: T) => string;
  readonly order?: Order;
  /** Where `rows` are those of a part. */
  readonly far?: Far | undefined;
  /** What a row shows when it is opened. */
  readonly more?: (row: T) => Child;
};

/** A table whose head stays, and of whose rows those stand in the document that are seen. */
export function Table<T>({ label, rows, columns, keyOf, order: first, far, more }: TableProps<T>) {
  const [order, setOrder] = useState<Order | undefined>(first);
  const [open, setOpen] = useState<string | undefined>(undefined);
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 720 });
  useEffect(() => {
    const element = box.current!;
    const look = (): void => setView({ top: element.scrollTop, height: element.clientHeight });
    look();
    element.addEventListener('scroll', look, { passive: true });
    const sizes = new ResizeObserver(look);
    sizes.observe(element);
    return () => {
      element.removeEventListener('scroll', look);
      sizes.disconnect();
    };
  }, []);
  const count = far?.count ?? rows.length;
  const { from, to, above, below } = windowOf(count, ROW_PX, view.top, view.height);
  const all = far === undefined ? sorted(rows, columns, order) : rows;
  const shown = Array.from({ length: to - from }, (_, at) => all[from + at - (far?.offset ?? 0)]);
  const offset = Math.floor(from / BLOCK) * BLOCK;
  const limit = Math.ceil(to / BLOCK) * BLOCK - offset;
  useEffect(() => far?.look({ order, offset, limit }), [order, offset, limit]);
  const turn = (key: string): void =>
    setOrder((before) => ({ key, isDescending: before?.key === key ? !before.isDescending : true }));
  const widest = columns.length + (more === undefined ? 0 : 1);
  return html`<div class="table" ref=${box} tabindex="0" role="region" aria-label=${label}>
    <table aria-rowcount=${count + 1}>
      <thead><tr>
        ${more !== undefined && html`<th class="opener"><span class="unseen">more</span></th>`}
        ${columns.map(
          (column) => html`<${Head} key=${column.key} column=${column} order=${order} turn=${turn} />`,
        )}
      </tr></thead>
      <tbody>
        ${above > 0 && html`<${Gap} key="above" px=${above} />`}
        ${shown.map((row, index) => {
          if (row === undefined) return html`<${Gap} key=${`at ${index}`} px=${ROW_PX} />`;
          const key = keyOf(row);
          const isOpen = open === key;
          const toggle = (): void => setOpen(isOpen ? undefined : key);
          return html`<${Fragment} key=${key}>
            <tr aria-rowindex=${from + index + 2} class=${isOpen ? 'open' : ''}>
              ${more !== undefined && html`<${Opener} isOpen=${isOpen} toggle=${toggle} />`}
              ${columns.map(
                (column) => html`<td key=${column.key} class=${classOf(column)}>${column.cell(row)}</td>`,
              )}
            </tr>
            ${isOpen && html`<tr class="more"><td colspan=${widest}>${more?.(row)}</td></tr>`}
          <//>`;
        })}
        ${below > 0 && html`<${Gap} key="below" px=${below} />`}
      </tbody>
    </table>
  </div>`;
}

function classOf({ isNumber, isExtra }: Pick<Column<never>, 'isNumber' | 'isExtra'>): string {
  return `${isNumber === true ? 'number' : ''} ${isExtra === true ? 'extra' : ''}`;
}

/** The space of rows that are not in the document. */
function Gap({ px }: { px: number }) {
  return html`<tr class="gap" aria-hidden="true"><td style=${{ height: `${px}px` }}></td></tr>`;
}

function Opener({ isOpen, toggle }: { isOpen: boolean; toggle: () => void }) {
  return html`<td class="opener">
    <button type="button" aria-expanded=${isOpen} aria-label="more about this row" onClick=${toggle}>
      ${isOpen ? '▾' : '▸'}
    </button>
  </td>`;
}

type HeadProps = {
  readonly column: Pick<Column<unknown>, 'key' | 'title' | 'says' | 'isNumber' | 'isExtra'> & {
    by?: unknown;
  };
  readonly order: Order | undefined;
  readonly turn: (key: string) => void;
};

function Head({ column, order, turn }: HeadProps) {
  const { key, title, says, by } = column;
  const isOrder = order?.key === key;
  const sort = !isOrder ? 'none' : order.isDescending ? 'descending' : 'ascending';
  if (by === undefined) return html`<th class=${classOf(column)} scope="col" title=${says}>${title}</th>`;
  return html`<th class=${classOf(column)} scope="col" title=${says} aria-sort=${sort}>
    <button type="button" onClick=${() => turn(key)}>
      ${title}<span class="arrow" aria-hidden="true">${!isOrder ? '' : order.isDescending ? '↓' : '↑'}</span>
    </button>
  </th>`;
}
