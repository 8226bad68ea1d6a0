import { u32hex } from '../../base/bytes.ts';
import { isRecord } from '../../base/json.ts';
import type { LinePeer } from '../net/line-server.ts';
import { BRAIDPOOL_VERSION_MASK, type BraidpoolQuirks } from './braidpool-profile.ts';

/** A miner's connection to the node. */
export type BraidpoolSession = {
  readonly peer: LinePeer;
  extranonce1: Uint8Array;
  readonly extranonce2Size: number;
  /** Earlier values of extranonce1, newest first. */
  readonly extranonceHistory: Uint8Array[];
  mask: number | undefined;
  subscribed: boolean;
  authorized: boolean;
  /** User name of the last `mining.authorize`. */
  userName: string;
};

/** `bare` goes out as it is, without id; `code` stands beside the error where errors have codes. */
export type BraidpoolReply =
  | { readonly result: unknown }
  | { readonly error: string; readonly code?: number }
  | { readonly bare: object };

/** Where the node's jobs come from: its own templates, or an upstream pool in audit mode. */
export type BraidpoolBackend = {
  /** Room for a new connection; undefined refuses it. */
  open(peer: LinePeer): { readonly extranonce1: Uint8Array; readonly extranonce2Size: number } | undefined;
  closed(session: BraidpoolSession): void;
  configure(
    session: BraidpoolSession,
    params: readonly unknown[],
  ): BraidpoolReply | Promise<BraidpoolReply>;
  suggestDifficulty(difficulty: unknown): BraidpoolReply;
  submit(session: BraidpoolSession, params: readonly unknown[]): BraidpoolReply;
  /** What `mining.set_difficulty` says, and after which reply; undefined is never sent. */
  difficulty(): { readonly value: number; readonly after: 'subscribe' | 'ready' } | undefined;
  /** The parameters of the latest `mining.notify` of a connection, if there is one. */
  job(session: BraidpoolSession): readonly unknown[] | undefined;
  /** As after a restart: jobs are forgotten. */
  reset(): void;
  stop(): Promise<void>;
};

/** What a backend may do to all connections. */
export type BraidpoolHub = {
  sessions(): Iterable<BraidpoolSession>;
  notification(method: string, params: readonly unknown[]): object;
  /** `mining.notify` with the backend's job to all that are ready, or to all. */
  notifyAll(whom: 'ready' | 'all'): void;
  disconnectAllWithMessage(reason: string): void;
};

/** An error of the node's code as its derived debug text. */
export function rustError(name: string, fields: Readonly<Record<string, string>>): { error: string } {
  const list = Object.entries(fields).map(([field, value]) => `${field}: ${JSON.stringify(value)}`);
  return { error: `${name} { ${list.join(', ')} }` };
}

export function invalidParams(method: string): { error: string } {
  return rustError('InvalidMethodParams', { method });
}

export function isHex8(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-fA-F]{8}$/.test(value);
}

/** `mining.configure` as the node answers it itself. */
export function configureLocally(
  session: BraidpoolSession,
  params: readonly unknown[],
  quirks: BraidpoolQuirks,
): BraidpoolReply {
  const values = isRecord(params[1]) ? params[1] : {};
  const asked = values['version-rolling.mask'];
  const minBits = values['version-rolling.min-bit-count'];
  if (quirks.strictConfigure) {
    if (params.length !== 2) return invalidParams('mining.configure');
    if (minBits !== undefined && !isHex8(minBits)) {
      return rustError('VersionRollingMinBitParseError', { error: 'expected eight hex digits' });
    }
  }
  if (asked !== undefined && !isHex8(asked)) {
    return rustError('VersionRollingHexParseError', { error: 'expected eight hex digits' });
  }
  const requested = asked === undefined ? 0xffffffff : Number.parseInt(asked, 16);
  session.mask = (requested & BRAIDPOOL_VERSION_MASK) >>> 0;
  return {
    result: {
      'minimum-difficulty': false,
      'version-rolling': true,
      'version-rolling.mask': quirks.decimalMask ? String(session.mask) : u32hex(session.mask),
      'version-rolling.min-bit-count': 0,
    },
  };
}
