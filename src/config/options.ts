import type { Kind } from './values.ts';

/** What TOML can carry for one option. */
export type Input = string | number | boolean | readonly string[];

type RowText = {
  /** What it does, what to set it to. One or two sentences. */
  readonly doc: string;
  /** The smallest and largest value, written as in the file. */
  readonly min?: Input;
  readonly max?: Input;
  /** Never printed by `config print`. */
  readonly secret?: true;
  /** A daemon that runs takes another value at a reload; without it at its next start. */
  readonly live?: true;
};

/** One option: one row of the table from which loader, example file and `OPTIONS.md` are made. */
export type Row<T> = RowText & {
  readonly node: 'row';
  readonly kind: Kind<T>;
  /** Absent: the option has no value unless it is set. */
  readonly default?: Input;
  readonly required: boolean;
  readonly example?: Input;
};

export type Nodes = { readonly [key: string]: Row<unknown> | Section<Nodes> | Tables<Nodes> };

export type Section<N> = { readonly node: 'section'; readonly doc: string; readonly rows: N };

/** An array of tables, `[[name]]`. */
export type Tables<N> = {
  readonly node: 'tables';
  readonly doc: string;
  readonly min: number;
  readonly rows: N;
  /** Where what an item leaves out is taken from. */
  readonly like?: LikeSection;
  /** Its items come, change and go at a reload. */
  readonly live?: true;
};

/** The section whose values stand for what an item leaves out, but for its own options. */
export type LikeSection = { readonly section: string; readonly own: readonly string[] };

/** The typed values of a table of options. */
export type Values<N> = { readonly [K in keyof N]: ValueOf<N[K]> };

type ValueOf<N> =
  N extends Row<infer T>
    ? T
    : N extends Section<infer M>
      ? Values<M>
      : N extends Tables<infer M>
        ? readonly Values<M>[]
        : never;

export function option<T>(kind: Kind<T>, defaultValue: Input, text: RowText): Row<T> {
  return { node: 'row', kind, default: defaultValue, required: false, ...text };
}

export function required<T>(kind: Kind<T>, example: Input, text: RowText): Row<T> {
  return { node: 'row', kind, required: true, example, ...text };
}

export function optional<T>(kind: Kind<T>, example: Input, text: RowText): Row<T | undefined> {
  return { node: 'row', kind, required: false, example, ...text };
}

export function section<N extends Nodes>(doc: string, rows: N): Section<N> {
  return { node: 'section', doc, rows };
}

export function tables<N extends Nodes>(doc: string, min: number, rows: N, like?: LikeSection): Tables<N> {
  return like === undefined ? { node: 'tables', doc, min, rows } : { node: 'tables', doc, min, rows, like };
}

/** The same options, all of which change at a reload. */
export function live<N extends Nodes>(nodes: N): N {
  const marked = Object.entries(nodes).map(([key, node]) => {
    if (node.node === 'section') return [key, { ...node, rows: live(node.rows) }];
    return [key, { ...node, live: true }];
  });
  return Object.fromEntries(marked) as N;
}

/** True for the path of an option that changes at a reload, and for what is in a list that does. */
export function isLive(nodes: Nodes, path: string): boolean {
  const [first, ...rest] = path.split('.');
  const [, node] = Object.entries(nodes).find(([key]) => fileKey(key) === first) ?? [];
  if (node?.node === 'section') return isLive(node.rows, rest.join('.'));
  return node?.live === true;
}

/** The rows of an item that are shown: its own, where the rest is as in another section. */
export function shownRows<N extends Nodes>({ rows, like }: Tables<N>): Nodes {
  if (like === undefined) return rows;
  return Object.fromEntries(Object.entries(rows).filter(([key]) => like.own.includes(key)));
}

/** `sharesPerMinute` in the code is `shares_per_minute` in the file. */
export function fileKey(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** `stratum.listen` is `SHARESTREAM_STRATUM__LISTEN` in the environment. */
export function envName(path: string): string {
  return `${ENV_PREFIX}${path.replaceAll('.', '__').toUpperCase()}`;
}

export const ENV_PREFIX = 'SHARESTREAM_';

export type FlatRow = { readonly path: string; readonly row: Row<unknown> };

/** Every option with its path but for those like another's; items of a list of tables are at index 0. */
export function flatRows(nodes: Nodes, prefix = ''): FlatRow[] {
  return Object.entries(nodes).flatMap(([key, node]): FlatRow[] => {
    const path = prefix + fileKey(key);
    if (node.node === 'row') return [{ path, row: node }];
    return node.node === 'tables'
      ? flatRows(shownRows(node), `${path}.0.`)
      : flatRows(node.rows, `${path}.`);
  });
}
