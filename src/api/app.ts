import { createHash } from 'node:crypto';
import { type Context, Hono } from 'hono';
import { LRUCache } from 'lru-cache';
import type { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { jsonReply, Refused } from '../http/reply.ts';
import type { Api } from '../http/server.ts';
import { mayAct, type Role, roleOf, type Tokens } from '../http/token.ts';
import type { Logger } from '../log/logger.ts';
import { csvOf } from './csv.ts';
import { BASE, documentOf, getDocument, type Json } from './document.ts';
import { type AnyInput, type Operation, type pageQuery, type Served, serve } from './operation.ts';
import { pageOf } from './page.ts';
import { wired } from './wire.ts';

/** A write that was asked for by somebody who may. */
export type WriteNews = {
  /** Its path, without a slash before it. */
  readonly operation: string;
  /** Whose token it was. */
  readonly role: string;
  readonly address: string;
  /** Null where it names none. */
  readonly contract: string | null;
};

export type ApiDeps = {
  readonly tokens: Tokens;
  /** What is for nobody in particular is told to all; otherwise to those who may look. */
  readonly isPublic?: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of requests that are refused for their token. Whoever guesses some fills no log. */
  readonly refusals: Logger;
  /** Told of each write, and by what it returns of the outcome. What only looks is none, nor a dry run. */
  readonly onWrite?: (news: WriteNews) => (outcome: string) => void;
};

/** What one address may ask: a page with every table open asks some twenty a second. */
const ASKED = { perSecond: 200, burst: 1000 };
/** Addresses that are remembered; of more, those that asked last. */
const ADDRESSES = 1024;

type Bindings = { readonly Bindings: { readonly address: string } };

/** The API of a daemon: what it serves, to whom, and no more often than is good for it. */
export function createApi(daemon: string, own: readonly Served[], deps: ApiDeps): Api {
  const { clock } = deps;
  let document: Json | undefined;
  const made = (): Json =>
    (document ??= documentOf(
      daemon,
      own.map(({ operation }) => operation),
    ));
  const served = [...own, serve(getDocument, () => made() as { openapi: string })];
  const app = new Hono<Bindings>();
  const buckets = new LRUCache<string, TokenBucket>({ max: ADDRESSES });
  app.use(async ({ env: { address } }, next) => {
    const nowMs = clock.monotonicMs();
    const bucket = buckets.get(address) ?? new TokenBucket(ASKED, nowMs);
    buckets.set(address, bucket);
    if (!bucket.take(nowMs)) throw new Refused('too_many_requests', undefined, { 'retry-after': '1' });
    await next();
  });
  for (const each of served) {
    const { operation } = each;
    const path = BASE + operation.path.replaceAll(/\{(\w+)\}/g, ':$1');
    app.on(operation.method, [path], async (c) => {
      const role = roleFor(operation, c, deps);
      if (operation.method === 'get') return answerOf(each, await inputOf(operation, c), c);
      return await writeOf(each, role, c, deps);
    });
  }
  app.notFound((c) => {
    const others = served.filter(({ operation }) => matches(operation.path, c.req.path));
    if (others.length === 0) throw new Refused('not_found');
    const allow = others
      .map(({ operation }) => (operation.method === 'get' ? 'GET, HEAD' : 'POST'))
      .join(', ');
    throw new Refused('method_not_allowed', undefined, { allow });
  });
  // The listener says what refused a request, and logs what failed.
  app.onError((error) => {
    throw error;
  });
  return async (request, caller) => await app.fetch(request, caller);
}

/**
 * The role of a caller. Whoever is on this machine may look without a token: not by way of a proxy before the
 * daemon. Throws `unauthorized`, `forbidden`, which are said in the log and counted.
 */
function roleFor(
  { method, path, role: wanted }: Pick<Operation, 'method' | 'path' | 'role'>,
  { req, env }: Context<Bindings>,
  { tokens, isPublic, refusals: log }: Pick<ApiDeps, 'tokens' | 'isPublic' | 'refusals'>,
): Role {
  const refuse = (code: 'unauthorized' | 'forbidden', refused: Refused): never => {
    const asked = { code, method, path, address: env.address };
    log.warn(asked, 'a request was refused for its token');
    throw refused;
  };
  const header = req.header('authorization');
  const isNear = isLoopback(env.address) && !req.header('forwarded') && !req.header('x-forwarded-for');
  const least = wanted === 'none' ? 'watch' : wanted;
  const isForAll = wanted === 'none' && isPublic === true;
  const isFree = header === undefined && isNear && method === 'get';
  const free = isForAll || isFree ? 'watch' : undefined;
  const role = free ?? roleOf(header, tokens);
  if (role === undefined)
    return refuse('unauthorized', new Refused('unauthorized', undefined, { 'www-authenticate': 'Bearer' }));
  if (!mayAct(role, least))
    return refuse(
      'forbidden',
      new Refused('forbidden', `it takes the token of ${least}, this is of ${role}`),
    );
  return role;
}

function isLoopback(address: string): boolean {
  return /^(?:::ffff:)?127\.|^::1$/.test(address);
}

/** Throws `bad_request`, `unsupported_media_type`. */
async function inputOf({ params, query, body }: Operation, { req }: Context<Bindings>): Promise<AnyInput> {
  return {
    params: params && parsed(params, req.param(), 'path'),
    query: query && parsed(query, req.query(), 'query'),
    body: body && parsed(body, await jsonIn(req.raw), 'body'),
    lastEventId: req.header('last-event-id'),
  };
}

function parsed(schema: z.ZodObject, value: unknown, place: string): Record<string, unknown> {
  const { data, error } = schema.safeParse(value);
  if (error === undefined) return data;
  const [issue] = error.issues;
  throw new Refused('bad_request', `${[place, ...(issue?.path ?? [])].join('.')}: ${issue?.message}`);
}

/** The body as JSON; an empty object where there is none. */
async function jsonIn(request: Request): Promise<unknown> {
  const text = await request.text();
  if (text === '') return {};
  if (!/^application\/json\s*(;|$)/i.test(request.headers.get('content-type') ?? ''))
    throw new Refused('unsupported_media_type');
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Refused('bad_request', 'the body is not JSON');
  }
}

async function answerOf({ operation, run, keyOf }: Served, input: AnyInput, c: Context): Promise<Response> {
  const value = await run(input);
  if (value instanceof ReadableStream)
    return new Response(value, { headers: { 'content-type': 'text/event-stream' } });
  const { answer } = operation;
  if (keyOf === undefined) return replyJson(c, wired(answer, value));
  const query = input.query as z.output<typeof pageQuery>;
  const page = pageOf(value as readonly unknown[], keyOf, query);
  const items = page.items.map((item) => wired(answer, item));
  if (query.format === 'json') return replyJson(c, { ...page, items });
  const next = page.next_cursor === null ? {} : { 'next-cursor': page.next_cursor };
  return tagged(c, csvOf(answer, items), { 'content-type': 'text/csv; charset=utf-8', ...next });
}

/** Does what is asked, and says in the log who asked and what came of it. */
async function writeOf(
  each: Served,
  role: Role,
  c: Context<Bindings>,
  { log, onWrite }: Pick<ApiDeps, 'log' | 'onWrite'>,
): Promise<Response> {
  const action = each.operation.path.slice(1);
  const { address } = c.env;
  let tell: ((outcome: string) => void) | undefined;
  const ended = (outcome: string): void => {
    tell?.(outcome);
    log.info({ action, role, address, outcome }, 'asked by the API');
  };
  try {
    const input = await inputOf(each.operation, c);
    const { contract, dry_run: isDry } = input.body as Readonly<Record<string, unknown>>;
    if (each.operation.role !== 'watch' && isDry !== true)
      tell = onWrite?.({
        ...{ operation: action, role, address, contract: typeof contract === 'string' ? contract : null },
      });
    const answer = await answerOf(each, input, c);
    ended('done');
    return answer;
  } catch (error) {
    ended(codeOf(error));
    throw error;
  }
}

function replyJson(c: Context, value: unknown): Response {
  const { type, body } = jsonReply(200, value);
  return tagged(c, body, { 'content-type': type });
}

/** With a tag, by which whoever has this answer already is sent none. */
function tagged(c: Context, body: string, headers: Readonly<Record<string, string>>): Response {
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  const all = { ...headers, etag, 'cache-control': 'private, no-cache' };
  const known = c.req.header('if-none-match')?.split(/\s*,\s*/) ?? [];
  const isKnown = known.some((each) => each === '*' || each.replace(/^W\//, '') === etag);
  return isKnown && c.req.method === 'GET'
    ? new Response(null, { status: 304, headers: all })
    : new Response(body, { headers: all });
}

function matches(path: string, asked: string): boolean {
  const [own, other] = [`${BASE}${path}`.split('/'), asked.split('/')];
  return own.length === other.length && own.every((part, at) => part.startsWith('{') || part === other[at]);
}
