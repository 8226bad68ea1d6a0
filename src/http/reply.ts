import type { IncomingMessage, ServerResponse } from 'node:http';
import { CodedError, type ErrorCode, httpStatus } from '../base/errors.ts';

/** What goes back. Bodies are made whole before anything is sent, so that a reply is right or an error. */
export type Reply = {
  readonly status: number;
  readonly type: string;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
};

/** Why a request is not served, with what the answer says beside it. */
export class Refused extends CodedError {
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ErrorCode, detail?: string, headers: Readonly<Record<string, string>> = {}) {
    super(code, detail);
    this.headers = headers;
  }
}

export function textReply(status: number, body: string, type = 'text/plain; charset=utf-8'): Reply {
  return { status, type, body };
}

/** JSON with bigints as decimal strings. */
export function jsonReply(status: number, value: unknown): Reply & { readonly body: string } {
  const body = JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'bigint' ? item.toString() : item,
  );
  return { status, type: 'application/json; charset=utf-8', body: `${body ?? 'null'}\n` };
}

/** A coded error is meant to be read by the caller; anything else is a fault of ours and stays in the log. */
export function errorReply(error: unknown): Reply {
  if (!(error instanceof CodedError)) {
    const hint = 'a fault of this program: its log says more';
    return jsonReply(500, { error: { code: 'internal', message: 'internal', hint } });
  }
  const { code, message, hint } = error;
  const headers = error instanceof Refused ? error.headers : {};
  return { ...jsonReply(httpStatus(code), { error: { code, message, hint } }), headers };
}

export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
};

export function send(request: IncomingMessage, response: ServerResponse, reply: Reply): void {
  if (response.headersSent || response.destroyed) return;
  const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body;
  response.writeHead(reply.status, {
    'content-type': reply.type,
    ...(reply.status === 304 ? {} : { 'content-length': body.length }),
    ...SECURITY_HEADERS,
    ...reply.headers,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
