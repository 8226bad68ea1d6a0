import { z } from 'zod';
import type { Role } from '../http/token.ts';
import type { Wired } from './wire.ts';

/**
 * One operation of the API. Its schemas judge what comes in, shape what goes out and make the document; its
 * role is the least that a caller must have; `none` is what anybody may ask, if the daemon is public.
 */
export type Operation = {
  /** In camel case, as programs made from the document call it. */
  readonly name: string;
  readonly method: 'get' | 'post';
  /** Below `/api/v1`; parameters in braces. */
  readonly path: string;
  readonly role: Role | 'none';
  readonly summary: string;
  /** `page`: a list of `answer`, by pages or as CSV. `events`: a stream of them. */
  readonly kind: 'value' | 'page' | 'events';
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodObject;
  readonly answer: z.ZodType;
};

/** The largest page, in rows. */
const PAGE_MOST = 500;

export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(PAGE_MOST).default(100).describe('rows of a page'),
  cursor: z.string().max(400).optional().describe('`next_cursor` of the page before'),
  format: z.enum(['json', 'csv']).default('json'),
});

/** What is sent back of an operation: of a page the whole page. */
export function answerSchema({ kind, answer }: Operation): z.ZodType {
  return kind === 'page'
    ? z.object({ items: z.array(answer), next_cursor: z.string().nullable() })
    : answer;
}

/** What was sent, as the schemas of an operation made of it. */
export type AnyInput = {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
  /** Of a stream: the last event that a client has seen. */
  readonly lastEventId: string | undefined;
};

type Input<O extends Operation> = {
  readonly params: O['params'] extends z.ZodObject ? z.output<O['params']> : undefined;
  readonly query: O['query'] extends z.ZodObject ? z.output<O['query']> : undefined;
  readonly body: O['body'] extends z.ZodObject ? z.output<O['body']> : undefined;
};

/** What is done when asked, with the body of the request: its answer. Throws coded errors. */
export type Action = (input: unknown) => unknown;

/** An operation with what is behind it. */
export type Served = {
  readonly operation: Operation;
  readonly run: (input: AnyInput) => unknown;
  /** Of a page: what its rows are ordered by, and what a cursor names. */
  readonly keyOf?: (row: unknown) => string;
};

/** What a schema shapes; `never` for a value that lacks something, which then does not compile. */
export type Fits<T, S extends z.ZodType> = Wired<T> extends z.output<S> ? T : never;

export function serve<O extends Operation, T>(
  operation: O & { readonly kind: 'value' },
  run: (input: Input<O>) => Promise<Fits<T, O['answer']> & T> | (Fits<T, O['answer']> & T),
): Served {
  return { operation, run: run as Served['run'] };
}

export function serveEvents(
  operation: Operation & { readonly kind: 'events' },
  follow: (lastEventId: string | undefined) => ReadableStream<Uint8Array>,
): Served {
  return { operation, run: ({ lastEventId }) => follow(lastEventId) };
}

/** @param keyOf what orders the rows, another for each of them */
export function servePage<O extends Operation, T>(
  operation: O & { readonly kind: 'page' },
  rows: (
    input: Input<O>,
  ) => Promise<readonly (Fits<T, O['answer']> & T)[]> | readonly (Fits<T, O['answer']> & T)[],
  keyOf: (row: NoInfer<T>) => string,
): Served {
  return { operation, run: rows as Served['run'], keyOf: keyOf as (row: unknown) => string };
}
