import { u32hex } from '../../base/bytes.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { printable } from '../../base/text.ts';
import { difficultyOfTarget } from '../../bitcoin/target.ts';
import type { ClientRequest, ConfigureRequest, SubmitRequest } from '../../stratum/client-messages.ts';
import { printError, printResult } from '../../stratum/server-messages.ts';
import { commonMask } from '../../stratum/version-rolling.ts';

/** What a session and its miner have agreed on. */
export type HandshakeState = {
  readonly isSubscribed: boolean;
  readonly userAgent: string;
  /** Authorised worker names; submits must use one of them. */
  readonly workers: readonly string[];
  /** Version bits the miner may roll: its request cut to ours; undefined before `mining.configure`. */
  readonly versionMask?: number;
  /** It asked to be told of another extranonce1. Most firmware knows no `mining.set_extranonce`. */
  readonly canSetExtranonce: boolean;
};

/** What this session offers at the moment. */
export type HandshakeOptions = {
  /** As hex. */
  readonly extranonce1: string;
  /** What the miner may name later to go on with this session. */
  readonly sessionId: string;
  readonly extranonce2Size: number;
  /** Our side of version rolling; 0 refuses it. */
  readonly versionMask: number;
  /** Whether this `mining.authorize` is acceptable to whoever decides that. */
  readonly mayAuthorize: boolean;
  readonly version: string;
};

export type DifficultyRequest = {
  readonly rule: 'fixed' | 'suggested' | 'minimum';
  readonly difficulty: number;
};

/** `reply` lines leave in order, before anything else of the same turn. */
export type HandshakeEffect =
  | { readonly type: 'reply'; readonly line: string }
  | { readonly type: 'refused'; readonly code: ErrorCode; readonly line: string }
  | { readonly type: 'authorized'; readonly worker: string }
  | ({ readonly type: 'difficulty' } & DifficultyRequest);

export type HandshakeTransition = {
  readonly state: HandshakeState;
  readonly effects: readonly HandshakeEffect[];
};

export type HandshakeRequest = Exclude<ClientRequest, SubmitRequest>;

type ResponseLine = Extract<ClientRequest, { type: 'response' }>;

/** Id of our `client.get_version`. */
export const VERSION_ID = '"version"';

export const INITIAL_HANDSHAKE: HandshakeState = {
  isSubscribed: false,
  userAgent: '',
  workers: [],
  canSetExtranonce: false,
};

/** Workers on one connection: more is a proxy that should open more connections. */
const MAX_WORKERS = 256;

/** Both sides know enough to mine. */
export function isReady(state: HandshakeState): boolean {
  return state.isSubscribed && state.workers.length > 0;
}

/**
 * Everything a miner says but its shares (`WIRE.md`); pure.
 * @param _nowMs says nothing here: a request is answered when it comes
 */
export function transition(
  options: HandshakeOptions,
  state: HandshakeState,
  event: HandshakeRequest,
  _nowMs: number,
): HandshakeTransition {
  const { id } = event;
  switch (event.type) {
    case 'configure':
      return configure(options, state, event);
    case 'subscribe':
      return subscribe(options, state, event);
    case 'authorize':
      return authorize(options, state, event);
    case 'suggest_difficulty':
      return suggest(state, id, event.difficulty);
    case 'suggest_target':
      return suggest(state, id, difficultyOfTarget(event.target));
    case 'extranonce_subscribe':
      return reply({ ...state, canSetExtranonce: true }, printResult(id, true));
    case 'get_transactions':
      return reply(state, printResult(id, []));
    case 'get_version':
      return reply(state, printResult(id, options.version));
    case 'ping':
      return reply(state, printResult(id, 'pong'));
    case 'response':
      return { state: withVersionAnswer(state, event), effects: [] };
    case 'capabilities':
      return { state, effects: [] };
    case 'multi_version':
    case 'unknown_method':
      return refuse(state, id, 'unknown_method');
    case 'malformed':
      return refuse(state, id, 'malformed');
  }
}

function reply(state: HandshakeState, line: string): HandshakeTransition {
  return { state, effects: [{ type: 'reply', line }] };
}

function refuse(state: HandshakeState, id: string, code: ErrorCode): HandshakeTransition {
  return { state, effects: [{ type: 'refused', code, line: printError(id, code) }] };
}

/**
 * BIP310: an answer for every requested extension, and for nothing else, since Whatsminer breaks off at
 * extra keys.
 */
function configure(
  options: HandshakeOptions,
  state: HandshakeState,
  request: ConfigureRequest,
): HandshakeTransition {
  const result: Record<string, unknown> = {};
  const effects: HandshakeEffect[] = [];
  let next = state;
  for (const extension of request.extensions.slice(0, 16)) {
    if (extension === 'version-rolling') {
      const mask = commonMask(options.versionMask, request.versionMask ?? 0xffffffff);
      result[extension] = options.versionMask !== 0;
      if (options.versionMask === 0) continue;
      result['version-rolling.mask'] = u32hex(mask);
      next = { ...next, versionMask: mask };
    } else if (extension === 'minimum-difficulty') {
      result[extension] = request.minimumDifficulty !== undefined;
      if (request.minimumDifficulty !== undefined) {
        effects.push({ type: 'difficulty', rule: 'minimum', difficulty: request.minimumDifficulty });
      }
    } else {
      result[extension] = extension === 'subscribe-extranonce' || extension === 'info';
      if (extension === 'subscribe-extranonce') next = { ...next, canSetExtranonce: true };
    }
  }
  return { state: next, effects: [{ type: 'reply', line: printResult(request.id, result) }, ...effects] };
}

/** The subscription list is nested and never empty: NerdMiner reads `result[0][0][1]`. */
function subscribe(
  options: HandshakeOptions,
  state: HandshakeState,
  request: Extract<ClientRequest, { type: 'subscribe' }>,
): HandshakeTransition {
  const { extranonce1, extranonce2Size, sessionId } = options;
  const subscriptions = [
    ['mining.set_difficulty', sessionId],
    ['mining.notify', sessionId],
  ];
  return reply(
    { ...withAgent(state, request.userAgent), isSubscribed: true },
    printResult(request.id, [subscriptions, extranonce1, extranonce2Size]),
  );
}

/** The state with the name a miner gave itself, if it gave one. */
export function withAgent(state: HandshakeState, userAgent: string): HandshakeState {
  return { ...state, userAgent: agentName(userAgent) || state.userAgent };
}

function authorize(
  options: HandshakeOptions,
  state: HandshakeState,
  request: Extract<ClientRequest, { type: 'authorize' }>,
): HandshakeTransition {
  const { id, worker, password } = request;
  const isKnown = state.workers.includes(worker);
  const isAcceptable =
    worker !== '' && worker.length <= LIMITS.workerNameChars && printable(worker) === worker;
  if (!options.mayAuthorize || !isAcceptable || (!isKnown && state.workers.length >= MAX_WORKERS)) {
    return refuse(state, id, 'not_authorized');
  }
  const effects: HandshakeEffect[] = [{ type: 'reply', line: printResult(id, true) }];
  if (!isKnown) effects.push({ type: 'authorized', worker });
  const fixed = passwordDifficulty(password);
  if (fixed !== undefined) effects.push({ type: 'difficulty', rule: 'fixed', difficulty: fixed });
  return { state: isKnown ? state : { ...state, workers: state.workers.concat(worker) }, effects };
}

/** bfgminer suggests with id null, which asks for no answer. */
function suggest(state: HandshakeState, id: string, difficulty: number): HandshakeTransition {
  const request = { type: 'difficulty', rule: 'suggested', difficulty } as const;
  if (id === 'null') return { state, effects: [request] };
  return { state, effects: [{ type: 'reply', line: printResult(id, true) }, request] };
}

const PASSWORD_DIFFICULTY = /(?:^|[\s,;&])(?:d|diff)=([0-9]{1,15}(?:\.[0-9]{1,12})?)(?=$|[\s,;&])/i;

/**
 * `d=` or `diff=` among the fields of a password, the only place where rented hashrate can ask (`WIRE.md`).
 */
export function passwordDifficulty(password: string): number | undefined {
  const match = PASSWORD_DIFFICULTY.exec(password.slice(0, 256));
  const difficulty = match === null ? 0 : Number(match[1]);
  return difficulty > 0 ? difficulty : undefined;
}

/** The answer to `client.get_version` names a miner that did not when it subscribed. */
function withVersionAnswer(state: HandshakeState, { id, result }: ResponseLine): HandshakeState {
  if (id !== VERSION_ID || result === undefined || state.userAgent !== '') return state;
  return withAgent(state, result);
}

function agentName(text: string): string {
  return printable(text).slice(0, LIMITS.userAgentChars);
}
