import type { z } from 'zod';
import type { READS } from '../api/operations.ts';

type Reads = typeof READS;
/** What an operation of a daemon answers: of a page, one row. */
export type Answer<
  Daemon extends keyof Reads,
  Name extends keyof Reads[Daemon],
> = Reads[Daemon][Name] extends {
  readonly answer: infer S extends z.ZodType;
}
  ? z.output<S>
  : never;

const BASE = '/api/v1';
const TOKEN_KEY = 'sharestream-token';
const PAGE_ROWS = 500;
const PAGES_MOST = 40;

/** Why a daemon did not do what it was asked, in its words. Status 0: it did not answer. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;

  constructor(status: number, code: string, message: string, hint: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

/** The token lives as long as the browser's tab does. */
export function token(): string | null {
  return sessionStorage.getItem(TOKEN_KEY);
}

export function keepToken(value: string): void {
  if (value === '') sessionStorage.removeItem(TOKEN_KEY);
  else sessionStorage.setItem(TOKEN_KEY, value);
}

type Options = Pick<RequestInit, 'method' | 'body' | 'signal'> & {
  readonly headers?: Readonly<Record<string, string>>;
};

/** Throws `ApiError`. */
export async function request(path: string, options: Options = {}): Promise<Response> {
  const held = token();
  const headers = { ...options.headers, ...(held === null ? {} : { authorization: `Bearer ${held}` }) };
  let response: Response;
  try {
    response = await fetch(BASE + path, { ...options, headers });
  } catch (error) {
    const isLate = error instanceof DOMException && error.name === 'TimeoutError';
    if (options.signal?.aborted === true && !isLate) throw error;
    throw new ApiError(0, 'unreachable', 'the daemon does not answer', 'see whether it runs');
  }
  if (response.ok) return response;
  const body = (await response.json().catch(() => ({}))) as Partial<
    Record<'error', Record<string, string>>
  >;
  const { code = 'unreachable', message = response.statusText, hint = '' } = body.error ?? {};
  throw new ApiError(response.status, code, message, hint);
}

/** Throws `ApiError`. */
export async function ask<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await request(path, signal === undefined ? {} : { signal });
  return (await response.json()) as T;
}

/** All rows of a list, in the order of its pages. Throws `ApiError`. */
export async function askAll<T>(path: string, signal?: AbortSignal): Promise<T[]> {
  const rows: T[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < PAGES_MOST; page += 1) {
    const next: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const way = `${path}${path.includes('?') ? '&' : '?'}limit=${PAGE_ROWS}${next}`;
    const answer: { items: T[]; next_cursor: string | null } = await ask(way, signal);
    rows.push(...answer.items);
    cursor = answer.next_cursor;
    if (cursor === null) break;
  }
  return rows;
}

/** A list as a table, all its pages under one head. Throws `ApiError`. */
export async function askCsv(path: string): Promise<string> {
  const parts: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const next = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const response = await request(`${path}?format=csv&limit=${PAGE_ROWS}${next}`);
    const text = await response.text();
    parts.push(parts.length === 0 ? text : text.slice(text.indexOf('\n') + 1));
    cursor = response.headers.get('next-cursor');
  }
  return parts.join('');
}

/** Has something done. Throws `ApiError`. */
export async function act(path: string, body: object): Promise<Readonly<Record<string, unknown>>> {
  const headers = { 'content-type': 'application/json' };
  const response = await request(path, { method: 'POST', headers, body: JSON.stringify(body) });
  return (await response.json()) as Readonly<Record<string, unknown>>;
}
