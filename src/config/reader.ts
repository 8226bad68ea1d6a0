import {
  fileKey,
  flatRows,
  type Input,
  type LikeSection,
  type Nodes,
  type Row,
  type Values,
} from './options.ts';
import { nearest, type Problem, type Source } from './problems.ts';
import type { Entries, Entry } from './sources.ts';
import { Invalid, type Kind } from './values.ts';

/** More tables than this in one list is a mistake, not a configuration. */
const MAX_TABLES = 100;

/**
 * Goes through a table of options and the values given for it, and notes every problem instead of stopping at
 * one. In place of a value it cannot read stands the default or the example, so that the relations between
 * options can still be looked at; what is returned may be used only while `problems` is empty.
 */
export class Reader {
  readonly problems: Problem[] = [];
  readonly #values: ReadonlyMap<string, Entry>;
  readonly #sections: ReadonlyMap<string, Source>;
  readonly #rowPaths = new Set<string>();
  readonly #sectionPaths = new Set<string>();

  constructor({ values, sections }: Entries) {
    this.#values = values;
    this.#sections = sections;
  }

  /**
   * Adds a problem of the option at `path`, with the place its value came from; the first of an option
   * counts.
   */
  refuse(path: string, message: string): void {
    if (this.problems.some((problem) => problem.path === path)) return;
    this.problems.push({ path, source: this.sourceOf(path), message });
  }

  sourceOf(path: string): Source {
    return this.#values.get(path)?.source ?? this.#sections.get(path) ?? { type: 'default' };
  }

  read<N extends Nodes>(nodes: N): Values<N> {
    const values = this.#readNodes(nodes, '') as Values<N>;
    this.#refuseUnknown(nodes);
    return values;
  }

  /** @param other prefix of the options that stand for what is left out */
  #readNodes(nodes: Nodes, prefix: string, other?: string, like?: LikeSection): Record<string, unknown> {
    const out: Record<string, unknown> = {};
    for (const [key, node] of Object.entries(nodes)) {
      const path = prefix + fileKey(key);
      const isOwn = other === undefined || like?.own.includes(key) === true;
      const otherPath = isOwn ? undefined : other + fileKey(key);
      if (node.node === 'row') {
        out[key] = this.#readRow(node, path, otherPath);
        continue;
      }
      this.#sectionPaths.add(path);
      if (node.node === 'section') {
        out[key] = this.#readNodes(node.rows, `${path}.`, otherPath && `${otherPath}.`);
        continue;
      }
      const count = this.#countTables(path);
      if (count < node.min) this.refuse(path, `is missing: write at least ${node.min} [[${path}]]`);
      out[key] = Array.from({ length: count }, (_, index) => {
        this.#sectionPaths.add(`${path}.${index}`);
        const standIn = node.like && `${node.like.section}.`;
        return this.#readNodes(node.rows, `${path}.${index}.`, standIn, node.like);
      });
    }
    return out;
  }

  #countTables(path: string): number {
    let count = 0;
    for (const known of [...this.#values.keys(), ...this.#sections.keys()]) {
      const index = known.startsWith(`${path}.`) ? Number(known.slice(path.length + 1).split('.')[0]) : -1;
      if (Number.isInteger(index) && index < MAX_TABLES) count = Math.max(count, index + 1);
    }
    return count;
  }

  #readRow(row: Row<unknown>, path: string, other?: string): unknown {
    this.#rowPaths.add(path);
    const given = this.#values.get(path) ?? (other === undefined ? undefined : this.#values.get(other));
    const input = given?.value ?? row.default;
    if (input === undefined) {
      if (!row.required) return undefined;
      this.refuse(path, `is missing; for example ${tomlValue(row.example ?? '')}`);
      return row.kind.parse(row.example);
    }
    const value = row.kind.parse(input);
    if (value instanceof Invalid) {
      this.refuse(path, row.secret === true ? value.why.replace(/, got .*/, '') : value.why);
      const standIn = row.default ?? (row.required ? row.example : undefined);
      return standIn === undefined ? undefined : row.kind.parse(standIn);
    }
    const outside = boundsProblem(row, value);
    if (outside !== undefined) this.refuse(path, outside);
    return value;
  }

  #refuseUnknown(nodes: Nodes): void {
    const known = [...new Set([...flatRows(nodes).map(({ path }) => path), ...this.#rowPaths])];
    for (const [path, entry] of this.#values) {
      if (this.#rowPaths.has(path)) continue;
      const message = this.#sectionPaths.has(path) ? `is a section: write [${path}]` : unknown(path, known);
      this.problems.push({ path, source: entry.source, message });
    }
    for (const [path, source] of this.#sections) {
      if (this.#sectionPaths.has(path)) continue;
      if (this.#rowPaths.has(path))
        this.problems.push({ path, source, message: 'is one value, not a section' });
      else if (![...this.#values.keys()].some((key) => key.startsWith(`${path}.`))) {
        this.problems.push({ path, source, message: unknown(path, [...this.#sectionPaths]) });
      }
    }
  }
}

function unknown(path: string, known: readonly string[]): string {
  const near = nearest(path, known);
  return `is not an option${near === undefined ? '' : `; did you mean ${near}?`}`;
}

function boundsProblem(row: Row<unknown>, value: unknown): string | undefined {
  const below = row.min !== undefined && isLess(value, parsed(row.kind, row.min));
  if (below) return `must be at least ${tomlValue(row.min)}`;
  const above = row.max !== undefined && isLess(parsed(row.kind, row.max), value);
  return above ? `must be at most ${tomlValue(row.max)}` : undefined;
}

function parsed(kind: Kind<unknown>, input: Input): unknown {
  return kind.parse(input);
}

function isLess(a: unknown, b: unknown): boolean {
  const ordered = (value: unknown): value is number | bigint =>
    typeof value === 'number' || typeof value === 'bigint';
  return ordered(a) && ordered(b) && a < b;
}

/** A value as it is written in TOML. */
export function tomlValue(value: Input): string {
  if (Array.isArray(value)) return `[${value.map((item: string) => JSON.stringify(item)).join(', ')}]`;
  return JSON.stringify(value);
}
