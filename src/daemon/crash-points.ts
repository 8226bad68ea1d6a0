import type { Random, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import type { ReplaceStep } from '../channel/durable-file.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { connectPeer, type PeerLink, type PeerServerDeps } from '../peer/transport.ts';

export const CRASH_ENV = 'SHARESTREAM_CRASH_AT';

type MomentDeps = { readonly random: Random; readonly timers: Timers };
type CrashRole = 'miner' | 'maker';
type Write = { readonly role: CrashRole; readonly name: string; readonly what: string };

/**
 * Every durable boundary of `PROTOCOL.md`, in the order of a contract's life. The process can die `before`
 * the write is asked for, `during` it (with both outcomes), and `after` it, when nothing has followed yet.
 */
export const WRITE_POINTS: readonly Write[] = [
  { role: 'miner', name: 'run', what: 'the number of this run, which job ids carry' },
  { role: 'miner', name: 'proposal', what: 'the terms, before they are proposed' },
  { role: 'maker', name: 'contract', what: 'the terms signed by both, before the signature leaves' },
  { role: 'miner', name: 'contract', what: 'the terms signed by both' },
  { role: 'miner', name: 'offer', what: 'own coins and keys, before the channel is asked for' },
  { role: 'maker', name: 'opening', what: 'both halves of the opening and state 0, before they leave' },
  { role: 'miner', name: 'acceptance', what: 'the answer with state 0, before the funding is signed' },
  { role: 'maker', name: 'funding', what: 'the funding signed by both, before it is sent' },
  { role: 'miner', name: 'funding', what: 'the funding signed by both' },
  { role: 'maker', name: 'open', what: 'the channel is open' },
  { role: 'miner', name: 'open', what: 'the channel is open' },
  { role: 'miner', name: 'shares', what: 'shares, before they are acknowledged and sold' },
  { role: 'maker', name: 'credit', what: 'what of a batch is credited, before that is said' },
  { role: 'maker', name: 'state', what: 'a signed state, before it leaves' },
  { role: 'miner', name: 'state', what: 'a signed state, before it is acked' },
  { role: 'maker', name: 'ack', what: 'the ack of a state' },
  { role: 'miner', name: 'closing', what: 'that a close is signed, before its signature leaves' },
  { role: 'maker', name: 'close_tx', what: 'the close signed by both, before it leaves' },
  { role: 'miner', name: 'close_tx', what: 'the close signed by both' },
  { role: 'maker', name: 'closed', what: 'the close is deep' },
  { role: 'miner', name: 'closed', what: 'the close is deep' },
];
export const WRITE_MOMENTS = ['before', 'during', 'after'] as const;

/** Messages after which the process can die: they were sent, and no answer has come. */
export const SENT_POINTS: readonly Write[] = [
  { role: 'maker', name: 'acceptance', what: 'the answer to the opening, with state 0' },
  { role: 'miner', name: 'funding_signatures', what: 'own signatures of the funding' },
  { role: 'maker', name: 'funding_signatures', what: 'its signatures of the funding, the last' },
  { role: 'miner', name: 'reestablish', what: 'where the miner stands' },
  { role: 'miner', name: 'batch', what: 'shares' },
  { role: 'maker', name: 'batch_result', what: 'what of them is credited' },
  { role: 'maker', name: 'state', what: 'a signed state' },
  { role: 'miner', name: 'ack', what: 'the ack of a state' },
  { role: 'miner', name: 'close_signature', what: 'a signature of the close' },
  { role: 'maker', name: 'close_tx', what: 'the close signed by both' },
];

/** The memory of the maker's signer, a file of its own: `replaceFile`. */
export const SIGNER_STEPS: readonly ReplaceStep[] = ['opened', 'written', 'synced', 'renamed', 'durable'];

export function crashPointNames(): string[] {
  return [
    ...WRITE_POINTS.flatMap(({ role, name }) => WRITE_MOMENTS.map((moment) => `${role}.${name}.${moment}`)),
    ...SENT_POINTS.map(({ role, name }) => `${role}.${name}.sent`),
    ...SIGNER_STEPS.map((step) => `maker.signer.${step}`),
  ];
}

/** About as long as a commit takes: to die `during` it is to die at a random moment of it. */
const DURING_MS = 4;

/** What a daemon is wired with, armed or not. Not armed it changes nothing and costs nothing. */
export type CrashPoint = {
  readonly ledger: (ledger: Ledger) => Ledger;
  readonly connect: typeof connectPeer;
  readonly accept: (deps: PeerServerDeps) => PeerServerDeps;
  readonly onSignerStep: (step: ReplaceStep) => void;
};

const NOWHERE: CrashPoint = {
  ledger: (ledger) => ledger,
  connect: connectPeer,
  accept: (deps) => deps,
  onSignerStep: () => {},
};

/**
 * Reads `SHARESTREAM_CRASH_AT`, `name` or `name:count`: the process kills itself when it reaches the point
 * for that many times. For tests of crash safety; throws `config_invalid` for an unknown point, one of the
 * other role, and on every network but regtest.
 */
export function armCrashPoint(
  role: CrashRole,
  network: NetworkName,
  env: Readonly<Record<string, string | undefined>>,
  deps: { readonly log: Logger; readonly random: Random; readonly timers: Timers },
): CrashPoint {
  const text = env[CRASH_ENV] ?? '';
  if (text === '') return NOWHERE;
  const [name = '', count = '1'] = text.split(':');
  if (network !== 'regtest') throw new CodedError('config_invalid', `${CRASH_ENV} is for regtest alone`);
  const isOurs = crashPointNames().includes(name) && name.startsWith(`${role}.`);
  if (!isOurs || !/^[1-9]\d{0,8}$/.test(count)) {
    throw new CodedError(
      'config_invalid',
      `${CRASH_ENV}: no point of the ${role} is ${JSON.stringify(text)}`,
    );
  }
  deps.log.warn({ point: name, count: Number(count) }, 'this process will kill itself');
  return armed(role, name, Number(count), deps);
}

function armed(role: CrashRole, point: string, count: number, deps: MomentDeps): CrashPoint {
  let left = count;
  /** True the time it counts. */
  const isDue = (name: string): boolean => {
    if (name !== point) return false;
    left -= 1;
    return left === 0;
  };
  const watched = (link: PeerLink): PeerLink => ({
    remoteAddress: link.remoteAddress,
    exporter: link.exporter,
    keepPlace: () => link.keepPlace(),
    paceReads: (pace) => link.paceReads(pace),
    get closed() {
      return link.closed;
    },
    listen: (handlers) => link.listen(handlers),
    close: (reason) => link.close(reason),
    send: (text) => {
      link.send(text);
      if (isDue(`${role}.${messageOf(text)}.sent`)) die();
    },
  });
  return {
    ledger: (ledger) => crashingLedger(ledger, role, isDue, deps),
    connect: async (...words) => watched(await connectPeer(...words)),
    accept: (deps) => ({ ...deps, onConnection: (link) => deps.onConnection(watched(link)) }),
    onSignerStep: (step) => {
      if (isDue(`maker.signer.${step}`)) die();
    },
  };
}

function crashingLedger(
  inner: Ledger,
  role: CrashRole,
  isDue: (name: string) => boolean,
  { random, timers }: MomentDeps,
): Ledger {
  const crashing =
    (append: Ledger['append']): Ledger['append'] =>
    async (entries) => {
      const name = `${role}.${writeOf(role, entries)}`;
      if (isDue(`${name}.before`)) die();
      const written = append(entries);
      const isDuring = isDue(`${name}.during`);
      if (isDuring) timers.after((random.bytes(1)[0]! / 256) * DURING_MS, die);
      await written;
      if (isDuring || isDue(`${name}.after`)) die();
    };
  return {
    engine: inner.engine,
    stats: inner.stats,
    append: crashing((entries) => inner.append(entries)),
    appendNow: crashing((entries) => inner.appendNow(entries)),
    get: (...words) => inner.get(...words),
    list: (...words) => inner.list(...words),
    readLog: (...words) => inner.readLog(...words),
    recentLog: (...words) => inner.recentLog(...words),
    logRange: (...words) => inner.logRange(...words),
    readLogSince: (...words) => inner.readLogSince(...words),
    close: () => inner.close(),
  };
}

/** As a power cut: not one more instruction of this program. */
function die(): never {
  process.kill(process.pid, 'SIGKILL');
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

/** Which of `WRITE_POINTS` an append is; empty for one that is none. */
function writeOf(role: CrashRole, entries: readonly LedgerEntry[]): string {
  const kinds = new Set(entries.map(({ kind }) => kind));
  if (role === 'miner' && kinds.has('share')) return 'shares';
  if (kinds.has('meta')) return 'run';
  if (kinds.has('opening'))
    return role === 'maker' ? 'opening' : kinds.has('state') ? 'acceptance' : 'offer';
  for (const kind of ['proposal', 'contract', 'funding', 'state', 'ack']) if (kinds.has(kind)) return kind;
  if (role === 'maker' && kinds.has('delivery')) return 'credit';
  const channel = entries.find(({ kind }) => kind === 'channel');
  return channel?.type === 'put' ? statusOf(channel.body) : '';
}

function statusOf(body: string): string {
  const { status, close_tx: closeTx } = JSON.parse(body) as Readonly<Record<string, unknown>>;
  if (status === 'closing') return closeTx === null ? 'closing' : 'close_tx';
  return status === 'open' || status === 'closed' ? status : '';
}

const REQUESTS: Readonly<Record<string, string>> = {
  'channel.tx_signatures': 'funding_signatures',
  'channel.reestablish': 'reestablish',
  'work.batch': 'batch',
  'state.sign': 'state',
  'close.sig': 'close_signature',
};
/** What tells one result from the others. */
const RESULTS: Readonly<Record<string, string>> = {
  state0: 'acceptance',
  psbt: 'funding_signatures',
  refused: 'batch_result',
  ack_signature: 'ack',
  close_tx: 'close_tx',
};

/** Which of `SENT_POINTS` a line is; empty for one that is none. */
function messageOf(line: string): string {
  const message = JSON.parse(line) as Readonly<Record<string, unknown>>;
  if (typeof message['method'] === 'string') return REQUESTS[message['method']] ?? '';
  const { result } = message;
  const field = isRecord(result)
    ? Object.keys(RESULTS).find((key) => Object.hasOwn(result, key))
    : undefined;
  return field === undefined ? '' : RESULTS[field]!;
}
