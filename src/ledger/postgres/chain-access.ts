import { equal } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import { bytes, hashOfRow } from '../journal-row.ts';
import { genesisHash } from '../schema.ts';
import type { Head } from './commit.ts';
import { JournalReads, rowsOf, toBatch } from './journal-reads.ts';
import type { ServerLink } from './server-link.ts';
import { ConnectionLost, type Row, type Session } from './session.ts';

/** The first of two numbers that are the lock of a chain; the second is its own. */
export const CHAIN_LOCK = 1_397_248_853;

/** A chain as its row in the database has it. */
export type ChainRow = {
  readonly number: number;
  readonly head: Head;
  readonly epoch: number;
  /** What was let go of: up to this row. */
  readonly letGo: Head;
};

const COLUMNS = 'number, seq, at_ms, hash, epoch, let_go_seq, let_go_at_ms, let_go_hash';

/**
 * Becomes the one writer of the chain of an instance, which is made where there is none. The commit that does
 * so waits for the standby. Throws `ledger_locked`, `ledger_corrupt`.
 * @param owner drawn anew for each opening
 */
export async function takeChain(link: ServerLink, instance: string, owner: Uint8Array): Promise<ChainRow> {
  const genesis = genesisHash(instance);
  await link.write(
    `INSERT INTO sharestream.chain (instance, seq, at_ms, hash, owner, epoch, let_go_seq, let_go_at_ms, let_go_hash)
      VALUES ($1, 0, 0, $2, $3, 0, 0, 0, $2) ON CONFLICT (instance) DO NOTHING`,
    [instance, genesis, owner],
  );
  // A commit that changes nothing, before the lock is taken: without a standby it waits and locks nobody out.
  const [row] = await link.write(
    'UPDATE sharestream.chain SET epoch = epoch WHERE instance = $1 RETURNING number',
    [instance],
  );
  const number = Number(row!['number']);
  if (!(await lock(link.writer, number)))
    throw new CodedError('ledger_locked', `another program writes the ledger of ${instance}`);
  const taken = await link.write(
    `UPDATE sharestream.chain SET owner = $2, epoch = epoch + 1 WHERE number = $1 RETURNING ${COLUMNS}`,
    [number, owner],
  );
  const chain = toChain(taken[0]!);
  await checkEnd(link.reader, chain);
  return chain;
}

/**
 * Goes on as the writer of a chain, by another connection. Throws `ConnectionLost` while the one before still
 * holds the lock, and `ledger_locked` where another program has taken the chain.
 */
export async function resumeChain(link: ServerLink, number: number, owner: Uint8Array): Promise<ChainRow> {
  if (!(await lock(link.writer, number)))
    throw new ConnectionLost(
      'the connection before, or another program, still holds the lock of the chain',
    );
  // All that was committed before is on the standby, too, once this is: whatever became of its own answer.
  const [row] = await link.write(
    `UPDATE sharestream.chain SET epoch = epoch + 1 WHERE number = $1 AND owner = $2 RETURNING ${COLUMNS}`,
    [number, owner],
  );
  return own(row);
}

/** The chain of a writer as this server has it. Throws `ledger_locked` where it is not its own any more. */
export async function ownChain(link: ServerLink, number: number, owner: Uint8Array): Promise<ChainRow> {
  const [row] = await link.reader.query(
    `SELECT ${COLUMNS} FROM sharestream.chain WHERE number = $1 AND owner = $2`,
    [number, owner],
  );
  return own(row);
}

function own(row: Row | undefined): ChainRow {
  if (row === undefined)
    throw new CodedError('ledger_locked', 'another program has taken over this ledger, or it is not there');
  return toChain(row);
}

/** The chain of an instance, for a look. Throws `ledger_io` where there is none. */
export async function readChain(session: Session, instance: string): Promise<ChainRow> {
  const [row] = await session.query(`SELECT ${COLUMNS} FROM sharestream.chain WHERE instance = $1`, [
    instance,
  ]);
  if (row === undefined) throw new CodedError('ledger_io', `the database has no ledger of ${instance}`);
  return toChain(row);
}

async function lock(session: Session, number: number): Promise<boolean> {
  const [row] = await session.query('SELECT pg_try_advisory_lock($1, $2) AS locked', [CHAIN_LOCK, number]);
  return row?.['locked'] === true;
}

function toChain(row: Row): ChainRow {
  return {
    ...{ number: Number(row['number']), epoch: Number(row['epoch']) },
    head: { seq: Number(row['seq']), atMs: Number(row['at_ms']), hash: bytes(row['hash']) },
    letGo: {
      ...{ seq: Number(row['let_go_seq']), atMs: Number(row['let_go_at_ms']) },
      hash: bytes(row['let_go_hash']),
    },
  };
}

/** The last batch has to be what the head says. Throws `ledger_corrupt`. */
async function checkEnd(session: Session, { number, head, letGo }: ChainRow): Promise<void> {
  if (head.seq === letGo.seq) return;
  const found = await session.query(
    `SELECT first_seq, last_seq, at_ms, end_hash, rows FROM sharestream.batch WHERE chain = $1
      ORDER BY first_seq DESC LIMIT 2`,
    [number],
  );
  const [last, before] = found.map(toBatch);
  const isAlone = last !== undefined && last.firstSeq === letGo.seq + 1;
  let hash: Uint8Array | undefined = isAlone ? letGo.hash : before?.endHash;
  const isNext = isAlone || before?.lastSeq === (last?.firstSeq ?? 0) - 1;
  if (last !== undefined)
    for (const row of rowsOf(last)) hash = hash === undefined ? undefined : hashOfRow(row, hash);
  const isWhole =
    hash !== undefined &&
    isNext &&
    last?.lastSeq === head.seq &&
    equal(hash, head.hash) &&
    equal(last.endHash, head.hash);
  if (!isWhole)
    throw new CodedError('ledger_corrupt', `the batch of row ${head.seq} does not match its hash`);
}

/** Reads of a chain by a session. */
export function readsOf(session: Session, { number, letGo }: ChainRow): JournalReads {
  return new JournalReads(session, number, letGo.seq);
}
