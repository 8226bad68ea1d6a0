import { readFileSync } from 'node:fs';
import { CodedError } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { updatesOf } from '../contract/updated-terms.ts';
import { type ReplaceStep, replaceFile } from './durable-file.ts';
import { readRecord } from './fields.ts';
import { MonotoneSigner, type StateSigner } from './monotone-signer.ts';
import { type ChannelParams, channelIdOf } from './params.ts';
import type { Signer } from './signer.ts';
import { parseSignedState, type SignedState, signedStateToJson } from './states.ts';
import { updatesField, updatesToJson, withSignedUpdates } from './update-signatures.ts';

/** The memory of a `MonotoneSigner` as JSON, bound to its channel. */
export function monotoneMemoryToJson(
  params: ChannelParams,
  last: SignedState | undefined,
  token?: number,
): { readonly [key: string]: Json } {
  return {
    version: 1,
    channel_id: channelIdOf(params),
    ...(token === undefined ? {} : { token }),
    last: last === undefined ? null : signedStateToJson(last),
    ...updatesToJson(params.terms),
  };
}

/** What is remembered by a signer: its newest state, and the terms by which it signed that. */
export type MonotoneMemory = {
  readonly last: SignedState | undefined;
  readonly terms: ContractTerms;
  /** Of the lease under which it signed, where there are several instances. */
  readonly token: number | undefined;
};

/**
 * Parses a memory. `MonotoneSigner` checks the signatures of the state. Throws `bad_signer_file` for another
 * shape, version or channel.
 */
export function parseMonotoneMemory(params: ChannelParams, value: unknown): MonotoneMemory {
  try {
    const record = readRecord(value, 'memory', ['version', 'channel_id', 'last'], ['updates', 'token']);
    if (record['version'] !== 1) throw new CodedError('protocol', 'version must be 1');
    if (record['channel_id'] !== channelIdOf(params))
      throw new CodedError('protocol', 'it is that of another channel');
    const last = record['last'] === null ? undefined : parseSignedState(record['last']);
    const { token } = record;
    if (token !== undefined && !(Number.isSafeInteger(token) && Number(token) > 0))
      throw new CodedError('protocol', 'token must be a number above 0');
    const terms = newerTerms(params.terms, record['updates']);
    return { last, terms, token: token === undefined ? undefined : Number(token) };
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    throw new CodedError('bad_signer_file', (cause as Error).message, {}, { cause });
  }
}

export type FileMonotoneSignerOptions = {
  readonly params: ChannelParams;
  /**
   * Path of the file, for one channel and one process; `path.tmp` beside it is used while it is replaced.
   */
  readonly path: string;
  /** The newest state that the caller holds; the file may be ahead of it, never silently behind. */
  readonly last?: SignedState;
  /** Of the lease under which it signs, where several instances share a ledger. */
  readonly token?: number;
  readonly onStep?: (step: ReplaceStep) => void;
};

/**
 * A `MonotoneSigner` with its memory in a file: a state is in the file, durably, before it is returned.
 * After a failed write the signer stops for good (`channel_frozen`), since the file may lack a state that
 * it signed.
 */
export class FileMonotoneSigner implements StateSigner {
  readonly #options: FileMonotoneSignerOptions;
  readonly #inner: MonotoneSigner;
  #frozen: CodedError | undefined;

  /**
   * Reads the file. Throws `bad_signer_file` for one that cannot be read, is of another channel or of a later
   * lease, `equivocation` where file and `last` hold two contents for one n, and as `verifySignedState` for
   * states of another signer. Under a later lease than the file's the content of `last` is the one: what was
   * signed and not in the ledger when the lease was taken never left.
   */
  constructor(options: FileMonotoneSignerOptions, deps: { signer: Signer }) {
    const memory = readMemory(options);
    const { terms, token = options.token } = memory;
    if (options.token !== undefined && token! > options.token)
      throw new CodedError(
        'bad_signer_file',
        `it signed under lease ${token}, and the ledger is at ${options.token}`,
      );
    const params = { ...options.params, terms };
    this.#options = {
      ...options,
      params,
      ...(token === undefined ? {} : { token: options.token ?? token }),
    };
    const last = isOfOlderLease(memory, options) ? options.last : memory.last;
    this.#inner = new MonotoneSigner(last === undefined ? { params } : { params, last }, deps);
    if (options.last !== undefined) this.adopt(options.last);
  }

  get last(): SignedState | undefined {
    return this.#inner.last;
  }

  get terms(): ContractTerms {
    return this.#options.params.terms;
  }

  /** Signs as `MonotoneSigner.sign`; the state is on disk on return. Throws also `channel_frozen`. */
  sign(n: number, workHashes: bigint): SignedState {
    const before = this.#thawed().last;
    const state = this.#inner.sign(n, workHashes);
    if (state !== before) this.#write();
    return state;
  }

  /** Adopts as `MonotoneSigner.adopt`; the state is on disk on return. Throws also `channel_frozen`. */
  adopt(state: SignedState): boolean {
    const isNewer = this.#thawed().adopt(state);
    if (isNewer) this.#write();
    return isNewer;
  }

  #thawed(): MonotoneSigner {
    if (this.#frozen !== undefined) throw this.#frozen;
    return this.#inner;
  }

  #write(): void {
    const { params, path, token, onStep } = this.#options;
    try {
      replaceFile(
        path,
        `${JSON.stringify(monotoneMemoryToJson(params, this.#inner.last, token))}\n`,
        onStep,
      );
    } catch (cause) {
      this.#frozen = new CodedError('channel_frozen', `cannot write ${path}`, {}, { cause });
      throw this.#frozen;
    }
  }
}

/** The file has another content for the newest state of the ledger, from before another owner signed that. */
function isOfOlderLease({ last, token }: MonotoneMemory, options: FileMonotoneSignerOptions): boolean {
  const isOlder = token !== undefined && options.token !== undefined && token < options.token;
  return isOlder && last?.n === options.last?.n;
}

function readMemory({ params, path }: FileMonotoneSignerOptions): MonotoneMemory {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
      return { last: undefined, terms: params.terms, token: undefined };
    throw new CodedError('bad_signer_file', `cannot read ${path}`, {}, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CodedError('bad_signer_file', `${path} is not JSON`, {}, { cause });
  }
  return parseMonotoneMemory(params, value);
}

/** The terms with the updates of a memory, where it has more: the ledger may be an older copy. */
function newerTerms(terms: ContractTerms, value: unknown): ContractTerms {
  if (value === undefined) return terms;
  const updates = updatesField.parse(value, 'updates');
  return updates.length > updatesOf(terms).length ? withSignedUpdates(terms, updates) : terms;
}
