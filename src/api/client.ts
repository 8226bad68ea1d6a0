import type { z } from 'zod';
import { withTimeout } from '../base/clock.ts';
import { CodedError, ERROR_TABLE, type ErrorCode } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { systemTimers } from '../base/system-timers.ts';
import { printable } from '../base/text.ts';
import { BASE } from './document.ts';
import { answerSchema, type Operation } from './operation.ts';

/** A status of many miners is a few hundred KiB. */
const MAX_BYTES = 16 * 2 ** 20;

export type CallOptions = {
  readonly timeoutMs: number;
  readonly token?: string | undefined;
  /** Told where an answer has another shape than ours; without it such an answer is an error. */
  readonly onMisfit?: (why: string) => void;
};

type Sent<Part extends 'params' | 'query' | 'body', O extends Operation> = O extends {
  readonly [K in Part]: infer S extends z.ZodObject;
}
  ? z.input<S>
  : Readonly<Record<string, unknown>> | undefined;

export type CallInput<O extends Operation> = {
  readonly params?: Sent<'params', O>;
  readonly query?: Sent<'query', O>;
  readonly body?: Sent<'body', O>;
};

type Answer<O extends Operation> = O extends { readonly kind: 'page' }
  ? { readonly items: z.output<O['answer']>[]; readonly next_cursor: string | null }
  : z.output<O['answer']>;

/**
 * Asks a daemon for an operation: address, method and shapes are those it is served by. Throws what the
 * daemon refused it with, and `daemon_unreachable`, which says what is there instead.
 */
export async function call<O extends Operation>(
  url: string,
  operation: O,
  input: CallInput<O>,
  options: CallOptions,
): Promise<Answer<O>> {
  const { path, body, method } = requestOf(operation, input);
  const response = await apiFetch(url, options)(`${url}${BASE}${path}`, { method, ...body });
  const value: unknown = await response.json();
  const why = misfitOf(url, operation, value);
  if (why !== undefined) {
    if (options.onMisfit === undefined)
      throw new CodedError('daemon_unreachable', `of another version: ${why}`);
    options.onMisfit(why);
  }
  return value as Answer<O>;
}

/** Where an answer has another shape than ours; undefined if nowhere. */
export function misfitOf(url: string, operation: Operation, value: unknown): string | undefined {
  const { error } = answerSchema(operation).safeParse(value);
  if (error === undefined) return undefined;
  const [issue] = error.issues;
  return `${operation.name} at ${url}: ${issue?.path.join('.')}: ${issue?.message}`;
}

/**
 * A `fetch` that asks the daemon at `url`, for this client and for one made from the document: in time, with
 * its token, and reading no more than a daemon says. It resolves with JSON. Throws as `call`.
 */
export function apiFetch(url: string, { timeoutMs, token }: CallOptions): typeof fetch {
  return async (address, init) => {
    let status: number;
    let text: string;
    try {
      [status, text] = await withTimeout(systemTimers, timeoutMs, async (signal) => {
        const headers = new Headers(init?.headers);
        if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
        const response = await fetch(address, { ...init, headers, signal, redirect: 'error' });
        return [response.status, await boundedText(response)] as const;
      });
    } catch (cause) {
      throw new CodedError('daemon_unreachable', `${url}: ${reasonOf(cause)}`, {}, { cause });
    }
    const value = jsonOf(text);
    if (status < 200 || status > 299) throw refusalOf(`${url} answers ${status}`, value, text);
    if (value === undefined)
      throw new CodedError('daemon_unreachable', `what answers at ${url} is no sharestream`);
    return new Response(text, { status, headers: { 'content-type': 'application/json' } });
  };
}

function requestOf(
  { method, path }: Operation,
  { params, query, body }: { readonly params?: unknown; readonly query?: unknown; readonly body?: unknown },
): { readonly method: string; readonly path: string; readonly body?: RequestInit } {
  const named = path.replaceAll(/\{(\w+)\}/g, (_all, name: string) =>
    encodeURIComponent(String((params as Readonly<Record<string, unknown>>)[name])),
  );
  const search = new URLSearchParams(
    Object.entries(query ?? {}).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, String(value)]],
    ),
  );
  return {
    method,
    path: `${named}${search.size === 0 ? '' : `?${search}`}`,
    ...(body === undefined
      ? {}
      : { body: { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) } }),
  };
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusalOf(what: string, value: unknown, text: string): CodedError {
  const { code, message } = isRecord(value) && isRecord(value['error']) ? value['error'] : {};
  if (typeof code === 'string' && typeof message === 'string' && Object.hasOwn(ERROR_TABLE, code)) {
    return new CodedError(code as ErrorCode, message.replace(`${code}: `, ''));
  }
  return new CodedError('daemon_unreachable', `${what}: ${printable(text.slice(0, 120), ' ').trim()}`);
}

function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error;
  if (name === 'TimeoutError') return message;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ECONNREFUSED') return 'nothing listens there';
  return code ?? (cause instanceof Error ? cause.message : message);
}
