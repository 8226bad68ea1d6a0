import { u32hex } from '../../src/base/bytes.ts';
import type { ClientRequest, ConfigureRequest, SubmitRequest } from '../../src/stratum/client-messages.ts';
import { asciiJson, type RawId } from '../../src/stratum/envelope.ts';

/**
 * The line of a request, newline included. The inverse of `parseClientLine`; `malformed` cannot be
 * printed.
 */
export function printClientRequest(request: Exclude<ClientRequest, { type: 'malformed' }>): string {
  switch (request.type) {
    case 'configure':
      return call(request.id, 'mining.configure', [request.extensions, configureOptions(request)]);
    case 'subscribe':
      return call(request.id, 'mining.subscribe', [
        request.userAgent,
        ...(request.sessionId === undefined ? [] : [request.sessionId]),
      ]);
    case 'authorize':
      return call(request.id, 'mining.authorize', [request.worker, request.password]);
    case 'submit':
      return printSubmit(request);
    case 'suggest_difficulty':
      return call(request.id, 'mining.suggest_difficulty', [request.difficulty]);
    case 'suggest_target':
      return call(request.id, 'mining.suggest_target', [request.target.toString(16).padStart(64, '0')]);
    case 'extranonce_subscribe':
      return call(request.id, 'mining.extranonce.subscribe', []);
    case 'multi_version':
      return call(request.id, 'mining.multi_version', [request.versions]);
    case 'get_transactions':
      return call(request.id, 'mining.get_transactions', [request.jobId]);
    case 'get_version':
      return call(request.id, 'client.get_version', []);
    case 'ping':
      return call(request.id, 'mining.ping', []);
    case 'capabilities':
      return call(request.id, 'mining.capabilities', [{}]);
    case 'response':
      return `{"id":${request.id},"result":${asciiJson(request.result ?? null)},"error":null}\n`;
    case 'unknown_method':
      return call(request.id, request.method, []);
  }
}

function printSubmit(request: SubmitRequest): string {
  const { worker, jobId, extranonce2, ntime, nonce, versionBits } = request;
  const params = [worker, jobId, extranonce2, ntime, nonce];
  return call(request.id, 'mining.submit', versionBits === undefined ? params : [...params, versionBits]);
}

function configureOptions(request: ConfigureRequest): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  if (request.versionMask !== undefined) options['version-rolling.mask'] = u32hex(request.versionMask);
  if (request.minBitCount !== undefined) options['version-rolling.min-bit-count'] = request.minBitCount;
  if (request.minimumDifficulty !== undefined)
    options['minimum-difficulty.value'] = request.minimumDifficulty;
  return options;
}

function call(id: RawId, method: string, params: readonly unknown[]): string {
  return `{"id":${id},"method":${asciiJson(method)},"params":${asciiJson(params)}}\n`;
}
