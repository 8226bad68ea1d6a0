import type { IncomingMessage, ServerResponse } from 'node:http';
import { CodedError } from '../base/errors.ts';

/** What goes back. Bodies are made whole before anything is sent, so that a reply is right or an error. */
export type Reply = {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
};

/** Why a request was not served: stable words, never the text of an exception. */
const REFUSALS = {
  bad_request: { status: 400, hint: 'the body must be one JSON value' },
  unauthorized: { status: 401, hint: 'send Authorization: Bearer with the token of the data directory' },
  forbidden_host: { status: 403, hint: 'this name is not in metrics.allowed_hosts' },
  forbidden_origin: { status: 403, hint: 'pages of other sites may not call this' },
  not_found: { status: 404, hint: 'there is nothing here' },
  method_not_allowed: { status: 405, hint: 'see the Allow header' },
  too_large: { status: 413, hint: 'the body is over the limit' },
  unsupported_media_type: { status: 415, hint: 'send Content-Type: application/json' },
  internal: { status: 500, hint: 'the log says more' },
} as const;

export type Refusal = keyof typeof REFUSALS;

export function textReply(status: number, body: string, type = 'text/plain; charset=utf-8'): Reply {
  return { status, type, body };
}

/** JSON with bigints as decimal strings. */
export function jsonReply(status: number, value: unknown): Reply {
  const body = JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'bigint' ? item.toString() : item,
  );
  return { status, type: 'application/json; charset=utf-8', body: `${body ?? 'null'}\n` };
}

export function refusal(code: Refusal, headers: Readonly<Record<string, string>> = {}): Reply {
  const { status, hint } = REFUSALS[code];
  return { ...jsonReply(status, { error: { code, hint } }), headers };
}

/** A coded error is meant to be read by the caller; anything else is a fault of ours and stays in the log. */
export function errorReply(error: unknown): Reply {
  if (!(error instanceof CodedError)) return refusal('internal');
  return jsonReply(422, { error: { code: error.code, message: error.message, hint: error.hint } });
}

export function send(request: IncomingMessage, response: ServerResponse, reply: Reply): void {
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(reply.body);
  response.writeHead(reply.status, {
    'content-type': reply.type,
    'content-length': body.length,
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
    ...reply.headers,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
