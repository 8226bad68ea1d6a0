import { equal, toHex } from '../../base/bytes.ts';
import { systemClock } from '../../base/clock.ts';
import { CodedError } from '../../base/errors.ts';
import { sha256 } from '../../base/hash.ts';
import { systemTimers } from '../../base/system-timers.ts';
import { nameOf } from '../admit.ts';
import { ChainReplay } from '../chain-replay.ts';
import { OP_CODES } from '../frame.ts';
import { bytes, hashOfRow } from '../journal-row.ts';
import { LEASE_KIND } from '../lease.ts';
import { LET_GO, letGoBody } from '../let-go.ts';
import { genesisHash } from '../schema.ts';
import type { Verification } from '../verify.ts';
import { type PostgresOptions, readServer } from './address.ts';
import type { ChainRow } from './chain-access.ts';
import { type JournalReads, rowsOf, textOf } from './journal-reads.ts';
import type { PackedRow } from './packed-rows.ts';
import { PostgresReader } from './postgres-reader.ts';
import type { ServerLink } from './server-link.ts';
import type { Session } from './session.ts';

/** Documents compared at once. */
const DOCUMENTS_PER_TURN = 1000;

type Problem = { readonly text: string; readonly seq: number };

/**
 * Replays the chain of an instance: every row's hash, place and log continuity, and the head; then that the
 * documents are exactly what the rows say. Reads only, also beside a running writer. Throws as
 * `PostgresReader.open`.
 */
export async function verifyPostgresLedger(options: PostgresOptions): Promise<Verification> {
  const server = readServer(options);
  const reader = await PostgresReader.open(server, { timers: systemTimers, clock: systemClock });
  try {
    return await reader.snapshot((reads, chain, link) => verify(reads, chain, link, options.instance));
  } finally {
    await reader.close();
  }
}

/**
 * One chain, as one moment has it.
 * @param leases filled with the tokens under which it was written
 */
export async function verify(
  reads: JournalReads,
  chain: ChainRow,
  { reader: session }: Pick<ServerLink, 'reader'>,
  instance: string,
  leases: PackedRow[] = [],
): Promise<Verification> {
  const { letGo } = chain;
  const replay = new ChainReplay(letGo);
  const ends = await session.query('SELECT kind, key, next FROM sharestream.let_go_log WHERE chain = $1', [
    chain.number,
  ]);
  for (const { kind, key, next } of ends)
    replay.logEnds.set(nameOf(String(kind), textOf(key)), Number(next));
  /** Of the latest body of each document. */
  const digests = new Map<string, Uint8Array>();
  const problem =
    startProblem(chain, instance) ??
    (await replayAll(replay, { digests, leases }, reads, chain)) ??
    (await compareDocuments(replay, digests, session, chain));
  const read = { rows: replay.seq - letGo.seq, ...(letGo.seq === 0 ? {} : { letGoRows: letGo.seq }) };
  const headHash = toHex(replay.hash);
  if (problem === undefined) return { ...read, ok: true, headHash };
  return { ...read, ok: false, firstBadSeq: problem.seq, problem: problem.text, headHash };
}

function startProblem({ letGo }: ChainRow, instance: string): Problem | undefined {
  if (letGo.seq > 0 || equal(letGo.hash, genesisHash(instance))) return undefined;
  return { text: 'the chain does not begin as that of its instance', seq: 1 };
}

async function replayAll(
  replay: ChainReplay,
  { digests, leases }: { readonly digests: Map<string, Uint8Array>; readonly leases: PackedRow[] },
  reads: JournalReads,
  { head, letGo }: ChainRow,
): Promise<Problem | undefined> {
  try {
    for await (const batch of reads.batches(letGo.seq)) {
      const rows = rowsOf(batch);
      // Documents that were written again, as they were, are under no lease.
      const isAgain = rows.some(({ kind }) => kind === LET_GO.kind);
      if (!isAgain) leases.push(...rows.filter(({ kind }) => kind === LEASE_KIND));
      for (const row of rows) {
        const hash = hashOfRow(row, replay.hash);
        // Hashes of single rows are not stored: the last of a batch is.
        const text =
          hash === undefined ? `row ${row.seq} is none that was written` : replay.take({ ...row, hash });
        if (text !== undefined) return { text, seq: replay.seq + 1 };
        if (row.op !== OP_CODES.log) digests.set(nameOf(row.kind, row.key), sha256(row.body));
      }
      if (!equal(replay.hash, batch.endHash))
        return {
          text: `rows ${batch.firstSeq} to ${batch.lastSeq} do not match their hash`,
          seq: batch.firstSeq,
        };
    }
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'ledger_corrupt') throw error;
    return { text: error.message, seq: replay.seq + 1 };
  }
  const isWhole = replay.seq === head.seq && equal(replay.hash, head.hash);
  return isWhole
    ? undefined
    : { text: `the head is row ${head.seq}, which is not there`, seq: replay.seq + 1 };
}

/** Bodies lie beside the rows, too, for reads. */
async function compareDocuments(
  replay: ChainReplay,
  digests: ReadonlyMap<string, Uint8Array>,
  session: Session,
  { number, letGo }: ChainRow,
): Promise<Problem | undefined> {
  let count = 0;
  let after: readonly [string, Buffer] = ['', Buffer.alloc(0)];
  for (;;) {
    const found = await session.query(
      `SELECT kind, id, seq, sha256(body) AS digest FROM sharestream.document
        WHERE chain = $1 AND (kind, id) > ($2, $3) ORDER BY kind, id LIMIT ${DOCUMENTS_PER_TURN}`,
      [number, ...after],
    );
    for (const row of found) {
      const [kind, id, seq] = [String(row['kind']), textOf(row['id']), Number(row['seq'])];
      const expected = replay.documents.get(nameOf(kind, id));
      const name = `document ${kind} ${id}`;
      if (expected !== seq)
        return { text: `${name} is of row ${seq}, not ${expected}`, seq: expected ?? seq };
      if (!equal(bytes(row['digest']), digests.get(nameOf(kind, id))!))
        return { text: `${name} is not as row ${seq} has it`, seq };
      count += 1;
    }
    if (found.length < DOCUMENTS_PER_TURN) break;
    after = [String(found.at(-1)!['kind']), Buffer.from(textOf(found.at(-1)!['id']))];
  }
  const said = digests.get(nameOf(LET_GO.kind, LET_GO.id));
  const expected = sha256(Buffer.from(letGoBody({ lastSeq: letGo.seq, endHash: letGo.hash })));
  const isSaid = said !== undefined && equal(said, expected);
  if (isSaid !== letGo.seq > 0)
    return { text: 'what was let go of is not what the journal says', seq: Math.max(1, letGo.seq) };
  if (count === replay.documents.size) return undefined;
  return { text: `${replay.documents.size - count} documents are missing`, seq: 1 };
}
