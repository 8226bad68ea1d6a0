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
  let answer: { readonly status: number; readonly text: string };
  try {
    answer = await withTimeout(systemTimers, options.timeoutMs, (signal) =>
      asked(url, operation, input, { options, signal }),
    );
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    throw new CodedError('daemon_unreachable', `${url}: ${reasonOf(cause)}`, {}, { cause });
  }
  const { status, text } = answer;
  const value = jsonOf(text);
  if (status < 200 || status > 299) throw refusalOf(`${url} answers ${status}`, value, text);
  if (value === undefined)
    throw new CodedError('daemon_unreachable', `what answers at ${url} is no sharestream`);
  const { error } = answerSchema(operation).safeParse(value);
  if (error !== undefined) {
    const [issue] = error.issues;
    const why = `${operation.name} at ${url}: ${issue?.path.join('.')}: ${issue?.message}`;
    if (options.onMisfit === undefined)
      throw new CodedError('daemon_unreachable', `of another version: ${why}`);
    options.onMisfit(why);
  }
  return value as Answer<O>;
}

async function asked(
  url: string,
  { method, path }: Operation,
  { params, query, body }: { readonly params?: unknown; readonly query?: unknown; readonly body?: unknown },
  { options: { token }, signal }: { readonly options: CallOptions; readonly signal: AbortSignal },
): Promise<{ readonly status: number; readonly text: string }> {
  const named = path.replaceAll(/\{(\w+)\}/g, (_all, name: string) =>
    encodeURIComponent(String((params as Readonly<Record<string, unknown>>)[name])),
  );
  const search = new URLSearchParams(
    Object.entries(query ?? {}).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, String(value)]],
    ),
  );
  const response = await fetch(`${url}${BASE}${named}${search.size === 0 ? '' : `?${search}`}`, {
    ...{ method, signal, redirect: 'error' },
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, text: await boundedText(response) };
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
