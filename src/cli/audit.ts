import { createReadStream, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type AuditReport, auditFiles, type FileReport } from '../audit/audit.ts';
import type { Finding } from '../audit/finding.ts';
import { type Ruling, rulingsAgainst } from '../audit/ruling.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { writePrivateFile } from '../base/private-file.ts';
import { formatGrouped } from '../base/units.ts';
import { FALLBACK_SAT_PER_KVB } from '../chain/source.ts';
import { silentLogger } from '../log/logger.ts';
import { chooseKernelKind, KERNEL_CACHE } from '../shares/kernel/choose-kernel.ts';
import { createKernel } from '../shares/kernel/create-kernel.ts';
import { print } from './channel-access.ts';
import { type Command, type CommandIo, numberOption, type ParsedOptions } from './command.ts';

/** Exit codes beside 0, 1 and 2. */
const EXIT = { wrong: 3, undecided: 4 } as const;
/** Between two lines of progress. */
const PROGRESS_MS = 200;
const BAR_CELLS = 30;

export const auditCommand: Command = {
  name: 'audit',
  summary: 'recompute every share, sat and signature of a contract, and say who is wrong',
  usage: 'FILE [FILE] [--ruling DIR]',
  words: 2,
  help: [
    'Takes what `sharestream evidence export` wrote, of one side or of both. Needs no keys, no node and no network.',
    'Says `agreed`, or the first disagreement and who is wrong by what they signed; `undecided` where that does not say.',
    'With --ruling, writes the bonds of the newest state as PSBTs to the side that is right, for the auditor of the terms',
    'to sign: those of the rung that is in a block. Its daemon takes DATA_DIR/requests/NAME.signed.psbt.',
    '',
    'Exit codes: 0 agreed, 1 a file cannot be audited or lacks what was signed, 2 wrong usage, 3 a side is wrong,',
    '4 undecided.',
  ],
  options: {
    ruling: { type: 'string', value: 'DIR', help: 'folder for the PSBTs of the ruling' },
    'fee-rate': {
      type: 'string',
      value: 'SAT_PER_KVB',
      help: `fee rate of the ruling (default ${FALLBACK_SAT_PER_KVB}); that of the request it answers`,
    },
  },
  run: async (options, io) => {
    const paths = options.positionals.map((path) => resolve(path));
    if (paths.length === 0) throw new CodedError('usage', 'name one export or two');
    const rate = numberOption(options, 'fee-rate', FALLBACK_SAT_PER_KVB);
    const kind = await chooseKernelKind(join(tmpdir(), KERNEL_CACHE), { log: silentLogger });
    const kernel = createKernel(LIMITS.peerBatchShares, kind);
    const total = paths.reduce((sum, path) => sum + statSync(path).size, 0);
    const progress = new Progress(io.stderr, total);
    const sources = paths.map((name) => ({
      name,
      chunks: createReadStream(name, { highWaterMark: 1 << 20 }),
    }));
    const report = await auditFiles(sources, kernel, (bytes, shares) =>
      progress.add(bytes, shares),
    ).finally(() => progress.end());
    const rulings = await writeRulings(report, options, rate);
    print(options, io, jsonOf(report, rulings), textOf(report, rulings));
    return exitCode(report);
  },
};

function exitCode({ verdict }: AuditReport): number {
  if (verdict === 'agreed') return 0;
  if (verdict === 'file') return 1;
  return verdict === 'undecided' ? EXIT.undecided : EXIT.wrong;
}

/** Writes the rulings against the side that is wrong. Throws `output_refused`. */
async function writeRulings(
  { verdict, newest }: AuditReport,
  options: ParsedOptions,
  rate: number,
): Promise<readonly Ruling[]> {
  const folder = options.text('ruling');
  const { last } = newest;
  if (folder === undefined || last === undefined || (verdict !== 'miner' && verdict !== 'maker')) return [];
  const rulings = rulingsAgainst(verdict, newest.params, last, rate);
  for (const { fileName, psbt } of rulings) writePrivateFile(join(resolve(folder), fileName), `${psbt}\n`);
  return rulings;
}

function jsonOf(report: AuditReport, rulings: readonly Ruling[]): object {
  const { contractId, verdict, finding, files } = report;
  return {
    contract: contractId,
    verdict,
    finding: finding ?? null,
    files: files.map((file) => ({
      ...{ file: file.name, role: file.role, ...file.counts },
      ...{ state_number: file.stateNumber ?? null, work_hashes: file.workHashes, paid_sat: file.paidSat },
      ...{
        unsigned_hashes: file.unsignedHashes,
        has_forgotten: file.hasForgotten,
        findings: file.findings,
      },
    })),
    rulings: rulings.map(({ fileName, owner, payee, valueSat }) => {
      return { file: fileName, bond_of: owner, payee, value_sat: valueSat };
    }),
  };
}

const VERDICTS: Readonly<Record<AuditReport['verdict'], string>> = {
  agreed: 'Agreed: everything follows from what both signed.',
  maker: 'The market maker is wrong.',
  miner: 'The miner is wrong.',
  undecided: 'Undecided: what was signed does not say who is wrong.',
  file: 'A file lacks what was signed: nothing follows from it.',
};

function textOf({ contractId, verdict, finding, files }: AuditReport, rulings: readonly Ruling[]): string {
  return [
    `contract ${contractId}`,
    ...files.map(fileText),
    VERDICTS[verdict],
    ...(finding === undefined ? [] : [`first disagreement, ${findingText(finding)}`]),
    ...rulings.map(({ fileName, owner, payee, valueSat }) => {
      return `${fileName}: ${formatGrouped(valueSat)} sat, the bond of the ${owner}, to the ${payee}`;
    }),
  ].join('\n');
}

function fileText(file: FileReport): string {
  const { counts } = file;
  const parts = [
    `state ${file.stateNumber ?? 'none'} pays ${formatGrouped(file.paidSat)} sat for ${formatGrouped(file.workHashes)} hashes`,
    `${formatGrouped(counts.shares)} shares, ${formatGrouped(counts.committed)} of them in ${counts.commitments} commitments`,
    `both signed ${counts.countersigned}`,
    ...(counts.refused > 0 ? [`${formatGrouped(counts.refused)} refused`] : []),
    ...(file.unsignedHashes > 0n ? [`${formatGrouped(file.unsignedHashes)} hashes not signed for`] : []),
    ...(file.hasForgotten ? ['duplicates were looked for among the newest shares only'] : []),
  ];
  return `${file.role} (${file.name}): ${parts.join('; ')}`;
}

function findingText({ code, words, n, seq }: Finding): string {
  const where = [n === undefined ? '' : ` at state ${n}`, seq === undefined ? '' : `, share ${seq}`];
  return `${code}${where.join('')}: ${words}`;
}

/** A bar on a terminal; nothing elsewhere. */
class Progress {
  readonly #out: CommandIo['stderr'];
  readonly #total: number;
  readonly #begin = performance.now();
  #bytes = 0;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(out: CommandIo['stderr'], total: number) {
    this.#out = out;
    this.#total = total;
  }

  add(bytes: number, shares: number): void {
    this.#bytes += bytes;
    const nowMs = performance.now();
    if (!this.#out.isTTY || nowMs - this.#lastMs < PROGRESS_MS) return;
    this.#lastMs = nowMs;
    const part = this.#total === 0 ? 1 : this.#bytes / this.#total;
    const bar = '#'.repeat(Math.round(part * BAR_CELLS)).padEnd(BAR_CELLS, '.');
    const perSecond = Math.round((shares * 1000) / Math.max(1, nowMs - this.#begin));
    this.#out.write(
      `\r[${bar}] ${Math.floor(part * 100)} %  ${formatGrouped(shares)} shares, ${formatGrouped(perSecond)}/s `,
    );
  }

  end(): void {
    if (this.#out.isTTY) this.#out.write('\r\u001b[2K');
  }
}
