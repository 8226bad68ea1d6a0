import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { type CommitmentScope, isMetered } from '../channel/commitment.ts';
import { channelFacts } from '../channel/params.ts';
import { sameState } from '../channel/states.ts';
import { type LogRuling, ruleByLogs } from '../contract/minute-ruling.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import type { AuditCounts, AuditPoint } from './audit-point.ts';
import { ContractAudit, twoContents } from './contract-audit.ts';
import type { Blame, Finding } from './finding.ts';
import { type Frame, readFrames } from './frames.ts';
import { type Hashed, type Hashing, hashingHere } from './hashing.ts';
import { unpricedFindings } from './price-audit.ts';
import type { TipAudit } from './tip-audit.ts';

/** A file to be audited. */
export type AuditSource = { readonly name: string; readonly chunks: AsyncIterable<Uint8Array> };

/** The audit of one file. */
export type FileReport = {
  readonly name: string;
  readonly role: 'miner' | 'maker';
  readonly counts: AuditCounts;
  /** Its disagreements, by the states at which they show. */
  readonly findings: readonly Finding[];
  readonly stateNumber: number | undefined;
  readonly workHashes: bigint;
  readonly paidSat: bigint;
  /** Good work behind the newest commitment, hashes: no signature covers it. */
  readonly unsignedHashes: bigint;
  /** True where a share sold twice may have been missed, for want of memory. */
  readonly hasForgotten: boolean;
  /** Prices of epochs that follow from blocks that it has. */
  readonly recomputedPrices: number;
  /** Why nothing follows from its tip log; undefined where that is sound, or there is none. */
  readonly tipsFlaw: string | undefined;
};

/** The outcome of an audit. */
export type AuditReport = {
  readonly contractId: string;
  readonly verdict: 'agreed' | Blame;
  /** The first disagreement. */
  readonly finding: Finding | undefined;
  readonly files: readonly FileReport[];
  /** By the minute logs; undefined where there are none, or the terms have no rules of delivery. */
  readonly delivery: LogRuling | undefined;
  /** The audit with the newest state, of which a ruling is made. */
  readonly newest: ContractAudit;
};

type HashedFrame = { readonly frame: Frame; readonly hashed: Hashed };

/** The frames of a file with what became of them, in their order: some are hashed ahead. */
export async function* hashedFrames(
  frames: AsyncIterable<Frame>,
  { ahead, open }: Hashing,
): AsyncGenerator<HashedFrame> {
  const take = open();
  const taken: { readonly frame: Frame; readonly hashed: Hashed | Promise<Hashed> }[] = [];
  let failure: { readonly error: unknown } | undefined;
  try {
    for await (const frame of frames) {
      taken.push({ frame, hashed: take(frame) });
      if (taken.length <= ahead) continue;
      const next = taken.shift()!;
      yield { frame: next.frame, hashed: await next.hashed };
    }
  } catch (error) {
    // What was read before comes first.
    failure = { error };
  }
  for (const { frame, hashed } of taken) yield { frame, hashed: await hashed };
  if (failure !== undefined) throw failure.error;
}

/** Reads one file through its audit, up to each state. */
class FileAudit {
  readonly source: AuditSource;
  readonly audit: ContractAudit;
  readonly #frames: AsyncGenerator<HashedFrame>;
  point: AuditPoint | undefined;

  constructor(source: AuditSource, kernel: ShareKernel, hashing: Hashing, onProgress: OnProgress) {
    this.source = source;
    this.audit = new ContractAudit(kernel);
    const frames = readFrames(source.chunks, (bytes) => onProgress(bytes, this.audit.counts.shares));
    this.#frames = hashedFrames(frames, hashing);
  }

  /** Reads up to the next state; `point` is undefined at the end. */
  async next(): Promise<void> {
    this.point = undefined;
    for (;;) {
      const { done, value } = await this.#frames.next();
      if (done === true) return;
      this.point = this.#take(value);
      if (this.point !== undefined) return;
    }
  }

  #take({ frame, hashed }: HashedFrame): AuditPoint | undefined {
    try {
      return this.audit.take(frame, hashed);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      throw new CodedError(error.code, `${this.source.name}: ${error.message}`, error.meta, {
        cause: error,
      });
    }
  }

  /** @param maker the tip log of the maker's file, where there is one that can be used */
  reportWith(maker: TipAudit | undefined): FileReport {
    const { head, counts, findings, last, unsignedWork, hasForgotten, tipsFlaw } = this.audit;
    return {
      ...{ name: this.source.name, role: head.role, counts, tipsFlaw },
      findings: [...findings, ...this.audit.lateFindings(maker)].toSorted(
        (a, b) => (a.n ?? 0) - (b.n ?? 0),
      ),
      ...{ stateNumber: last?.n, workHashes: last?.workHashes ?? 0n, paidSat: last?.paidSat ?? 0n },
      ...{ unsignedHashes: unsignedWork, hasForgotten },
      recomputedPrices: this.audit.recomputedPrices.size,
    };
  }
}

/**
 * @param bytes read since the last call
 * @param shares of this file so far
 */
export type OnProgress = (bytes: number, shares: number) => void;

/**
 * Audits exports of one or both sides of a contract, state by state, in bounded memory. Throws `bad_evidence`
 * for a file that cannot be read, or files of different channels.
 * @param hashing of the shares; `kernel` hashes the trees over them
 */
export async function auditFiles(
  sources: readonly AuditSource[],
  kernel: ShareKernel,
  hashing: Hashing = hashingHere(kernel),
  onProgress: OnProgress = () => {},
): Promise<AuditReport> {
  const files = sources.map((source) => new FileAudit(source, kernel, hashing, onProgress));
  const between: Between = { states: [], commitments: [] };
  for (const file of files) await file.next();
  for (;;) {
    const points = files.flatMap(({ point }) => point ?? []);
    if (points.length === 0) break;
    const n = Math.min(...points.map((point) => point.n));
    const here = files.filter(({ point }) => point?.n === n);
    for (const other of here.slice(1)) {
      compare(here[0]!.point!, other.point!, between);
    }
    for (const file of here) await file.next();
  }
  const ids = new Set(files.map(({ audit }) => idOf(audit.params)));
  if (ids.size !== 1) throw new CodedError('bad_evidence', 'the files are not of one channel');
  return reportOf(files, between);
}

/** Of the channel, or of a contract that has none. */
function idOf(params: CommitmentScope): string {
  return isMetered(params) ? params.contractId : toHex(channelFacts(params).id);
}

/** What files say differently of one state: two states, or two commitments. */
type Between = { readonly states: Finding[]; readonly commitments: Finding[] };

/** Compares one state of two files; each state was verified. */
function compare(a: AuditPoint, b: AuditPoint, between: Between): void {
  const { n } = a;
  const code = 'equivocation';
  if (a.state !== undefined && b.state !== undefined && !sameState(a.state, b.state)) {
    between.states.push({ blame: 'maker', code, words: twoContents(a.state, b.state), n });
    return;
  }
  if (a.commitment === undefined || b.commitment === undefined) return;
  if (a.commitment.hashHex === b.commitment.hashHex) return;
  const isByMiner = a.commitment.isByMiner && b.commitment.isByMiner;
  const who = isByMiner ? 'both sides' : 'the maker';
  const words = `${who} signed two commitments for state ${n}`;
  between.commitments.push({ blame: isByMiner ? 'undecided' : 'maker', code, words, n });
}

/** The tip log of the maker's file, unless that has something else than was signed. */
function makerTips(files: readonly FileAudit[]): TipAudit | undefined {
  const maker = files.find(({ audit }) => audit.head.role === 'maker')?.audit;
  return maker?.findings.some(({ blame }) => blame === 'file') ? undefined : maker?.tips;
}

function reportOf(files: readonly FileAudit[], between: Between): AuditReport {
  const reports = files.map((file) => file.reportWith(makerTips(files)));
  // A file that does not have what was signed proves nothing, and takes nothing from the other.
  const isSound = (report: FileReport): boolean => report.findings.every(({ blame }) => blame !== 'file');
  const sound = reports.filter(isSound);
  const usable = sound.length > 0 ? sound : reports;
  // Two states of one number convict by their signatures alone, whatever else one of the files lacks.
  const isAllSound = sound.length === reports.length;
  const findings = [
    ...(sound.length > 0 ? between.states : []),
    ...(isAllSound ? between.commitments : []),
    ...usable.flatMap((report) => report.findings),
    ...pricesOf(files.filter((_, at) => usable.includes(reports[at]!))),
  ].toSorted((a, b) => (a.n ?? 0) - (b.n ?? 0));
  const delivery = deliveryOf(
    files.filter((_, at) => usable.includes(reports[at]!)),
    findings.length === 0,
  );
  // What was signed for work and pay comes first: what a log says of a maker that stole counts for nothing.
  if (findings.length === 0 && delivery !== undefined) findings.push(...delivered(delivery));
  const convicting = findings.filter(({ blame }) => blame !== 'undecided');
  const finding = convicting[0] ?? findings[0];
  const newest = files
    .map(({ audit }) => audit)
    .reduce((best, each) => ((each.last?.n ?? -1) > (best.last?.n ?? -1) ? each : best));
  return {
    contractId: newest.head.contractId,
    verdict: finding?.blame ?? 'agreed',
    finding,
    files: reports,
    delivery,
    newest,
  };
}

/** Prices that both signed and no file has the blocks of. */
function pricesOf(files: readonly FileAudit[]): readonly Finding[] {
  const [first] = files;
  if (first === undefined) return [];
  const { terms } = first.audit.params;
  return unpricedFindings(
    terms,
    files.map(({ audit }) => audit.recomputedPrices),
  );
}

/**
 * What the minute logs of these files say of delivery. Only the miner's file has the work that was
 * refused: without it the maker's count is its own word.
 */
function deliveryOf(files: readonly FileAudit[], isAgreed: boolean): LogRuling | undefined {
  const [first] = files;
  if (first === undefined) return undefined;
  const isCreditProven = isAgreed && files.some(({ audit }) => audit.head.role === 'miner');
  const logs = files.flatMap(({ audit }) => audit.logs);
  return ruleByLogs({ terms: first.audit.params.terms, isCreditProven }, logs);
}

function delivered({ verdict, words }: LogRuling): readonly Finding[] {
  return verdict === 'none' ? [] : [{ blame: verdict, code: 'delivery_default', words }];
}
