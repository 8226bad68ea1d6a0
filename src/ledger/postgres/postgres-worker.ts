/** The writer thread of one ledger on PostgreSQL: the only place where its chain is written. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { assert, unreachable } from '../../base/assert.ts';
import { sleep, systemClock } from '../../base/clock.ts';
import { CodedError } from '../../base/errors.ts';
import { systemRandom } from '../../base/random.ts';
import { systemTimers } from '../../base/system-timers.ts';
import { lockLedger, toLedgerFailure } from '../sqlite-file.ts';
import type {
  CommitRequest,
  LetGoRequest,
  MaintenanceRequest,
  ReadRequest,
  WriterReply,
  WriterRequest,
} from '../writer-messages.ts';
import type { PostgresThreadData } from './address.ts';
import { PostgresReader } from './postgres-reader.ts';
import { PostgresWriter, type Reads } from './postgres-writer.ts';
import { dropDays, isOld, letGo } from './retention.ts';

/** What one batch takes in, of what came while the one before was under way. */
const GROUPS_PER_COMMIT = 64;
const BYTES_PER_COMMIT = 8 * 1024 * 1024;
/** What waits for a server at a close is refused after that. */
const CLOSE_MS = 5_000;

const port = parentPort;
assert(port !== null, 'ledger_writer_thread');

type Item = CommitRequest | { readonly id: number; readonly request: MaintenanceRequest };

/** Commits and maintenance in the order they came, reads beside them. */
class Thread {
  readonly #port: MessagePort;
  readonly #reads: Reads;
  /** Undefined where it is open for reading only. */
  readonly #writer: PostgresWriter | undefined;
  readonly #lock: { close(): void } | undefined;
  #queue: Item[] = [];
  #running: Promise<void> | undefined;
  #failure: CodedError | undefined;

  constructor(
    to: MessagePort,
    reads: Reads,
    writer: PostgresWriter | undefined,
    lock: { close(): void } | undefined,
  ) {
    this.#lock = lock;
    this.#port = to;
    this.#reads = reads;
    this.#writer = writer;
  }

  handle(request: WriterRequest): void {
    if (request.type === 'close') void this.#close();
    else if (request.type === 'commit') this.#push(request);
    else if (isMaintenance(request.request)) this.#push({ id: request.id, request: request.request });
    else void this.#answer(request.id, read(this.#reads, request.request));
  }

  #push(item: Item): void {
    this.#queue.push(item);
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async #run(): Promise<void> {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if ('id' in next) {
        this.#queue.shift();
        await this.#answer(next.id, this.#maintain(next.request));
      } else await this.#commit(this.#takeCommits());
    }
  }

  #takeCommits(): CommitRequest[] {
    const commits: CommitRequest[] = [];
    let size = 0;
    for (const item of this.#queue) {
      if ('id' in item || commits.length === GROUPS_PER_COMMIT || size > BYTES_PER_COMMIT) break;
      commits.push(item);
      size += item.size;
    }
    this.#queue = this.#queue.slice(commits.length);
    return commits;
  }

  async #commit(commits: readonly CommitRequest[]): Promise<void> {
    if (this.#failure !== undefined || this.#writer === undefined) return;
    const startMs = performance.now();
    try {
      const results = await this.#writer.commit(commits);
      const seconds = (performance.now() - startMs) / 1000;
      const buffers = commits.map(({ buffer }) => buffer);
      this.#port.postMessage(
        { type: 'committed', results, seconds, buffers } satisfies WriterReply,
        buffers,
      );
    } catch (error) {
      this.#fail(error);
    }
  }

  async #maintain(request: MaintenanceRequest): Promise<unknown> {
    const writer = this.#writer;
    if (this.#failure !== undefined || writer === undefined)
      throw new CodedError('ledger_io', 'the ledger failed, or is open for reading only');
    // Days are partitions here, and nothing is moved into segments.
    if (request.type === 'sealable') return undefined;
    if (request.type === 'prune') return true;
    if (request.type === 'is_old') return await isOld(writer, request.beforeMs);
    if (request.type === 'seal') throw new CodedError('ledger_io', 'there are no segments on PostgreSQL');
    const day = await this.#letGo(writer, request);
    // What stays of a day is of no use, and harms nobody: it goes with the next one.
    if (day !== undefined) await dropDays(writer, day);
    return [];
  }

  async #letGo(writer: PostgresWriter, request: LetGoRequest): Promise<string | undefined> {
    try {
      return await letGo(writer, request);
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  async #answer(id: number, work: Promise<unknown>): Promise<void> {
    try {
      this.#reply({ type: 'read', id, value: await work });
    } catch (error) {
      this.#reply({ type: 'read_failed', id, ...toLedgerFailure(error) });
    }
  }

  #fail(error: unknown): void {
    const failure = toLedgerFailure(error);
    this.#failure ??= new CodedError(failure.code, failure.detail);
    this.#reply({ type: 'failed', ...failure });
  }

  async #close(): Promise<void> {
    const late = new AbortController();
    const isLate = await Promise.race([
      this.#running ?? Promise.resolve(),
      sleep(systemTimers, CLOSE_MS, late.signal).then(() => true),
    ]);
    late.abort();
    if (isLate === true) {
      this.#writer?.destroy('the ledger was closed');
      await this.#running;
    }
    await this.#reads.close();
    this.#lock?.close();
    this.#reply({ type: 'closed' });
    this.#port.close();
  }

  #reply(reply: WriterReply): void {
    this.#port.postMessage(reply);
  }
}

function isMaintenance(request: ReadRequest | MaintenanceRequest): request is MaintenanceRequest {
  return ['sealable', 'seal', 'prune', 'is_old', 'let_go'].includes(request.type);
}

async function read(reads: Reads, request: ReadRequest): Promise<unknown> {
  return await reads.read<unknown>((journal) => {
    switch (request.type) {
      case 'get':
        return journal.get(request.kind, request.id);
      case 'list':
        return journal.list(request.kind, request.prefix);
      case 'log':
        return journal.readLog(request.kind, request.stream, request.fromItem, request.maxRows);
      case 'log_since':
        return journal.readLogSince(request.kind, request.sinceMs, request.afterSeq, request.maxRows);
      case 'recent_log':
        return journal.recentLog(request.kind, request.bounds);
      case 'log_range':
        return journal.logRange(request.kind, request.stream);
      default:
        return unreachable(request);
    }
  });
}

async function start(
  to: MessagePort,
  { server, nowMs, readOnly, lockPath }: PostgresThreadData,
): Promise<void> {
  const reply = (message: WriterReply): void => to.postMessage(message);
  const onLink = (isUp: boolean, detail: string): void => reply({ type: 'link', isUp, detail });
  const deps = { timers: systemTimers, clock: systemClock, random: systemRandom, onLink };
  let lock: { close(): void } | undefined;
  try {
    if (lockPath !== undefined && !readOnly) lock = lockLedger(lockPath);
    const writer = readOnly ? undefined : await PostgresWriter.open(server, nowMs, deps);
    const reads = writer ?? (await PostgresReader.open(server, deps));
    const thread = new Thread(to, reads, writer, lock);
    to.on('message', (request: WriterRequest) => thread.handle(request));
    reply({
      type: 'ready',
      engine: reads.engine,
      ...(writer === undefined ? {} : { epoch: writer.epoch }),
    });
  } catch (error) {
    lock?.close();
    reply({ type: 'failed', ...toLedgerFailure(error) });
    to.close();
  }
}

void start(port, workerData as PostgresThreadData);
