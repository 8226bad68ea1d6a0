/** The writer thread of one ledger: the only place where its database is written. */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { assert, unreachable } from '../base/assert.ts';
import type { Timer } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { systemTimers } from '../base/system-timers.ts';
import {
  openSqliteFile,
  openSqliteFileForReading,
  type SqliteFile,
  toLedgerFailure,
} from './sqlite-file.ts';
import { SqliteJournal } from './sqlite-journal.ts';
import { SqliteMaintenance } from './sqlite-maintenance.ts';
import type {
  CommitRequest,
  MaintenanceRequest,
  ReadRequest,
  WriterOptions,
  WriterReply,
  WriterRequest,
} from './writer-messages.ts';

/** Groups made durable by one write to disk: what came while the last one was under way. */
const GROUPS_PER_COMMIT = 64;
/** Between looks whether another program still holds the file. */
const RETRY_MS = 50;

class Writer {
  readonly #port: MessagePort;
  readonly #file: SqliteFile;
  readonly #journal: SqliteJournal;
  readonly #maintenance: SqliteMaintenance;
  #failed = false;
  /** Commits that wait for another program to let go of the file, and until they are tried again. */
  #held: CommitRequest[] = [];
  #retry: Timer | undefined;
  /** When the first of them was tried first, ms: their commit takes from then on. */
  #triedAtMs: number | undefined;

  constructor(port: MessagePort, file: SqliteFile) {
    this.#port = port;
    this.#file = file;
    this.#journal = new SqliteJournal(file);
    this.#maintenance = new SqliteMaintenance(file, this.#journal);
  }

  /** Takes a request and all that wait behind it. */
  handle(first: WriterRequest): void {
    let next: WriterRequest | undefined = first;
    while (next !== undefined) {
      if (next.type === 'commit') {
        const commits: CommitRequest[] = [];
        do {
          commits.push(next);
          next = this.#receive();
        } while (next?.type === 'commit' && commits.length < GROUPS_PER_COMMIT);
        this.#commit(commits);
        continue;
      }
      if (next.type === 'close') {
        this.#close();
        return;
      }
      this.#read(next.id, next.request);
      next = this.#receive();
    }
  }

  #receive(): WriterRequest | undefined {
    return receiveMessageOnPort(this.#port)?.message as WriterRequest | undefined;
  }

  #commit(newest: readonly CommitRequest[]): void {
    if (this.#failed) return;
    this.#held.push(...newest);
    if (this.#retry === undefined) this.#commitHeld();
  }

  /** While another program writes, nothing is begun, and nothing has failed: it is tried again. */
  #commitHeld(): void {
    const commits = this.#held.slice(0, GROUPS_PER_COMMIT);
    if (commits.length === 0) return;
    this.#triedAtMs ??= performance.now();
    const startMs = this.#triedAtMs;
    try {
      if (!this.#journal.begin()) {
        this.#retry = systemTimers.after(RETRY_MS, () => {
          this.#retry = undefined;
          this.#commitHeld();
        });
        return;
      }
      this.#triedAtMs = undefined;
      this.#held = this.#held.slice(commits.length);
      const frames = commits.map(({ buffer, size }) => new Uint8Array(buffer, 0, size));
      const results = this.#journal.commit(frames, commits.at(-1)!.nowMs);
      const seconds = (performance.now() - startMs) / 1000;
      const buffers = commits.map(({ buffer }) => buffer);
      this.#reply({ type: 'committed', results, seconds, buffers }, buffers);
    } catch (error) {
      this.#failed = true;
      this.#fail(error);
      return;
    }
    this.#commitHeld();
  }

  #read(id: number, request: ReadRequest | MaintenanceRequest): void {
    try {
      const value = this.#answer(request);
      this.#reply({ type: 'read', id, value });
    } catch (error) {
      this.#reply({ type: 'read_failed', id, ...toLedgerFailure(error) });
    }
  }

  #answer(request: ReadRequest | MaintenanceRequest): unknown {
    switch (request.type) {
      case 'get':
        return this.#journal.get(request.kind, request.id);
      case 'list':
        return this.#journal.list(request.kind, request.prefix);
      case 'log':
        return this.#journal.readLog(request.kind, request.stream, request.fromItem, request.maxRows);
      case 'log_since':
        return this.#journal.readLogSince(request.kind, request.sinceMs, request.afterSeq, request.maxRows);
      case 'recent_log':
        return this.#journal.recentLog(request.kind, request.bounds);
      case 'log_range':
        return this.#journal.logRange(request.kind, request.stream);
      case 'sealable':
      case 'seal':
      case 'prune':
      case 'is_old':
      case 'let_go':
        if (this.#failed) throw new CodedError('ledger_io', 'the ledger failed');
        return this.#maintenance.answer(request);
      default:
        return unreachable(request);
    }
  }

  #close(): void {
    this.#retry?.cancel();
    try {
      if (this.#held.length > 0) this.#fail(new CodedError('ledger_io', 'another program holds the file'));
      this.#file.close();
      this.#reply({ type: 'closed' });
    } catch (error) {
      this.#fail(error);
    }
    this.#port.close();
  }

  #fail(error: unknown): void {
    this.#reply({ type: 'failed', ...toLedgerFailure(error) });
  }

  #reply(reply: WriterReply, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(reply, transfer);
  }
}

function start(port: MessagePort, options: WriterOptions): void {
  let file: SqliteFile | undefined;
  try {
    file = options.readOnly ? openSqliteFileForReading(options.path) : openSqliteFile(options);
    const writer = new Writer(port, file);
    // From here on the thread waits by itself, and answers meanwhile.
    if (!options.readOnly) file.db.exec('PRAGMA busy_timeout = 0');
    port.on('message', (request: WriterRequest) => writer.handle(request));
    port.postMessage({ type: 'ready', engine: file.engine } satisfies WriterReply);
  } catch (error) {
    file?.close();
    port.postMessage({ type: 'failed', ...toLedgerFailure(error) } satisfies WriterReply);
    port.close();
  }
}

assert(parentPort !== null, 'ledger_writer_thread');
start(parentPort, workerData as WriterOptions);
