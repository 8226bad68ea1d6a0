import { z } from 'zod';

type Column = { readonly name: string; readonly path: readonly string[] };

/** Rows as RFC 4180 has them: a column for each plain field, those of fields within named by their path. */
export function csvOf(schema: z.core.$ZodType, rows: readonly unknown[]): string {
  const columns = columnsOf(schema, []);
  const lines = [
    columns.map(({ name }) => name),
    ...rows.map((row) => columns.map(({ path }) => cellOf(path.reduce(fieldOf, row)))),
  ];
  return lines.map((cells) => `${cells.join(',')}\r\n`).join('');
}

/** Lists have no column: what they hold is at an operation of its own. */
function columnsOf(schema: z.core.$ZodType, path: readonly string[]): Column[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable)
    return columnsOf(schema.unwrap(), path);
  if (schema instanceof z.ZodArray || schema instanceof z.ZodRecord) return [];
  if (!(schema instanceof z.ZodObject)) return [{ name: path.join('.'), path }];
  const shape: Readonly<Record<string, z.core.$ZodType>> = schema.shape;
  return Object.entries(shape).flatMap(([name, field]) => columnsOf(field, [...path, name]));
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

/** Words of a stranger that a spreadsheet would take for a formula begin with a quote. */
function cellOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') return String(value);
  const shown = /^[=+@\t\r]|^-(?!\d+$)/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(shown) ? `"${shown.replaceAll('"', '""')}"` : shown;
}
